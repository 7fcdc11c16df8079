package disk

import (
	"io"
	"io/fs"
)

// inode is a file apart from its names.
type inode struct {
	content []byte // what readers see
	synced  int    // the length that is durable
	dirty   map[int64]*sector
}

// sector is what the medium may hold of a sector that is not durable as readers see it.
type sector struct {
	// versions are its earlier contents: first the durable one, then what each write but the latest left.
	versions [][]byte
	// lost means a sync failed: readers see the latest, the medium keeps the first, and later syncs do not care.
	// That is how ext4 behaves, which marks pages clean when their write-back fails.
	lost bool
}

func (f *inode) sectorAt(n int64) []byte {
	b := make([]byte, SectorBytes)
	if from := n * SectorBytes; from < int64(len(f.content)) {
		copy(b, f.content[from:])
	}
	return b
}

func (f *inode) write(p []byte, offset int64) {
	if len(p) == 0 {
		return
	}
	end := offset + int64(len(p))
	for n := offset / SectorBytes; n*SectorBytes < end; n++ {
		switch s := f.dirty[n]; {
		case s == nil:
			f.dirty[n] = &sector{versions: [][]byte{f.sectorAt(n)}}
		case s.lost:
			s.lost = false
		default:
			s.versions = append(s.versions, f.sectorAt(n))
		}
	}
	if grow := end - int64(len(f.content)); grow > 0 {
		f.content = append(f.content, make([]byte, grow)...)
	}
	copy(f.content[offset:], p)
}

func (f *inode) sync() {
	for n, s := range f.dirty {
		if !s.lost {
			delete(f.dirty, n)
		}
	}
	f.synced = len(f.content)
}

func (f *inode) failSync() {
	for _, s := range f.dirty {
		s.lost, s.versions = true, s.versions[:1]
	}
}

// memFile is an open file of a Mem.
type memFile struct {
	fs       *Mem
	inode    *inode
	name     string
	life     int
	writable bool
	closed   bool
}

// check returns an error if the handle is dead. The caller holds the file system's mutex.
func (f *memFile) check(op string) error {
	if f.closed || f.life != f.fs.life {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.fs.ask(Call{Op: OpRead, Name: f.name, Offset: offset, Bytes: len(p)}); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	if offset >= int64(len(f.inode.content)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.content[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.fs.ask(Call{Op: OpWrite, Name: f.name, Offset: offset, Bytes: len(p)}); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if !f.writable || offset < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrInvalid}
	}
	if f.fs.capacity > 0 {
		room := int64(len(f.inode.content)) + f.fs.capacity - f.fs.used() // the length this file may have
		if offset+int64(len(p)) > max(room, int64(len(f.inode.content))) {
			fits := max(0, room-offset)
			f.inode.write(p[:fits], offset)
			return int(fits), noSpace(f.name)
		}
	}
	f.inode.write(p, offset)
	return len(p), nil
}

func (f *memFile) Datasync() error {
	err := f.fs.ask(Call{Op: OpSync, Name: f.name})
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err != nil {
		f.inode.failSync()
		return err
	}
	if err := f.check("sync"); err != nil {
		return err
	}
	f.inode.sync()
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.inode.content)), f.check("size")
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}
