package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"synod.dev/synod/paxos"
)

// database is one Pebble database, in a directory of its own.
type database struct {
	*pebble.DB
	dir    string
	alive  sync.WaitGroup // published states and images that still hold a snapshot of it
	newest *newest
	known  *knownKeys
	heads  *heads
}

// directory is the store's. The file "active" in it names the directory below it that the store's database is in; without that file it is the first one. Any other database
// there is one that an installation has superseded, or had not finished, and is removed when the store is opened.
type directory struct {
	fs      vfs.FS
	path    string
	options *pebble.Options
	cache   *pebble.Cache // shared by all databases
}

const (
	activeName     = "active"
	activeTemp     = "active.tmp"
	databasePrefix = "db"
	firstDatabase  = databasePrefix
	activeBytesMax = 64
)

func newDirectory(cfg Config, options *pebble.Options) *directory {
	d := &directory{fs: cfg.FS, path: cfg.Dir, options: options, cache: pebble.NewCache(cfg.CacheBytes)}
	if d.fs == nil {
		d.fs = vfs.Default
	}
	return d
}

func (d *directory) close() error {
	d.cache.Unref()
	return nil
}

func (d *directory) join(name string) string { return d.fs.PathJoin(d.path, name) }

// openActive opens the store's database, or makes the first.
func (d *directory) openActive() (*database, error) {
	name, err := d.active()
	if err != nil {
		return nil, err
	}
	db, err := d.open(name)
	if err != nil {
		return nil, err
	}
	names, err := d.fs.List(d.path)
	for _, other := range names { // only now: whoever has the lock of the database may tidy up beside it
		if strings.HasPrefix(other, databasePrefix) && other != name {
			err = errors.Join(err, d.remove(other))
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// active returns the name of the database that counts.
func (d *directory) active() (string, error) {
	f, err := d.fs.Open(d.join(activeName))
	if errors.Is(err, fs.ErrNotExist) {
		return firstDatabase, nil
	}
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, activeBytesMax))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	name := string(b)
	if !strings.HasPrefix(name, databasePrefix) {
		return "", fmt.Errorf("%s names no database: %w", d.join(activeName), errCorrupt)
	}
	if _, err := d.fs.Stat(d.join(name)); err != nil {
		return "", fmt.Errorf("%s names a database that is not there: %w", d.join(activeName), err)
	}
	return name, nil
}

// activate makes name the database that counts, durably and in one step.
func (d *directory) activate(name string) error {
	f, err := d.fs.Create(d.join(activeTemp), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte(name)); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(d.join(activeTemp), d.join(activeName)); err != nil {
		return err
	}
	return d.sync()
}

// sync makes the names in the directory durable.
func (d *directory) sync() error {
	f, err := d.fs.OpenDir(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// open opens a database, or makes an empty one; Pebble makes the directories that are missing, durably.
func (d *directory) open(name string) (*database, error) {
	options := d.options.Clone()
	options.Cache = d.cache
	db, err := pebble.Open(d.join(name), options)
	if err != nil {
		return nil, err
	}
	return &database{DB: db, dir: name, newest: newNewest(newestBytes), heads: newHeads(headSetsMin, headSetsMax)}, nil
}

// create makes an empty database for the state after slot, in the place of whatever an earlier attempt has left.
func (d *directory) create(slot paxos.Slot) (*database, error) {
	name := fmt.Sprintf("%s-%016x", databasePrefix, uint64(slot))
	if err := d.remove(name); err != nil {
		return nil, err
	}
	return d.open(name)
}

func (d *directory) remove(name string) error { return d.fs.RemoveAll(d.join(name)) }

// retire closes a database that does not count, and removes it.
func (d *directory) retire(db *database) error {
	return errors.Join(db.Close(), d.remove(db.dir))
}
