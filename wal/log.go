package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Log is an open log.
type Log struct {
	fs      disk.FS
	dir     string
	options Options
	lock    io.Closer
	vital   *vitalFile
	buffer  []byte // for encoding batches; the writer's own

	prepare sync.Mutex // held while a segment is prepared; taken before mu
	next    *segment   // prepared, or nil
	lastID  segmentID  // the highest number in use

	// mu guards what follows, which only the writer changes, but for err, spares, and what Scrub and Read find damaged. It is never held during I/O.
	mu       sync.RWMutex
	state    state
	segments []*segment // ascending; the last one is live
	spares   []segmentID
	index    index
	unknown  map[paxos.Slot]UnknownSlot
	pending  []*paxos.Record // appended and not yet durable
	durable  paxos.LSN
	spoiled  paxos.Slot // see Spoiled
	err      error
}

// keepBufferBytes is the largest buffer that is kept from one batch to the next.
const keepBufferBytes = 4 << 20

// Append takes records into the log, in order, and returns the LSN of the last one. They are written, and durable, once Sync has
// returned: what several calls append before a Sync becomes one batch. The log keeps the records, which must not change
// any more; how much is appended before a Sync is the caller's to bound.
func (l *Log) Append(records []*paxos.Record) (last paxos.LSN, err error) {
	for _, r := range records {
		if len(r.Value) > paxos.MaxValueBytes {
			return 0, fmt.Errorf("%w: slot %d has a value of %d bytes, at most %d fit", ErrTooLarge, r.Slot, len(r.Value), paxos.MaxValueBytes)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	l.pending = append(l.pending, records...)
	return l.durable + paxos.LSN(len(l.pending)), nil
}

// Sync makes everything durable that was appended: one write and one fdatasync, where no ballot rises and no segment is full.
// When it returns nil the vital state's promise is durable, too, and not below the ballot of any record.
func (l *Log) Sync() error {
	if err := l.Err(); err != nil {
		return err
	}
	if err := l.raisePromise(); err != nil {
		return err
	}
	for len(l.pending) > 0 {
		n, size := l.fit(l.pending)
		if err := l.makeRoom(size); err != nil {
			return err
		}
		if err := l.writeBatch(l.pending[:n]); err != nil {
			return err
		}
	}
	return nil
}

// raisePromise comes before the records are written. So no record was ever on disk with a ballot above the vital promise,
// and rot in the log never lowers it.
func (l *Log) raisePromise() error {
	promised := l.state.Promised
	for _, r := range l.pending {
		if promised.Less(r.Ballot) {
			promised = r.Ballot
		}
	}
	if promised == l.state.Promised {
		return nil
	}
	return l.writeVital(func(s *state) { s.Promised = promised })
}

// fit returns how many records go into the next batch, at least one, and the batch's size on disk.
func (l *Log) fit(records []*paxos.Record) (n int, bytes int64) {
	bytes = batchHeaderBytes
	for _, r := range records {
		more := bytes + entryBytes + int64(r.Size())
		if n > 0 && roundUp(more) > l.options.SegmentBytes {
			break
		}
		n, bytes = n+1, more
	}
	return n, roundUp(bytes)
}

// makeRoom begins the next segment if the live one has no room for a batch of the given size. Everything in the live one
// is durable by then, and the vital state says so before the next one holds anything.
func (l *Log) makeRoom(bytes int64) error {
	if live := l.live(); live != nil && live.end+bytes <= live.bytes {
		return nil
	}
	next, err := l.takeNext(bytes)
	if err != nil {
		return err
	}
	next.first = l.durable + 1
	if err := l.writeVital(func(s *state) {
		s.live, s.durable = next.id, l.durable
		if s.oldest == 0 {
			s.oldest = next.id
		}
	}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, next)
	return nil
}

// writeBatch writes one batch and syncs it before it returns: no two are ever unsynced.
func (l *Log) writeBatch(records []*paxos.Record) error {
	live := l.live()
	b := batch{incarnation: l.state.Incarnation, segment: live.id, first: l.durable + 1, entries: make([]entry, len(records))}
	for i, r := range records {
		b.entries[i] = entryOf(r)
	}
	l.buffer = b.appendTo(l.buffer[:0])
	if _, err := live.file.WriteAt(l.buffer, live.end); err != nil {
		return l.fail("write to the log", err)
	}
	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
	b.place(int(live.end))
	live.end += int64(len(l.buffer))
	if cap(l.buffer) > keepBufferBytes {
		l.buffer = nil
	}
	l.publish(live, &b)
	return nil
}

// publish makes a durable batch visible to readers.
func (l *Log) publish(s *segment, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.entries {
		l.found(s, b.entries[i].slot, b.position(i))
	}
	l.durable = b.next() - 1
	l.pending = slices.Delete(l.pending, 0, len(b.entries))
}

// found notes where a slot's last record lies. The caller holds mu, or is the only one who knows the log.
func (l *Log) found(s *segment, slot paxos.Slot, p position) {
	s.promises = s.promises || slot == 0
	if slot == 0 || slot <= l.state.Trimmed {
		return
	}
	s.last = max(s.last, slot)
	l.index.set(slot, p)
	delete(l.unknown, slot)
}

// live returns the segment that is written to, or nil before there is any. It is the writer's to call.
func (l *Log) live() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// writeVital makes a change of the vital state durable. It is the writer's to call.
func (l *Log) writeVital(change func(*state)) error {
	s := l.state
	change(&s)
	if err := l.vital.write(s); err != nil {
		return l.fail("write the vital state", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	return nil
}

// SetFounders makes the founders durable, once and for all. To set the same again does nothing; something else is ErrFounders.
func (l *Log) SetFounders(founders []byte) error {
	if err := l.Err(); err != nil {
		return err
	}
	switch {
	case len(founders) == 0 || len(founders) > MaxFoundersBytes:
		return fmt.Errorf("%w: they are %d bytes, and must be 1 to %d", ErrFounders, len(founders), MaxFoundersBytes)
	case slices.Equal(founders, l.state.Founders):
		return nil
	case l.state.Founders != nil:
		return fmt.Errorf("%w: %s was founded with others: it belongs to another cluster", ErrFounders, l.dir)
	}
	return l.writeVital(func(s *state) { s.Founders = slices.Clone(founders) })
}

// SetEpoch makes durable which membership is kept beside the log, so that one that is lost, or an old copy, is noticed. It never goes back: an epoch that is no later changes nothing.
func (l *Log) SetEpoch(epoch uint32) error {
	if err := l.Err(); err != nil {
		return err
	}
	if epoch <= l.state.Epoch {
		return nil
	}
	return l.writeVital(func(s *state) { s.Epoch = epoch })
}

// fail latches the first error for good and returns it.
func (l *Log) fail(what string, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s in %s: %w: nothing after it is acknowledged; see to the disk, then start again", ErrFailed, what, l.dir, err)
	}
	return l.err
}

// Err returns why the log takes no more calls: an ErrFailed, ErrClosed, or nil.
func (l *Log) Err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.err
}

// Durable returns the last LSN that is on disk.
func (l *Log) Durable() paxos.LSN {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.durable
}

// Vital returns the vital state. Its Founders must not be changed.
func (l *Log) Vital() Vital {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.Vital
}

// Close releases the log. What was appended and not synced is dropped. After a clean Close the next Open knows how far the
// log was durable, to the record. To close it again does nothing.
func (l *Log) Close() error {
	l.prepare.Lock() // so that nobody prepares a segment beyond the end
	defer l.prepare.Unlock()
	err := l.Err()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	if err == nil && l.durable > l.state.durable {
		err = l.writeVital(func(s *state) { s.durable = l.durable })
	}
	l.mu.Lock()
	l.err = fmt.Errorf("%w: %s", ErrClosed, l.dir)
	l.mu.Unlock()
	return errors.Join(err, l.release())
}

// release closes whatever is open, the lock last.
func (l *Log) release() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.close())
	}
	if l.next != nil {
		errs = append(errs, l.next.close())
	}
	if l.vital != nil {
		errs = append(errs, l.vital.file.Close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
