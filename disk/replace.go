package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// TempSuffix ends the name of a file that Replace is writing: a crash may leave it beside the one it was to replace, and it may be removed.
const TempSuffix = ".tmp"

// Replace makes content the content of a small file, durably, in the place of one that is there: after a crash the old content is there or the new.
func Replace(files FS, path string, content []byte) error {
	temp := path + TempSuffix
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
	return MoveTo(files, temp, path)
}

// MoveTo gives a file another name in its directory, durably, in the place of one that has that name.
func MoveTo(files FS, from, to string) error {
	if err := files.Rename(from, to); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(to))
}
