// Package disk is the file system as the stable log needs it: few operations, each with a stated durability.
//
// OS is the real one. Mem is one in memory that lies the way disks lie: what was not synced may be lost,
// kept or torn by a power cut, and any call can be made to fail.
package disk

import (
	"errors"
	"io"
)

// ErrLocked means another owner, in this process or another, holds the directory.
var ErrLocked = errors.New("disk: directory is locked")

// FS is a file system. Its methods may be called from any goroutine. Errors for what is missing or already there match fs.ErrNotExist
// and fs.ErrExist.
//
// A name that was created, renamed or removed survives a power cut only once SyncDir has returned for its directory.
type FS interface {
	// Create makes a new, empty file and opens it for reading and writing. It is an error if the name exists.
	Create(name string) (File, error)
	// OpenRead opens an existing file for reading alone.
	OpenRead(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename gives a file another name in the same directory, atomically, in the place of a file that has that name.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// ReadDir returns the names, without their directory, of the files in dir, in ascending order.
	ReadDir(dir string) ([]string, error)
	// MkdirAll makes dir and its missing parents, all of them durable when it returns.
	MkdirAll(dir string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes dir for one owner until it closes the lock or dies. If there is another owner the error is ErrLocked.
	Lock(dir string) (io.Closer, error)
}

// File is an open file. ReadAt may run at the same time as any other method but Close.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Datasync makes everything written so far durable, the file's length included. After it has failed once nothing
	// is known of what was written since the last success, and calling it again proves nothing.
	Datasync() error
	// Size returns the file's length in bytes.
	Size() (int64, error)
}
