package wal

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"synod.dev/synod/paxos"
)

// UnknownSlot is a slot whose last record is damaged. The acceptor may have voted in it, and does not know for what. It must
// say so, and never that it has not voted.
type UnknownSlot struct {
	Slot paxos.Slot
	// Ballot is that of the lost vote if it is known, else a bound: no vote in this slot was of a higher one.
	Ballot paxos.Ballot
	LSN    paxos.LSN // 0 if it is not known
}

// Unknown returns the slots whose last record was found damaged, when the log was opened or since, ascending. A slot leaves the list once
// a new record of it is durable, or it is trimmed.
func (l *Log) Unknown() []UnknownSlot {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.SortedFunc(maps.Values(l.unknown), func(a, b UnknownSlot) int { return cmp.Compare(a.Slot, b.Slot) })
}

// Slots returns the lowest slot of which the log has a durable record, and the highest of which it has one or had one that is damaged by now; zeros if there is none.
func (l *Log) Slots() (first, last paxos.Slot) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	last = l.index.last
	for slot := range l.unknown {
		last = max(last, slot)
	}
	return l.index.first, last
}

// Read returns the last record that was appended for a slot. It verifies the checksums each time. Any goroutine may
// call it at any time. The error is ErrNotFound, ErrTrimmed, ErrUnknown, or the log's own.
func (l *Log) Read(slot paxos.Slot) (*paxos.Record, error) {
	r, s, p, err := l.locate(slot)
	if r != nil || err != nil {
		return r, err
	}
	raw := make([]byte, p.size)
	offset := int64(p.offset) * 8
	if err := s.readAt(raw, offset); err != nil {
		return nil, fmt.Errorf("wal: read slot %d in %s at %d: %w", slot, s.id.fileName(), offset, err)
	}
	r, size, err := paxos.DecodeRecord(raw)
	if err != nil || size != len(raw) || r.Slot != slot || binary.LittleEndian.Uint32(raw) != p.headerSum {
		l.noteDamaged(slot, p, 0)
		return nil, fmt.Errorf("%w: slot %d in %s at %d has changed since it was written: have it sent by a peer", ErrUnknown, slot, s.id.fileName(), offset)
	}
	return r, nil
}

// locate returns the record, if it is in memory, or else where it is.
func (l *Log) locate(slot paxos.Slot) (*paxos.Record, *segment, position, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.err != nil {
		return nil, nil, position{}, l.err
	}
	if slot <= l.state.Trimmed {
		return nil, nil, position{}, ErrTrimmed
	}
	for _, r := range slices.Backward(l.pending) {
		if r.Slot == slot {
			return r, nil, position{}, nil
		}
	}
	if u, ok := l.unknown[slot]; ok {
		return nil, nil, position{}, fmt.Errorf("%w: slot %d, LSN %d: have it sent by a peer", ErrUnknown, slot, u.LSN)
	}
	p, ok := l.index.get(slot)
	if !ok {
		return nil, nil, position{}, ErrNotFound
	}
	n, _ := slices.BinarySearchFunc(l.segments, p.segment, func(s *segment, id segmentID) int { return cmp.Compare(s.id, id) })
	return nil, l.segments[n], p, nil
}

// Replay calls fn for every sound durable record of a slot at or above from, and for every promise, in the order of the log. Segments without any, but for the last, it does not read.
// Damaged records are left out: Unknown tells of those that matter. fn may keep the record; if it returns an error Replay stops
// and returns it. Replay is the writer's to call.
func (l *Log) Replay(from paxos.Slot, fn func(paxos.LSN, *paxos.Record) error) error {
	if err := l.Err(); err != nil {
		return err
	}
	from = max(from, l.state.Trimmed+1)
	for i, s := range l.segments {
		end := l.durable + 1 // the LSN after the segment's last
		if i+1 < len(l.segments) {
			end = l.segments[i+1].first
			if s.last < from && !s.promises {
				continue
			}
		}
		if err := l.replaySegment(s, end, from, fn); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) replaySegment(s *segment, end paxos.LSN, from paxos.Slot, fn func(paxos.LSN, *paxos.Record) error) error {
	content, err := readSegment(l.fs, join(l.dir, s.id.fileName()))
	if err != nil {
		return err
	}
	next := s.first
	for _, b := range readChain(content, 0, l.state.Incarnation, s.id).batches {
		next = b.next()
		if err := l.replayBatch(&b, from, fn); err != nil {
			return err
		}
	}
	if next != end {
		return fmt.Errorf("wal: %s has changed at LSN %d since it was opened: start again to have it judged", s.id.fileName(), next)
	}
	return nil
}

func (l *Log) replayBatch(b *batch, from paxos.Slot, fn func(paxos.LSN, *paxos.Record) error) error {
	for i := range b.entries {
		e := b.entries[i]
		if e.slot != 0 && e.slot < from {
			continue
		}
		e.raw = slices.Clone(e.raw) // so that who keeps a record does not keep the segment
		r, sound := e.record()
		if !sound {
			if p, ok := l.index.get(e.slot); ok && p == b.position(i) {
				return fmt.Errorf("wal: slot %d in %s at %d has changed since it was opened: start again to have it judged", e.slot, b.segment.fileName(), e.offset)
			}
			continue
		}
		if err := fn(b.first+paxos.LSN(i), r); err != nil {
			return err
		}
	}
	return nil
}
