package wal

import (
	"errors"
	"sync"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// segment is an open segment file. It begins filled with zeros, or with what it held in a former life, and is never truncated
// or extended: so a sync writes the file's bytes and none of the file system's own.
type segment struct {
	id       segmentID
	file     disk.File
	bytes    int64
	end      int64      // where the next batch goes; the writer's own
	first    paxos.LSN  // the LSN of its first record
	last     paxos.Slot // the highest slot it holds a record of
	promises bool       // whether there is any promise in it

	reading sync.RWMutex // held by readers of file, so that it is not closed under them
	closed  bool
}

func (s *segment) readAt(p []byte, offset int64) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return ErrTrimmed
	}
	if n, err := s.file.ReadAt(p, offset); n < len(p) {
		return err
	}
	return nil
}

func (s *segment) close() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
	return s.file.Close()
}

func openSegment(fs disk.FS, dir string, id segmentID) (*segment, error) {
	f, err := fs.OpenWrite(join(dir, id.fileName()))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segment{id: id, file: f, bytes: size}, nil
}

// PrepareNext makes the next segment ready, so that the writer need not when it gets there. It does nothing if one is ready
// already. Any goroutine may call it; a failure is the log's failure.
func (l *Log) PrepareNext() error {
	l.prepare.Lock()
	defer l.prepare.Unlock()
	if err := l.Err(); err != nil || l.next != nil {
		return err
	}
	return l.prepareNext(l.options.SegmentBytes)
}

// takeNext returns the next segment, of at least the given size.
func (l *Log) takeNext(bytes int64) (*segment, error) {
	l.prepare.Lock()
	defer l.prepare.Unlock()
	if small := l.next; small != nil && small.bytes < bytes {
		l.next = nil
		if err := l.retire(small.id, small); err != nil {
			return nil, err
		}
	}
	if l.next == nil {
		if err := l.prepareNext(max(bytes, l.options.SegmentBytes)); err != nil {
			return nil, err
		}
	}
	s := l.next
	l.next = nil
	return s, nil
}

// prepareNext is called with l.prepare held.
func (l *Log) prepareNext(bytes int64) error {
	f, err := l.blankFile(bytes)
	if err != nil {
		return l.fail("prepare the next segment", err)
	}
	id := l.lastID + 1
	if err := l.name(id); err != nil {
		return l.fail("name the next segment", errors.Join(err, f.Close()))
	}
	l.lastID = id
	l.next = &segment{id: id, file: f, bytes: bytes}
	return nil
}

// blankFile returns a file of exactly the given size under the temporary name. It holds zeros, or batches that bear
// another segment's number.
func (l *Log) blankFile(bytes int64) (disk.File, error) {
	temp := join(l.dir, segmentTemp)
	for id, ok := l.takeSpare(); ok; id, ok = l.takeSpare() {
		if err := l.fs.Rename(join(l.dir, id.spareName()), temp); err != nil {
			return nil, err
		}
		f, err := l.fs.OpenWrite(temp)
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		if err == nil && size == bytes {
			return f, nil
		}
		if err := errors.Join(err, f.Close(), l.fs.Remove(temp)); err != nil {
			return nil, err
		}
	}
	f, err := l.fs.Create(temp)
	if err != nil {
		return nil, err
	}
	if err := fillZero(f, bytes); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fillZero writes zeros and syncs: blocks that are allocated but were never written cost a journal commit at their first sync.
func fillZero(f disk.File, bytes int64) error {
	zeros := make([]byte, min(bytes, 1<<20))
	for offset := int64(0); offset < bytes; offset += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), bytes-offset)], offset); err != nil {
			return err
		}
	}
	return f.Datasync()
}

// name gives the temporary file its place in the log, durably.
func (l *Log) name(id segmentID) error {
	if err := l.fs.Rename(join(l.dir, segmentTemp), join(l.dir, id.fileName())); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// retire closes a segment, if it is open, and keeps its file as a spare or removes it. It does not matter after a crash
// whether that was durable: the vital state says which segments count.
func (l *Log) retire(id segmentID, s *segment) error {
	if s != nil {
		if err := s.close(); err != nil {
			return l.fail("close a retired segment", err)
		}
	}
	name := join(l.dir, id.fileName())
	if !l.wantsSpare() {
		if err := l.fs.Remove(name); err != nil {
			return l.fail("remove a retired segment", err)
		}
		return nil
	}
	if err := l.fs.Rename(name, join(l.dir, id.spareName())); err != nil {
		return l.fail("rename a retired segment", err)
	}
	l.mu.Lock()
	l.spares = append(l.spares, id)
	l.mu.Unlock()
	return nil
}

// wantsSpare reports whether there is room for a spare. Only the writer adds spares, so there still is when it does.
func (l *Log) wantsSpare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.spares) < maxSpares
}

func (l *Log) takeSpare() (segmentID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spares) == 0 {
		return 0, false
	}
	id := l.spares[0]
	l.spares = l.spares[1:]
	return id, true
}
