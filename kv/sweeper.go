package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// AwaitCompaction waits until what the last compaction made unreadable has been deleted here. It returns ctx's error, or
// rpctypes.ErrGRPCStopped if the store stops first.
func (s *Store) AwaitCompaction(ctx context.Context) error {
	select {
	case <-s.sweeper.swept():
		return nil
	case <-s.sweeper.stopped:
		return rpctypes.ErrGRPCStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sweeper is the goroutine that deletes versions that can be read no more. It goes through the changes in the order of
// their revisions, each once: a change up to the compacted revision makes what it took the place of unreadable, and is itself
// unreadable if it is a tombstone, unless it is of that very revision. So its work is as large as the changes since the
// last compaction, however many keys there are. It works in small steps and rests after each: as long as it has worked, and much longer while others write.
type sweeper struct {
	wake    chan struct{} // one token: there may be work
	stop    chan struct{}
	stopped chan struct{} // closed when the goroutine has gone

	parts  int           // of the time in which others write it works one of so many; the goroutine's own
	waited time.Duration // for the store's lock, in this step; the goroutine's own

	mu   sync.Mutex
	idle chan struct{} // closed when there is nothing left to delete
}

const (
	sweepChanges = 256 // in one step
	sweepWeight  = 512 // keys that one step may walk when it recounts buckets

	// While others write, the sweeper works 5 % of the time; half of it at most, if that is not enough.
	sweepPartsMax = 20
	sweepPartsMin = 2
)

// cursor is how far the sweeper has come, in a row of its own that is written with the deletions.
type cursor struct {
	target int64    // the compacted revision that it works for
	next   revision // the first change that it has not seen; beyond target once it is done
}

const cursorSize = 20

func (c cursor) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorSize), uint64(c.target))
	b = binary.BigEndian.AppendUint64(b, uint64(c.next.main))
	return binary.BigEndian.AppendUint32(b, c.next.sub)
}

// loadCursor reads the cursor; that of a store that has never been swept is done with revision 0.
func loadCursor(r pebble.Reader) (cursor, error) {
	b, err := get(r, cursorKey)
	if err != nil {
		return cursor{}, err
	}
	if b == nil {
		return cursor{next: revision{main: 1}}, nil
	}
	if len(b) != cursorSize {
		return cursor{}, fmt.Errorf("kv: sweep row of %d bytes: %w", len(b), errCorrupt)
	}
	return cursor{
		target: int64(binary.BigEndian.Uint64(b)),
		next:   revision{int64(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint32(b[16:])},
	}, nil
}

// aim turns the cursor to another target. The changes of the old target's own revision must be looked at again: its
// tombstones were to be kept, and now need not be.
func (c cursor) aim(target int64) cursor {
	if c.target == target {
		return c
	}
	if again := (revision{main: c.target}); again.less(c.next) {
		c.next = again
	}
	c.target = target
	return c
}

func (c cursor) done() bool { return c.next.main > c.target }

func (s *Store) startSweeper() {
	s.sweeper.wake = make(chan struct{}, 1)
	s.sweeper.stop = make(chan struct{})
	s.sweeper.stopped = make(chan struct{})
	s.sweeper.idle = make(chan struct{})
	s.sweeper.parts = sweepPartsMax
	s.sweeper.begin()
	go s.sweep()
}

func (s *Store) stopSweeper() {
	close(s.sweeper.stop)
	<-s.sweeper.stopped
}

// begin tells the sweeper that there may be something to delete.
func (p *sweeper) begin() {
	p.mu.Lock()
	select {
	case <-p.idle:
		p.idle = make(chan struct{})
	default:
	}
	p.mu.Unlock()
	p.nudge()
}

// nudge has it look whether there is anything to do.
func (p *sweeper) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *sweeper) swept() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle
}

// finish says that there is nothing left to delete.
func (p *sweeper) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.idle:
	default:
		close(p.idle)
	}
}

func (s *Store) sweep() {
	defer close(s.sweeper.stopped)
	for {
		select {
		case <-s.sweeper.stop:
			return
		case <-s.sweeper.wake:
		}
		if !s.inSteps(s.sweepStep) {
			return
		}
		var from string
		if !s.inSteps(func() (done bool, err error) {
			from, done, err = s.tidyStep(from)
			return done, err
		}) {
			return
		}
		if !s.inSteps(func() (done bool, err error) {
			done, err = s.learnStep()
			return done || len(s.sweeper.wake) > 0, err // what is to be deleted comes first; it goes on after that
		}) {
			return
		}
	}
}

// inSteps calls step until it is done, and rests in between. It reports whether the sweeper may go on.
func (s *Store) inSteps(step func() (done bool, err error)) bool {
	p := &s.sweeper
	for s.Err() == nil {
		p.waited = 0
		began := time.Now()
		done, err := step()
		if err != nil {
			s.fail(fmt.Errorf("kv: sweep: %w", err))
			return false
		}
		if done {
			return true
		}
		worked, left := time.Since(began)-p.waited, s.current.Load()
		if !p.rest(worked) {
			return false
		}
		if s.current.Load() != left && !p.rest(worked*time.Duration(p.parts-2)) { // somebody writes
			return false
		}
	}
	return false
}

