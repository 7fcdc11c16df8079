package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
	"syscall"
)

// SectorBytes is the unit in which Mem loses, keeps or tears what was not synced.
const SectorBytes = 512

// Mem is a file system in memory. It is deterministic: what a power cut leaves behind is up to the caller of Crash,
// and what fails is up to the function given to Intercept.
type Mem struct {
	mu        sync.Mutex
	live      map[string]*inode // what running processes see
	durable   map[string]*inode // the names that survive for certain
	unsynced  []nameChange      // what leads from durable to live, oldest first
	dirs      map[string]bool
	locks     map[string]*memLock
	life      int   // raised by Kill: handles of an earlier life are dead
	capacity  int64 // bytes of all files together, or 0 for no bound
	intercept func(Call) error
}

// nameChange is one creation (from is empty), removal (to is empty) or renaming. It carries the file, so that each change
// makes sense whether or not an earlier one survived.
type nameChange struct {
	from, to string
	file     *inode
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{
		live:    map[string]*inode{},
		durable: map[string]*inode{},
		dirs:    map[string]bool{".": true, "/": true},
		locks:   map[string]*memLock{},
	}
}

// Kill ends all processes: their locks are free, their open files are dead, and everything that was written
// is still there to read, synced or not.
func (m *Mem) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life++
	clear(m.locks)
}

// SetCapacity bounds the bytes of all files together. A write beyond that stores what fits and fails with ENOSPC. 0 means no bound.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Flip inverts the bits of mask in one byte of a file, on the medium and in every reader's view: silent rot.
func (m *Mem) Flip(name string, offset int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.live[path.Clean(name)]
	if !ok {
		return notExist("flip", name)
	}
	if offset < 0 || offset >= int64(len(f.content)) {
		return fmt.Errorf("disk: flip %s: offset %d is not within its %d bytes", name, offset, len(f.content))
	}
	f.content[offset] ^= mask
	if s, ok := f.dirty[offset/SectorBytes]; ok {
		for _, version := range s.versions {
			version[offset%SectorBytes] ^= mask
		}
	}
	return nil
}

func (m *Mem) Create(name string) (File, error) {
	name = path.Clean(name)
	if err := m.ask(Call{Op: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[path.Dir(name)] {
		return nil, notExist("create", name)
	}
	if m.live[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &inode{dirty: map[int64]*sector{}}
	m.live[name] = f
	m.unsynced = append(m.unsynced, nameChange{to: name, file: f})
	return &memFile{fs: m, inode: f, name: name, life: m.life, writable: true}, nil
}

func (m *Mem) OpenRead(name string) (File, error)  { return m.open(name, false) }
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	name = path.Clean(name)
	if err := m.ask(Call{Op: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[name]
	if f == nil {
		return nil, notExist("open", name)
	}
	return &memFile{fs: m, inode: f, name: name, life: m.life, writable: writable}, nil
}

func (m *Mem) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	if err := m.ask(Call{Op: OpRename, Name: from}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[from]
	if f == nil {
		return notExist("rename", from)
	}
	if path.Dir(from) != path.Dir(to) {
		return &fs.PathError{Op: "rename", Path: to, Err: errors.New("not in the same directory")}
	}
	change := nameChange{from: from, to: to, file: f}
	change.apply(m.live)
	m.unsynced = append(m.unsynced, change)
	return nil
}

func (m *Mem) Remove(name string) error {
	name = path.Clean(name)
	if err := m.ask(Call{Op: OpRemove, Name: name}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[name]
	if f == nil {
		return notExist("remove", name)
	}
	change := nameChange{from: name, file: f}
	change.apply(m.live)
	m.unsynced = append(m.unsynced, change)
	return nil
}

func (m *Mem) ReadDir(dir string) ([]string, error) {
	dir = path.Clean(dir)
	if err := m.ask(Call{Op: OpReadDir, Name: dir}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return nil, notExist("readdir", dir)
	}
	var names []string
	for name := range m.live {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *Mem) MkdirAll(dir string) error {
	dir = path.Clean(dir)
	if err := m.ask(Call{Op: OpMkdir, Name: dir}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; !m.dirs[dir]; dir = path.Dir(dir) {
		m.dirs[dir] = true
	}
	return nil
}

func (m *Mem) SyncDir(dir string) error {
	dir = path.Clean(dir)
	if err := m.ask(Call{Op: OpSyncDir, Name: dir}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return notExist("syncdir", dir)
	}
	rest := m.unsynced[:0]
	for _, change := range m.unsynced {
		if change.dir() == dir {
			change.apply(m.durable)
		} else {
			rest = append(rest, change)
		}
	}
	m.unsynced = rest
	return nil
}

func (m *Mem) Lock(dir string) (io.Closer, error) {
	dir = path.Clean(dir)
	if err := m.ask(Call{Op: OpLock, Name: dir}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return nil, notExist("lock", dir)
	}
	if m.locks[dir] != nil {
		return nil, lockedError(dir)
	}
	l := &memLock{fs: m, dir: dir}
	m.locks[dir] = l
	return l, nil
}

// apply makes the change. A file has one name, also when an earlier change of its name was lost.
func (c nameChange) apply(names map[string]*inode) {
	maps.DeleteFunc(names, func(_ string, f *inode) bool { return f == c.file })
	if c.to != "" {
		names[c.to] = c.file
	}
}

func (c nameChange) dir() string {
	if c.to != "" {
		return path.Dir(c.to)
	}
	return path.Dir(c.from)
}

func (m *Mem) used() (bytes int64) {
	for f := range maps.Values(m.live) {
		bytes += int64(len(f.content))
	}
	return bytes
}

func notExist(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func noSpace(name string) error {
	return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
}

type memLock struct {
	fs  *Mem
	dir string
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.fs.locks[l.dir] == l { // and not a later owner's, after Kill
		delete(l.fs.locks, l.dir)
	}
	return nil
}
