package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"

	"synod.dev/synod/disk"
)

// simDisk is one member's file system. It keeps disk.FS's promises and no other: what was not synced meets its fate in powerCut. It differs
// from disk.Mem in being made for one goroutine and for speed: it remembers what the medium holds only of sectors that are not synced.
type simDisk struct {
	live     map[string]*inode // what processes see
	durable  map[string]*inode // the names that survive for certain
	unsynced []renaming        // what leads from durable to live, oldest first
	locked   bool
	life     uint32 // handles of an earlier process are dead
	buffers  [][]byte

	ops       int // calls since the process started
	cutAfter  int // the power fails at this call; 0 for never
	failAfter int // this call fails with failWith; 0 for none
	failWith  error
	full      bool // files cannot grow

	tail    *inode // the segment that the last batch was written to
	damaged bool   // something has rotted, ever
}

// renaming is one creation (from is empty), removal (to is empty) or renaming of a file.
type renaming struct {
	from, to string
	file     *inode
}

type inode struct {
	content []byte // what readers see
	synced  int    // length that is durable
	dirty   []dirtySector
	highest int  // the last of dirty, or -1: writes beyond it need no search
	began   int  // offset of the last write
	segment bool // it is part of the log now
	guard   int  // what lies before it is covered by a watermark: rot there is never taken for a torn write
}

// dirtySector is what the medium holds of a sector that was written and not synced.
type dirtySector struct {
	number int
	lost   bool   // a sync failed: readers see what was written, and later syncs do not care
	before []byte // up to the end of the durable part
}

const sectorBytes = disk.SectorBytes

// errPower ends a process whose machine loses power in the middle of a call.
var errPower = errors.New("power cut")

func newDisk() *simDisk {
	return &simDisk{live: map[string]*inode{}, durable: map[string]*inode{}}
}

// op counts a call and says whether it fails.
func (d *simDisk) op(name string) error {
	d.ops++
	if d.dark() {
		return errPower
	}
	if d.failAfter > 0 && d.ops >= d.failAfter {
		d.failAfter = 0
		return fmt.Errorf("%s: %w", name, d.failWith)
	}
	return nil
}

// dark reports whether the power has failed: what a process makes of the calls since then is nothing.
func (d *simDisk) dark() bool { return d.cutAfter > 0 && d.ops >= d.cutAfter }

