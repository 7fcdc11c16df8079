package synod

import (
	"fmt"
	"sync"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// diskLoop is the one writer of the log. While a sync is under way the next group of records gathers; a sync covers whatever was there when
// it began.
type diskLoop struct {
	log     *wal.Log
	durable func(paxos.LSN)
	failed  func(error)
	synced  func(SyncDone)

	mu      sync.Mutex
	more    sync.Cond
	queue   []*paxos.Record
	trims   []trimming
	closing bool
	done    chan struct{}
}

func newDiskLoop(log *wal.Log, durable func(paxos.LSN), failed func(error), synced func(SyncDone)) *diskLoop {
	d := &diskLoop{log: log, durable: durable, failed: failed, synced: synced, done: make(chan struct{})}
	d.more.L = &d.mu
	return d
}

// append queues records, which must be sealed. It never waits.
func (d *diskLoop) append(records []*paxos.Record) {
	d.mu.Lock()
	d.queue = append(d.queue, records...)
	d.mu.Unlock()
	d.more.Signal()
}

// trimming is one call of trim that waits.
type trimming struct {
	slot paxos.Slot
	done chan error // capacity 1
}

// trim trims the log, durably, and waits for that. It may be called from any goroutine but run's.
func (d *diskLoop) trim(slot paxos.Slot) error {
	t := trimming{slot, make(chan error, 1)}
	d.mu.Lock()
	d.trims = append(d.trims, t)
	d.mu.Unlock()
	d.more.Signal()
	select {
	case err := <-t.done:
		return err
	case <-d.done:
		return ErrClosed
	}
}

// run writes until close, or until the disk fails: then it has said so, and nothing is ever said to be durable again.
func (d *diskLoop) run() {
	defer close(d.done)
	var batch []*paxos.Record
	for {
		clear(batch)
		d.mu.Lock()
		for len(d.queue)+len(d.trims) == 0 && !d.closing {
			d.more.Wait()
		}
		batch, d.queue = d.queue, batch[:0]
		trims, closing := d.trims, d.closing
		d.trims = nil
		d.mu.Unlock()
		if !d.carryOut(trims) {
			return
		}
		if len(batch) == 0 {
			if closing {
				return
			}
			continue
		}
		began := time.Now()
		last, err := d.log.Append(batch)
		if err == nil {
			err = d.log.Sync()
		}
		if err != nil {
			d.failed(fmt.Errorf("cannot write the log: %w", err))
			return
		}
		d.durable(last)
		size := 0
		for _, rec := range batch {
			size += rec.Size()
		}
		d.synced(SyncDone{Records: len(batch), Bytes: size, Duration: time.Since(began)})
	}
}

// carryOut trims, and reports whether the disk is still sound.
func (d *diskLoop) carryOut(trims []trimming) bool {
	for _, t := range trims {
		err := d.log.Trim(t.slot)
		if err != nil {
			d.failed(fmt.Errorf("cannot trim the log: %w", err))
			t.done <- err
			return false
		}
		t.done <- nil
	}
	return true
}

// close lets run finish what is queued and waits for it.
func (d *diskLoop) close() {
	d.mu.Lock()
	d.closing = true
	d.mu.Unlock()
	d.more.Signal()
	<-d.done
}
