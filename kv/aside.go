package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"synod.dev/synod/disk"
)

// A store whose files are damaged cannot be mended in place, and need not be: the log and the other members have all that was in it. It is set aside, whole, under another name, and an empty one takes
// its place, which the node fills. So nothing is deleted that somebody might yet want to look at.

const (
	damagedName     = "damaged" // in the store's directory: why it is to be set aside
	damagedBytesMax = 1 << 10
)

// ErrAside means that a damaged store has been set aside before and is still there.
var ErrAside = errors.New("kv: an earlier store has been set aside already")

// condemn notes that the store's files are damaged, for the next start. If the disk does not take even that, the next start meets the damage again.
func (d *directory) condemn(reason error) error {
	f, err := d.fs.Create(d.join(damagedName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte(reason.Error())); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.sync()
}

// Damaged returns why the store in dir has to be set aside, as it found itself when it last ran, or "".
func Damaged(files vfs.FS, dir string) (reason string, err error) {
	f, err := files.Open(files.PathJoin(dir, damagedName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, damagedBytesMax))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	reason, _, _ = strings.Cut(string(b)+" ", "\n")
	return strings.TrimSpace(reason) + " (noted in " + damagedName + ")", nil
}

// IsDamaged reports whether an error of Open says that the store's files are not what was written.
func IsDamaged(err error) bool { return pebble.IsCorruptionError(err) }

// SetAside gives the store in dir another name beside it, durably, and returns that. Nobody may have it open. It refuses with ErrAside to do so again while an earlier one is there: damage that comes
// back at once is not cured in this way.
func SetAside(files vfs.FS, dir string) (aside string, err error) {
	aside = strings.TrimRight(dir, "/") + disk.AsideSuffix
	if _, err := files.Stat(aside); err == nil {
		return "", fmt.Errorf("%w: look at %s, remove it when nobody wants it any more, and see to the disk", ErrAside, aside)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := files.Rename(dir, aside); err != nil {
		return "", err
	}
	parent, err := files.OpenDir(files.PathDir(aside))
	if err != nil {
		return "", err
	}
	return aside, errors.Join(parent.Sync(), parent.Close())
}
