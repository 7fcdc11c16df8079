package wal

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Options says whose log is opened.
type Options struct {
	Cluster uint64
	Node    paxos.NodeID
	// Incarnation is what a directory without a log is formatted with. Zero means that there must be one. A log that is there
	// keeps its own.
	Incarnation paxos.Incarnation
	// SegmentBytes is the length of new segments, rounded up to whole sectors. Default 64 MiB; 4 KiB to 1 GiB.
	SegmentBytes int64
}

func (o Options) check() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = roundUp(o.SegmentBytes)
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		return o, fmt.Errorf("wal: segments of %d bytes: choose %d to %d", o.SegmentBytes, minSegmentBytes, maxSegmentBytes)
	}
	return o, nil
}

// Open takes the directory's lock, recovers the log, and makes one more boot durable before it returns; docs/storage.md has the
// steps. The error is disk.ErrLocked, ErrNotFormatted, ErrForeign, ErrVersion, ErrMayNotVote, ErrFailed or the disk's; then
// nothing that could have been acknowledged has been changed.
func Open(fs disk.FS, dir string, options Options) (*Log, error) {
	options, err := options.check()
	if err != nil {
		return nil, err
	}
	if options.Incarnation != 0 {
		if err := fs.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	lock, err := fs.Lock(dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, notFormatted(dir)
	}
	if err != nil {
		return nil, err
	}
	l := &Log{fs: fs, dir: dir, options: options, lock: lock, unknown: map[paxos.Slot]UnknownSlot{}}
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

func notFormatted(dir string) error {
	return fmt.Errorf("%w: %s: name the right directory, or format this one as a new member", ErrNotFormatted, dir)
}

// recover finds out what the log holds, makes durable what it is going to trust, and puts the directory in order.
func (l *Log) recover() error {
	if err := l.fs.SyncDir(l.dir); err != nil { // whoever was here before may have died between a rename and its sync
		return err
	}
	files, err := l.tidy()
	if err != nil {
		return err
	}
	if err := l.openVital(files); err != nil {
		return err
	}
	v := &survey{fs: l.fs, dir: l.dir, state: l.state, segments: files.segments}
	if err := v.walk(l.recoverEntry); err != nil {
		return err
	}
	if err := l.resume(v); err != nil {
		return err
	}
	if err := l.raiseBoot(v.last); err != nil {
		return err
	}
	for _, id := range slices.Concat(v.obsolete, v.blank) {
		if err := l.retire(id, nil); err != nil {
			return err
		}
	}
	return nil
}

// tidy lists the directory and removes what a crash left half made.
func (l *Log) tidy() (listing, error) {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return listing{}, err
	}
	files := list(names)
	for _, name := range files.temps {
		if err := l.fs.Remove(join(l.dir, name)); err != nil {
			return listing{}, err
		}
	}
	for _, id := range slices.Concat(files.segments, files.spares) {
		l.lastID = max(l.lastID, id)
	}
	l.spares = files.spares
	return files, nil
}

// openVital reads the vital state, formatting the directory first if that is asked for and there is nothing in it.
func (l *Log) openVital(files listing) error {
	if !files.vital {
		switch {
		case len(files.segments) > 0:
			return fmt.Errorf("%w: %s has segments and no vital state: put back the file %s, or replace the member by a new one", ErrMayNotVote, l.dir, vitalName)
		case l.options.Incarnation == 0:
			return notFormatted(l.dir)
		}
		identity := Vital{Cluster: l.options.Cluster, Node: l.options.Node, Incarnation: l.options.Incarnation}
		if err := createVital(l.fs, l.dir, state{Vital: identity, first: 1}); err != nil {
			return err
		}
	}
	f, err := l.fs.OpenWrite(join(l.dir, vitalName))
	if err != nil {
		return err
	}
	vital, s, err := readVital(f)
	if err != nil {
		return fmt.Errorf("%w (%s)", errors.Join(err, f.Close()), l.dir)
	}
	l.vital, l.state = vital, s
	if s.Cluster != l.options.Cluster || s.Node != l.options.Node {
		return fmt.Errorf("%w: %s is of node %x in cluster %x, and this is node %x in cluster %x: name the right directory",
			ErrForeign, l.dir, uint64(s.Node), s.Cluster, uint64(l.options.Node), l.options.Cluster)
	}
	return nil
}

// recoverEntry takes one record of the survey into the log.
func (l *Log) recoverEntry(e Entry) error {
	if e.State == Torn {
		return nil
	}
	if e.Record == nil {
		return fmt.Errorf("%w: %s is damaged at %d: what was written there as LSN %d and on, up to a later batch, is not known: replace the member by a new one",
			ErrMayNotVote, join(l.dir, e.Segment), e.Offset, e.LSN)
	}
	s, err := l.segmentOf(e.segment, e.LSN)
	if err != nil {
		return err
	}
	if l.state.Promised.Less(e.Record.Ballot) {
		l.state.Promised = e.Record.Ballot
	}
	if e.State == Corrupt {
		l.foundDamaged(s, e)
	} else {
		l.found(s, e.Record.Slot, e.position)
	}
	return nil
}

// foundDamaged notes that a slot's last record is not known. A damaged promise needs no note: it is in the vital state, too.
func (l *Log) foundDamaged(s *segment, e Entry) {
	slot := e.Record.Slot
	if slot == 0 || slot <= l.state.Trimmed {
		return
	}
	u := UnknownSlot{Slot: slot, Ballot: l.state.Promised, LSN: e.LSN}
	if e.Record.Kind == paxos.RecordAccept {
		u.Ballot = e.Record.Ballot
	}
	s.last = max(s.last, slot)
	l.index.clear(slot)
	l.unknown[slot] = u
}

// segmentOf returns an open segment, opening it at the first record that the survey finds in it.
func (l *Log) segmentOf(id segmentID, first paxos.LSN) (*segment, error) {
	if live := l.live(); live != nil && live.id == id {
		return live, nil
	}
	s, err := openSegment(l.fs, l.dir, id)
	if err != nil {
		return nil, err
	}
	s.first = first
	l.segments = append(l.segments, s)
	return s, nil
}

// resume finds the place for the next batch. If there are records beyond the last known watermark it first writes their
// segment again, into a fresh file, syncs that, and puts it in the place of the old one: a sync of theirs may have failed in
// an earlier process, and then the page cache shows them, and calls them clean, though they are not on disk. It does so, too,
// if something torn was cut off: were its header left behind, it would come to lie below a watermark, and count as corrupt,
// once the next segment has a batch.
func (l *Log) resume(v *survey) error {
	l.durable = v.last
	if v.tail == nil {
		return nil
	}
	live, err := l.segmentOf(v.tail.segment, v.last+1) // it may hold nothing but what is torn
	if err != nil {
		return err
	}
	live.end = int64(v.tail.end)
	if v.last <= l.state.durable && !v.cut {
		return nil
	}
	return l.rewrite(live, v.tail.batches)
}

// rewrite puts a copy of the batches in the place of a segment's file, atomically. Damaged records are copied as they are:
// they must stay damaged.
func (l *Log) rewrite(s *segment, batches []batch) error {
	var content []byte
	for i := range batches {
		batches[i].place(len(content))
		content = batches[i].appendTo(content)
	}
	f, err := l.blankFile(s.bytes)
	if err != nil {
		return err
	}
	stale := s.file
	s.file, s.end = f, int64(len(content))
	if err := stale.Close(); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil { // a recycled file that still bore its old name with this content would be no blank spare any more
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	if err := f.Datasync(); err != nil {
		return err
	}
	if err := l.name(s.id); err != nil {
		return err
	}
	for i := range batches {
		for j := range batches[i].entries {
			if err := l.recoverEntry(batches[i].entryAt(j, true)); err != nil {
				return err
			}
		}
	}
	return nil
}

// raiseBoot makes durable, in one write, that there was another boot, and what recovery found.
func (l *Log) raiseBoot(last paxos.LSN) error {
	if l.state.Boot == math.MaxUint32 {
		return fmt.Errorf("%w: %s has been opened as often as can be counted: replace the member by a new one", ErrMayNotVote, l.dir)
	}
	return l.writeVital(func(s *state) {
		s.Boot++
		s.durable = last
		s.oldest, s.live = 0, 0
		if len(l.segments) > 0 {
			s.oldest, s.live = l.segments[0].id, l.live().id
		}
	})
}
