package wal

import "synod.dev/synod/paxos"

// Trim forgets every slot up to and including slot, for good: Read returns ErrTrimmed for them, and whole segments that hold
// nothing else, from the oldest on, are retired. That the slots are trimmed is durable before anything of them is gone.
// The promise is not touched: it lives in the vital state. Slots that are trimmed already are no error.
func (l *Log) Trim(slot paxos.Slot) error {
	if err := l.Err(); err != nil {
		return err
	}
	if slot <= l.state.Trimmed {
		return nil
	}
	n := 0
	for n < len(l.segments)-1 && l.segments[n].last <= slot {
		n++
	}
	if err := l.writeVital(func(s *state) {
		s.Trimmed = slot
		if n > 0 {
			s.oldest, s.first = l.segments[n].id, l.segments[n].first
		}
	}); err != nil {
		return err
	}
	for _, s := range l.forget(slot, n) {
		if err := l.retire(s.id, s); err != nil {
			return err
		}
	}
	return nil
}

// forget takes trimmed slots and the n oldest segments out of the sight of readers.
func (l *Log) forget(slot paxos.Slot, n int) (retired []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	retired, l.segments = l.segments[:n:n], l.segments[n:]
	l.index.trim(slot)
	for s := range l.unknown {
		if s <= slot {
			delete(l.unknown, s)
		}
	}
	return retired
}

// Size returns the bytes of the segments that are full: all but the one that is being written to. Any goroutine may call it.
func (l *Log) Size() (bytes int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.full() {
		bytes += s.bytes
	}
	return bytes
}

// TrimPoint returns a slot not above limit such that Trim to it retires segments and leaves keep bytes of full ones, or 0 if none can be retired. Any goroutine may call it.
func (l *Log) TrimPoint(keep int64, limit paxos.Slot) (point paxos.Slot) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	rest := int64(0)
	for _, s := range l.full() {
		rest += s.bytes
	}
	for _, s := range l.full() {
		if rest -= s.bytes; rest < keep || s.last > limit {
			break
		}
		point = max(point, s.last)
	}
	return point
}

// full returns the segments before the one that is written to. The caller holds mu.
func (l *Log) full() []*segment { return l.segments[:max(0, len(l.segments)-1)] }
