package wal

import (
	"encoding/binary"
	"errors"

	"synod.dev/synod/paxos"
)

// Damage is something that was written soundly, was found otherwise since, and that counts.
type Damage struct {
	Segment string // file name
	Offset  int64  // in it
	LSN     paxos.LSN
	Slot    paxos.Slot // whose last record it is; 0 if a batch's header or table is damaged, of which nobody knows the slots
}

// Scrub reads every durable record again and compares it with its checksums. pace is called before each read with its size, and may wait; its error ends the pass and is returned. found is told of each damage. A slot
// whose last record is damaged is Unknown from then on. Damage of a batch's header or table makes the next Open refuse: Spoiled tells how far the log must be trimmed to be rid of it. Any goroutine may call
// it, one at a time.
func (l *Log) Scrub(pace func(bytes int) error, found func(Damage)) error {
	spoiled := paxos.Slot(0)
	for _, s := range l.stretches() {
		d, err := l.scrubSegment(s, pace, found)
		if errors.Is(err, ErrTrimmed) {
			continue // meanwhile
		}
		if err != nil {
			return err
		}
		if d != nil {
			spoiled = max(spoiled, s.upto)
			found(*d)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoiled = spoiled
	return nil
}

// stretch is what of a segment is durable.
type stretch struct {
	*segment
	until paxos.LSN  // the LSN after the last
	upto  paxos.Slot // what to trim to so that the segment goes, with those before it; 0 if it is being written to
}

// stretches returns what there is to scrub as of now.
func (l *Log) stretches() (all []stretch) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	highest := paxos.Slot(0)
	for i, s := range l.segments {
		highest = max(highest, s.last)
		st := stretch{segment: s, until: l.durable + 1}
		if i+1 < len(l.segments) {
			st.until, st.upto = l.segments[i+1].first, highest
		}
		all = append(all, st)
	}
	return all
}

// scrubSegment returns the place beyond which a segment cannot be read, or nil.
func (l *Log) scrubSegment(s stretch, pace func(bytes int) error, found func(Damage)) (*Damage, error) {
	offset, next := int64(0), s.first
	for next < s.until {
		b, err := l.readBatch(s.segment, offset, pace)
		if err != nil {
			return nil, err
		}
		if b == nil || b.first != next {
			return &Damage{Segment: s.id.fileName(), Offset: offset, LSN: next}, nil
		}
		for i := range b.entries {
			e := &b.entries[i]
			if _, sound := e.record(); !sound && l.noteDamaged(e.slot, b.position(i), b.first+paxos.LSN(i)) {
				found(Damage{Segment: s.id.fileName(), Offset: int64(e.offset), LSN: b.first + paxos.LSN(i), Slot: e.slot})
			}
		}
		offset, next = int64(b.end()), b.next()
	}
	return nil, nil
}

// readBatch reads the batch at an offset of a segment; nil if there is none whose header and table are sound.
func (l *Log) readBatch(s *segment, offset int64, pace func(bytes int) error) (*batch, error) {
	incarnation := l.Vital().Incarnation
	content := make([]byte, sectorBytes)
	if ok, err := s.reread(content, offset, pace); !ok {
		return nil, err
	}
	if !ours(content, incarnation, s.id) {
		return nil, nil
	}
	count, records := int64(binary.LittleEndian.Uint32(content[28:])), int64(binary.LittleEndian.Uint32(content[32:]))
	size := roundUp(batchHeaderBytes + count*entryBytes + records)
	if offset+size > s.bytes {
		return nil, nil
	}
	content = append(content, make([]byte, size-sectorBytes)...)
	if ok, err := s.reread(content[sectorBytes:], offset+sectorBytes, pace); !ok {
		return nil, err
	}
	b, ok := decodeBatch(content, 0, incarnation, s.id)
	if !ok {
		return nil, nil
	}
	b.place(int(offset))
	return &b, nil
}

// reread fills p, and reports whether the disk gave it all. The error is ErrTrimmed or pace's.
func (s *segment) reread(p []byte, offset int64, pace func(bytes int) error) (bool, error) {
	if len(p) == 0 {
		return true, nil
	}
	if err := pace(len(p)); err != nil {
		return false, err
	}
	err := s.readAt(p, offset)
	if errors.Is(err, ErrTrimmed) {
		return false, err
	}
	return err == nil, nil
}

// noteDamaged takes note that the record at p is damaged, and reports whether that matters: not so if it is a promise, which the vital state has, or if its slot is trimmed or has a later record.
func (l *Log) noteDamaged(slot paxos.Slot, p position, lsn paxos.LSN) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.index.get(slot); !ok || at != p || slot == 0 || slot <= l.state.Trimmed {
		return false
	}
	l.index.clear(slot)
	l.unknown[slot] = UnknownSlot{Slot: slot, Ballot: l.state.Promised, LSN: lsn}
	return true
}

// Spoiled returns the slot that the log must be trimmed to before it can be opened again, since the last pass of Scrub found a batch that nobody could read; 0 if there is no need. Any goroutine may call it.
func (l *Log) Spoiled() paxos.Slot {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.spoiled <= l.state.Trimmed {
		return 0
	}
	return l.spoiled
}

// MendVital reads the copies of the vital state, writes them all again if any is not what it should be, and returns how many were not. It is the writer's to call.
func (l *Log) MendVital() (bad int, err error) {
	if err := l.Err(); err != nil {
		return 0, err
	}
	found, _, err := readVital(l.vital.file)
	if err != nil && !errors.Is(err, ErrMayNotVote) { // all of them, and the state is in memory yet
		return 0, l.fail("read the vital state", err)
	}
	l.vital.copies = [vitalCopies]copyFate{}
	if err == nil && found.sequence == l.vital.sequence {
		l.vital.copies = found.copies
	}
	for _, fate := range l.vital.copies {
		if fate != copyLatest {
			bad++
		}
	}
	if bad == 0 {
		return 0, nil
	}
	return bad, l.writeVital(func(*state) {})
}
