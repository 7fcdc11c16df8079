package synod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// snapshotFiles are the snapshots of the machines in memory, in the node's directory: one file, or two between the making of one and the removal of the other. It is safe for concurrent use.
type snapshotFiles struct {
	fs  disk.FS
	dir string

	mu    sync.Mutex
	slot  paxos.Slot // of the newest; 0 if there is none
	bytes int64      // its size
}

// The temporary names are removed at Open. A snapshot is named after its slot, in hexadecimal, so that names ascend as slots do.
const (
	snapshotPrefix   = "snapshot-"
	writtenTemp      = "snapshot.written.tmp"
	receivedTemp     = "snapshot.received.tmp"
	snapshotNameForm = snapshotPrefix + "%016x"
)

func (f *snapshotFiles) path(name string) string { return filepath.Join(f.dir, name) }

func snapshotSlot(name string) (paxos.Slot, bool) {
	digits, ok := strings.CutPrefix(name, snapshotPrefix)
	slot, err := strconv.ParseUint(digits, 16, 64)
	return paxos.Slot(slot), ok && err == nil && len(digits) == 16
}

// snapshotFile is one that is being written.
type snapshotFile struct {
	files *snapshotFiles
	name  string    // temporary
	file  disk.File // nil once closed
	bytes int64
}

// create begins a file under a temporary name, which one goroutine uses at a time.
func (f *snapshotFiles) create(name string) (*snapshotFile, error) {
	if err := f.fs.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := f.fs.Create(f.path(name))
	if err != nil {
		return nil, err
	}
	return &snapshotFile{files: f, name: name, file: file}, nil
}

func (s *snapshotFile) append(chunk []byte) error {
	_, err := s.file.WriteAt(chunk, s.bytes)
	s.bytes += int64(len(chunk))
	return err
}

// seal makes the content durable, and closes the file.
func (s *snapshotFile) seal() error {
	err := s.file.Datasync()
	return errors.Join(err, s.close())
}

func (s *snapshotFile) close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}

// discard removes the file, which has not been published.
func (s *snapshotFile) discard() error {
	return errors.Join(s.close(), s.files.fs.Remove(s.files.path(s.name)))
}

// publish gives a sealed file its name, durably, and then removes those before it. One that is not newer than what is there is removed instead.
func (s *snapshotFile) publish(slot paxos.Slot) error {
	f := s.files
	f.mu.Lock()
	defer f.mu.Unlock()
	if slot <= f.slot {
		return s.discard()
	}
	if err := f.fs.Rename(f.path(s.name), f.path(fmt.Sprintf(snapshotNameForm, uint64(slot)))); err != nil {
		return err
	}
	if err := f.fs.SyncDir(f.dir); err != nil {
		return err
	}
	f.slot, f.bytes = slot, s.bytes
	return f.removeBelow(slot)
}

// removeBelow removes the snapshots of earlier slots. Whether that is durable does not matter: the newest counts.
func (f *snapshotFiles) removeBelow(slot paxos.Slot) error {
	names, err := f.fs.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if s, ok := snapshotSlot(name); ok && s < slot {
			if err := f.fs.Remove(f.path(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// latest returns the slot and the size of the newest snapshot, zeros if there is none.
func (f *snapshotFiles) latest() (paxos.Slot, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slot, f.bytes
}

// forget says that the newest is of no use: the next one takes its place, whatever its slot.
func (f *snapshotFiles) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slot, f.bytes = 0, 0
}

// find removes what a crash left half made, and returns the slots of the snapshots there are, ascending.
func (f *snapshotFiles) find() (slots []paxos.Slot, err error) {
	if err := f.fs.SyncDir(f.dir); err != nil { // whoever was here before may have died between a rename and its sync
		return nil, err
	}
	names, err := f.fs.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == writtenTemp || name == receivedTemp {
			if err := f.fs.Remove(f.path(name)); err != nil {
				return nil, err
			}
		}
		if slot, ok := snapshotSlot(name); ok {
			slots = append(slots, slot)
		}
	}
	return slots, nil
}

// read opens the snapshot of a slot and gives it to fn, which must read it to its end. The file must be of this cluster.
func (f *snapshotFiles) read(slot paxos.Slot, cluster uint64, fn func(*snapshot.Reader) error) (err error) {
	file, err := f.fs.OpenRead(f.path(fmt.Sprintf(snapshotNameForm, uint64(slot))))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r, err := snapshot.NewReader(snapshot.FileSource(file), 1)
	if err != nil {
		return err
	}
	if h := r.Header(); h.Cluster != cluster || h.Slot != slot {
		return fmt.Errorf("it is the snapshot of slot %d of cluster %x", h.Slot, h.Cluster)
	}
	return fn(r)
}

// verify reads a whole snapshot.
func verify(r *snapshot.Reader) error {
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// verifyPaced is verify, with pace called for each piece that is read.
func verifyPaced(pace func(bytes int) error) func(*snapshot.Reader) error {
	return func(r *snapshot.Reader) error {
		piece := make([]byte, 1<<20)
		for {
			_, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			for err == nil {
				var n int
				if n, err = r.Read(piece); n > 0 {
					err = errors.Join(err, pace(n))
				}
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
}

// restoreFrom gives each section of a snapshot to its machine in memory.
func restoreFrom(r *snapshot.Reader, sections []*section) error {
	for _, s := range sections {
		if !s.inMemory() {
			continue
		}
		if id, err := r.Next(); err != nil || id != s.id {
			return errors.Join(err, fmt.Errorf("the snapshot has section %d where machine %d is", id, s.id))
		}
		if err := s.memory.Restore(r); err != nil {
			return fmt.Errorf("the state machine cannot restore its snapshot: %w", err)
		}
		if err := drain(r); err != nil {
			return err
		}
	}
	return verify(r)
}