// rest reports whether the sweeper may go on.
func (p *sweeper) rest(d time.Duration) bool {
	select {
	case <-p.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// aim turns the cursor to a compaction. If that has come before the one before it was done, history grows faster than it is deleted: then the sweeper takes a larger part of the time, until there is nothing left to delete.
func (p *sweeper) aim(c cursor, target int64) cursor {
	if c.target != target && !c.done() {
		p.parts = max(p.parts/2, sweepPartsMin)
	}
	return c.aim(target)
}

// lockToSweep locks the store. The time that it waits for that is none in which the sweeper works.
func (s *Store) lockToSweep() {
	began := time.Now()
	s.mu.Lock()
	s.sweeper.waited += time.Since(began)
}

// sweepStep deletes what the next few changes allow. They are read from what is published, where nothing but the sweeper changes them, so that writers wait for the deletion alone.
func (s *Store) sweepStep() (done bool, err error) {
	p := s.latest()
	if p == nil {
		return false, rpctypes.ErrGRPCStopped
	}
	batch := p.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close(), p.release()) }()
	c, err := loadCursor(p.snapshot)
	if err != nil {
		return false, err
	}
	c = s.sweeper.aim(c, p.compacted)
	var freed int64
	if !c.done() {
		if c.next, freed, err = sweepInto(batch, p.snapshot, c); err == nil {
			err = batch.Set(cursorKey, c.encode(), nil)
		}
		if err != nil {
			return false, err
		}
	}
	return s.commitSweep(p.db, batch, c, freed)
}

// commitSweep makes the deletions of a step the store's, and publishes, so that no snapshot keeps on disk what is deleted. It does nothing if another database has taken the place of db meanwhile.
func (s *Store) commitSweep(db *database, batch *pebble.Batch, c cursor, freed int64) (done bool, err error) {
	s.lockToSweep()
	defer s.mu.Unlock()
	if s.db != db || s.Err() != nil {
		return false, nil
	}
	if !batch.Empty() {
		if err := s.commitDeletions(batch, max(s.size.Load()-freed, 0)); err != nil {
			return false, err
		}
	}
	if !c.done() || c.target != s.state.compacted {
		return false, nil
	}
	s.sweeper.parts = sweepPartsMax
	s.sweeper.finish()
	return true, nil
}

// commitDeletions is called with s.mu held.
func (s *Store) commitDeletions(batch *pebble.Batch, size int64) error {
	if err := batch.Set(sizeKey, encodeSize(size), nil); err != nil {
		return err
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	s.size.Store(size)
	return s.publish()
}

// sweepInto adds to batch the deletions that the next changes allow, and returns where to go on, and what they take off the size of the store.
func sweepInto(batch *pebble.Batch, r pebble.Reader, c cursor) (next revision, freed int64, err error) {
	end := revision{main: c.target + 1}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: appendChangeKey(nil, c.next), UpperBound: appendChangeKey(nil, end)})
	if err != nil {
		return next, freed, err
	}
	defer func() {
		if closing := it.Close(); err == nil {
			err = closing
		}
	}()
	seen := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return next, freed, err
		}
		ch, err := parseChange(it.Key(), value)
		if err != nil {
			return next, freed, err
		}
		if seen++; seen > sweepChanges {
			return ch.at, freed, nil
		}
		if ch.prior != (revision{}) {
			if err := deleteVersion(batch, ch.key, ch.prior); err != nil {
				return next, freed, err
			}
			freed += ch.priorCost
		}
		if ch.dead && ch.at.main < c.target {
			if err := deleteVersion(batch, ch.key, ch.at); err != nil {
				return next, freed, err
			}
			freed += (&version{key: ch.key}).cost()
		}
	}
	return end, freed, it.Error()
}

// deleteVersion deletes a version and its change. Doing so twice does no harm.
func deleteVersion(batch *pebble.Batch, key []byte, at revision) error {
	if err := batch.Delete(appendRevision(appendPrefix(nil, key), at), nil); err != nil {
		return err
	}
	return batch.Delete(appendChangeKey(nil, at), nil)
}

// tidyStep looks at the next few buckets from a key on, counts again those that have lost keys, and joins
// neighbours that have become small, so that the census is as small as what it counts.
func (s *Store) tidyStep(from string) (next string, done bool, err error) {
	s.lockToSweep()
	defer s.mu.Unlock()
	w := s.newWriter()
	defer w.discard()
	for budget := int64(sweepWeight); budget > 0; budget-- {
		b, ok := w.census.after(from)
		if !ok {
			done = true
			break
		}
		from = b.first + "\x00"
		if b.weight > b.live {
			budget -= b.weight
			if err := w.recount(b.first); err != nil {
				return from, false, err
			}
		}
		w.joinBefore(b.first)
	}
	if len(w.dirty) > 0 {
		err = w.commit()
	}
	return from, done, err
}
