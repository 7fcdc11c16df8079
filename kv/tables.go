package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// table is a file of the database as it lies on disk.
type table struct {
	name  string // in the database's directory
	bytes int64
}

// tablesOf lists the tables of a database as of now.
func tablesOf(db *database) (tables []table, err error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for _, t := range level {
			tables = append(tables, table{name: fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)), bytes: int64(t.Size)})
		}
	}
	return tables, nil
}

// verifyTable reads every block of a table from the file, past all caches of the database, and compares it with its checksum. pace is called before each read with its size. The error
// is fs.ErrNotExist if the table is gone, as it is once it has been compacted away.
func (d *directory) verifyTable(database string, t table, pace func(bytes int) error) (err error) {
	f, err := d.fs.Open(d.fs.PathJoin(d.join(database), t.name))
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(&pacedFile{f, pace})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	options := d.options.Clone()
	options.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, options.MakeReaderOptions())
	if err != nil {
		return err // and has closed the file
	}
	err = r.ValidateBlockChecksums()
	return errors.Join(err, r.Close())
}

// pacedFile asks before each read.
type pacedFile struct {
	vfs.File
	pace func(bytes int) error
}

func (f *pacedFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.pace(len(p)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, offset)
}
