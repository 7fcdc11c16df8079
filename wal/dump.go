package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"synod.dev/synod/disk"
)

// Dump reads a log's directory, changes nothing, takes no lock, and calls fn for each record in the order of the log; if fn
// returns an error Dump stops and returns it. The owner may be at work: what it writes meanwhile may appear torn, and what it
// trims meanwhile may end the dump with fs.ErrNotExist. If the vital state is not readable the records are dumped all the same,
// and the error is ErrMayNotVote.
func Dump(fsys disk.FS, dir string, fn func(Entry) error) (Vital, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return Vital{}, err
	}
	files := list(names)
	if !files.vital && len(files.segments) == 0 {
		return Vital{}, notFormatted(dir)
	}
	s, vitalErr := dumpVital(fsys, dir)
	if vitalErr != nil && !errors.Is(vitalErr, ErrMayNotVote) {
		return Vital{}, vitalErr
	}
	v := &survey{fs: fsys, dir: dir, state: s, segments: files.segments}
	return s.Vital, errors.Join(vitalErr, v.walk(fn))
}

func dumpVital(fsys disk.FS, dir string) (state, error) {
	f, err := fsys.OpenRead(join(dir, vitalName))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("%w: %s has no vital state", ErrMayNotVote, dir)
	}
	if err != nil {
		return state{}, err
	}
	_, s, err := readVital(f)
	return s, errors.Join(err, f.Close())
}

// ReadVital returns the vital state of a log's directory, changes nothing and takes no lock. The error is fs.ErrNotExist if there is no such directory, and ErrMayNotVote if the vital state is missing or not readable.
func ReadVital(fsys disk.FS, dir string) (Vital, error) {
	if _, err := fsys.ReadDir(dir); err != nil {
		return Vital{}, err
	}
	s, err := dumpVital(fsys, dir)
	return s.Vital, err
}
