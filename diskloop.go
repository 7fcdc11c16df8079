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
	calls   []diskCall
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

// diskCall is something else that the log is to do between two group commits.
type diskCall struct {
	what string
	do   func() error
	done chan error // capacity 1
}

// trim trims the log, durably, and waits for that. It may be called from any goroutine but run's.
func (d *diskLoop) trim(slot paxos.Slot) error {
	return d.call("trim the log", func() error { return d.log.Trim(slot) })
}

// call has the writer do something and waits for that. An error of it is the log's, and final.
func (d *diskLoop) call(what string, do func() error) error {
	c := diskCall{what, do, make(chan error, 1)}
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.mu.Unlock()
	d.more.Signal()
	select {
	case err := <-c.done:
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
		for len(d.queue)+len(d.calls) == 0 && !d.closing {
			d.more.Wait()
		}
		batch, d.queue = d.queue, batch[:0]
		calls, closing := d.calls, d.closing
		d.calls = nil
		d.mu.Unlock()
		if !d.carryOut(calls) {
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

// carryOut makes the calls, and reports whether the disk is still sound.
func (d *diskLoop) carryOut(calls []diskCall) bool {
	for _, c := range calls {
		err := c.do()
		if err != nil {
			d.failed(fmt.Errorf("cannot %s: %w", c.what, err))
			c.done <- err
			return false
		}
		c.done <- nil
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
