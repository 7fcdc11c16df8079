package synod

import (
	"errors"
	"io/fs"
	"path/filepath"

	"synod.dev/synod/disk"
)

// replaceFile makes a small file durable in a directory, in the place of one that is there: after a crash the old content is there or the new.
func replaceFile(files disk.FS, dir, name string, content []byte) error {
	temp := filepath.Join(dir, name+".tmp")
	if err := files.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Datasync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := files.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return files.SyncDir(dir)
}