func (d *simDisk) Create(name string) (disk.File, error) {
	if err := d.op("create"); err != nil {
		return nil, err
	}
	if d.live[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &inode{highest: -1}
	d.live[name] = f
	d.unsynced = append(d.unsynced, renaming{to: name, file: f})
	return &handle{d, f, d.life}, nil
}

func (d *simDisk) OpenRead(name string) (disk.File, error)  { return d.open(name) }
func (d *simDisk) OpenWrite(name string) (disk.File, error) { return d.open(name) }

func (d *simDisk) open(name string) (disk.File, error) {
	if err := d.op("open"); err != nil {
		return nil, err
	}
	if f := d.live[name]; f != nil {
		return &handle{d, f, d.life}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (d *simDisk) Rename(from, to string) error {
	if err := d.op("rename"); err != nil {
		return err
	}
	return d.rename(from, to)
}

func (d *simDisk) Remove(name string) error {
	if err := d.op("remove"); err != nil {
		return err
	}
	return d.rename(name, "")
}

func (d *simDisk) rename(from, to string) error {
	f := d.live[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	f.segment = strings.HasSuffix(to, ".log")
	change := renaming{from, to, f}
	change.apply(d.live)
	d.unsynced = append(d.unsynced, change)
	return nil
}

// apply makes the change. A file has one name, also when an earlier change of its name was lost.
func (r renaming) apply(names map[string]*inode) {
	maps.DeleteFunc(names, func(_ string, f *inode) bool { return f == r.file })
	if r.to != "" {
		names[r.to] = r.file
	}
}

func (d *simDisk) ReadDir(string) ([]string, error) {
	if err := d.op("readdir"); err != nil {
		return nil, err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(d.live)) {
		names = append(names, path.Base(name))
	}
	return names, nil
}

// MkdirAll does nothing: there is one directory, and it is there.
func (d *simDisk) MkdirAll(string) error { return d.op("mkdir") }

func (d *simDisk) SyncDir(string) error {
	if err := d.op("syncdir"); err != nil {
		return err
	}
	for _, change := range d.unsynced {
		change.apply(d.durable)
	}
	d.unsynced = d.unsynced[:0]
	return nil
}

func (d *simDisk) Lock(string) (io.Closer, error) {
	if err := d.op("lock"); err != nil {
		return nil, err
	}
	if d.locked {
		return nil, disk.ErrLocked
	}
	d.locked = true
	return &lockHandle{d, d.life}, nil
}

type lockHandle struct {
	disk *simDisk
	life uint32
}

func (l *lockHandle) Close() error {
	if l.life == l.disk.life {
		l.disk.locked = false
	}
	return nil
}

// handle is an open file. It dies with the process that opened it.
type handle struct {
	disk *simDisk
	file *inode
	life uint32
}

func (h *handle) op(name string) error {
	if h.life != h.disk.life {
		return fs.ErrClosed
	}
	return h.disk.op(name)
}

func (h *handle) ReadAt(p []byte, offset int64) (int, error) {
	if err := h.op("read"); err != nil {
		return 0, err
	}
	if offset >= int64(len(h.file.content)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.content[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(p []byte, offset int64) (int, error) {
	if err := h.op("write"); err != nil {
		return 0, err
	}
	if h.disk.full && int(offset)+len(p) > len(h.file.content) {
		fits := max(0, len(h.file.content)-int(offset))
		h.file.write(h.disk, p[:fits], int(offset))
		return fits, fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	h.file.write(h.disk, p, int(offset))
	return len(p), nil
}

func (h *handle) Datasync() error {
	if err := h.op("sync"); err != nil {
		if !errors.Is(err, errPower) {
			h.file.failSync()
		}
		return err
	}
	h.file.sync(h.disk)
	return nil
}

func (h *handle) Size() (int64, error) { return int64(len(h.file.content)), nil }
func (h *handle) Close() error         { return nil }

func (f *inode) write(d *simDisk, p []byte, offset int) {
	if len(p) == 0 {
		return
	}
	f.began = offset
	end := offset + len(p)
	for n := offset / sectorBytes; n*sectorBytes < min(end, f.synced); n++ {
		f.remember(d, n)
	}
	if grow := end - len(f.content); grow > 0 {
		f.content = append(f.content, make([]byte, grow)...)
	}
	copy(f.content[offset:], p)
}

// remember keeps what the medium holds of a sector before its first write since the last sync.
func (f *inode) remember(d *simDisk, n int) {
	if n <= f.highest {
		for i := range f.dirty {
			if f.dirty[i].number == n {
				f.dirty[i].lost = false
				return
			}
		}
	}
	from := n * sectorBytes
	before := append(d.buffer(), f.content[from:min(from+sectorBytes, f.synced)]...)
	f.dirty = append(f.dirty, dirtySector{number: n, before: before})
	f.highest = max(f.highest, n)
}

func (d *simDisk) buffer() []byte {
	if n := len(d.buffers); n > 0 {
		b := d.buffers[n-1]
		d.buffers = d.buffers[:n-1]
		return b[:0]
	}
	return make([]byte, 0, sectorBytes)
}

func (f *inode) sync(d *simDisk) {
	rest := f.dirty[:0]
	f.highest = -1
	for _, s := range f.dirty {
		if s.lost {
			rest = append(rest, s)
			f.highest = max(f.highest, s.number)
		} else {
			d.buffers = append(d.buffers, s.before)
		}
	}
	f.dirty = rest
	f.synced = len(f.content)
	f.cover(d)
}

// failSync leaves what was written visible, and off the medium for good.
func (f *inode) failSync() {
	for i := range f.dirty {
		f.dirty[i].lost = true
	}
}

// kill ends the process: what it has written is still there to read.
func (d *simDisk) kill() {
	d.life++
	d.locked = false
	d.ops, d.cutAfter, d.failAfter = 0, 0, 0
}

// fate is what becomes of a piece that was not synced.
type fate uint8

const (
	gone fate = iota
	kept
	torn // begins as one and ends as the other
	drawn
)

// powerCut ends the process. Each piece that was not synced meets its fate: all the same, or each its own. It returns how many were torn.
func (d *simDisk) powerCut(r *rand.Rand) (tears int) {
	d.kill()
	all := fate(r.IntN(4))
	next := func() fate {
		if all == drawn {
			return fate(r.IntN(3))
		}
		return all
	}
	for _, change := range d.unsynced {
		if next() != gone {
			change.apply(d.durable)
		}
	}
	d.unsynced = d.unsynced[:0]
	clear(d.live)
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		f := d.durable[name]
		d.live[name] = f
		tears += f.powerCut(d, r, next)
	}
	return tears
}

func (f *inode) powerCut(d *simDisk, r *rand.Rand, next func() fate) (tears int) {
	for _, s := range f.dirty {
		at := s.number * sectorBytes
		now := f.content[at:min(at+len(s.before), len(f.content))]
		switch fate := next(); {
		case s.lost || fate == gone:
			copy(now, s.before)
		case fate == torn:
			tear(now, s.before, r)
			tears++
		}
		d.buffers = append(d.buffers, s.before)
	}
	f.dirty, f.highest = f.dirty[:0], -1
	end := f.synced
	for at := f.synced; at < len(f.content); at += sectorBytes {
		piece := f.content[at:min(at+sectorBytes, len(f.content))]
		if next() == gone {
			clear(piece)
		} else {
			end = at + len(piece)
		}
	}
	f.content, f.synced = f.content[:end], end
	return tears
}

// tear puts part of what was before into a sector, cut early more often than late, since that is where headers are.
func tear(now, before []byte, r *rand.Rand) {
	at := r.IntN(len(now))
	if r.IntN(4) > 0 {
		at = r.IntN(min(96, len(now)))
	}
	if r.IntN(2) == 0 {
		copy(now[at:], before[at:])
	} else {
		copy(now[:at], before[:at])
	}
}

// segments returns the log's segments, oldest first.
func (d *simDisk) segments() (names []string) {
	for name := range d.live {
		if strings.HasSuffix(name, ".log") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
