package synod

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"synod.dev/synod/paxos"
)

// applyLoop feeds the state machine with what is chosen, in slot order, and answers those who waited for it.
//
// What it is given beyond queueBytesMax it forgets, and reads from the log when it gets there: a slow machine costs no memory.
type applyLoop struct {
	self    paxos.NodeID
	machine StateMachine
	pending *pending
	read    func(paxos.Slot) (*paxos.Record, error) // the log's last record for a slot
	failed  func(error)
	compare *comparison
	report  func(ApplyDone) // called after each call of Apply; may be nil
	grown   atomic.Int64    // bytes of records applied since it was last set to 0

	mu      sync.Mutex
	more    sync.Cond
	queue   []*paxos.Record // chosen, contiguous
	bytes   int
	chosen  paxos.Slot // everything up to here may be applied
	applied paxos.Slot
	missing paxos.Slot  // what the log has trimmed and the machine has not applied ends here: nothing is applied before it is installed
	reads   []slotReads // ascending by slot
	calls   []func()    // to be made between two calls of Apply
	closing bool
	done    chan struct{}
}

// slotReads are reads that may be served once slot is applied.
type slotReads struct {
	slot  paxos.Slot
	reads []*readWaiter
}

const (
	queueBytesMax = 32 << 20 // of chosen records that wait to be applied
	applyBytesMax = 4 << 20  // of values given to the machine in one call, at least one slot
)

func newApplyLoop(self paxos.NodeID, machine StateMachine, applied paxos.Slot, pending *pending, read func(paxos.Slot) (*paxos.Record, error), failed func(error)) *applyLoop {
	a := &applyLoop{self: self, machine: machine, pending: pending, read: read, failed: failed, applied: applied, chosen: applied, done: make(chan struct{})}
	a.more.L = &a.mu
	return a
}

// deliver gives it records of the slots that follow the last ones, contiguous. It never waits.
func (a *applyLoop) deliver(records []*paxos.Record) {
	a.mu.Lock()
	for _, rec := range records {
		if rec.Slot <= a.applied {
			continue // installed meanwhile, and the core did not know yet
		}
		contiguous := len(a.queue) == 0 || a.queue[len(a.queue)-1].Slot+1 == rec.Slot
		if contiguous && a.bytes < queueBytesMax {
			a.queue = append(a.queue, rec)
			a.bytes += rec.Size()
		}
		a.chosen = max(a.chosen, rec.Slot)
	}
	a.mu.Unlock()
	a.more.Signal()
}

// deliverLogged says that everything up to slot may be applied and is to be read from the log.
func (a *applyLoop) deliverLogged(slot paxos.Slot) {
	a.mu.Lock()
	a.chosen = max(a.chosen, slot)
	a.mu.Unlock()
	a.more.Signal()
}

// when releases reads once slot is applied.
func (a *applyLoop) when(slot paxos.Slot, reads []*readWaiter) {
	a.mu.Lock()
	if slot > a.applied {
		a.reads = append(a.reads, slotReads{slot, reads})
		reads = nil
	}
	a.mu.Unlock()
	for _, w := range reads {
		w.release(nil)
	}
}

func (a *applyLoop) appliedSlot() paxos.Slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applied
}

// chosenSlot returns the slot up to which everything may be applied: it is chosen, and was durable here.
func (a *applyLoop) chosenSlot() paxos.Slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.chosen
}

// run applies until close, or until the machine or the log fails.
func (a *applyLoop) run() {
	defer close(a.done)
	defer func() {
		if r := recover(); r != nil {
			a.failed(fmt.Errorf("the state machine cannot go on: %v", r))
		}
	}()
	for {
		a.makeCalls()
		batch, err := a.next()
		if err != nil {
			a.failed(err)
			return
		}
		if len(batch) == 0 {
			if a.isClosing() {
				return
			}
			continue
		}
		if err := a.apply(batch); err != nil {
			a.failed(err)
			return
		}
		if last := batch[len(batch)-1].Slot; a.compare.due(last) {
			if digest, ok := digestOf(a.machine); ok {
				a.compare.take(last, digest)
			}
		}
		for _, rec := range batch {
			a.grown.Add(int64(rec.Size()))
		}
		a.advance(batch[len(batch)-1].Slot)
	}
}

// do has fn called between two calls of Apply and waits for that. It reports whether it was: not so after the loop has ended. The loop itself must not call it.
func (a *applyLoop) do(fn func()) bool {
	made := make(chan struct{})
	a.mu.Lock()
	a.calls = append(a.calls, func() { defer close(made); fn() })
	a.mu.Unlock()
	a.more.Signal()
	select {
	case <-made:
		return true
	case <-a.done:
		return false
	}
}

func (a *applyLoop) makeCalls() {
	a.mu.Lock()
	calls := a.calls
	a.calls = nil
	a.mu.Unlock()
	for _, fn := range calls {
		fn()
	}
}

func (a *applyLoop) isClosing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closing
}

// skip says that the machine holds the effects of everything up to slot, though it was not applied here. It is called from do.
func (a *applyLoop) skip(slot paxos.Slot) {
	a.mu.Lock()
	for len(a.queue) > 0 && a.queue[0].Slot <= slot {
		a.bytes -= a.queue[0].Size()
		a.queue[0], a.queue = nil, a.queue[1:]
	}
	a.chosen = max(a.chosen, slot)
	a.mu.Unlock()
	a.advance(slot)
}

// lacks returns up to which slot a snapshot is needed because the log has nothing; 0 if none is.
func (a *applyLoop) lacks() paxos.Slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.applied < a.missing {
		return a.missing
	}
	return 0
}

// next waits for slots to apply and returns some; none after close, or if there are calls to be made.
func (a *applyLoop) next() ([]*paxos.Record, error) {
	a.mu.Lock()
	for (a.chosen == a.applied || a.applied < a.missing) && len(a.calls) == 0 && !a.closing {
		a.more.Wait()
	}
	if a.closing || len(a.calls) > 0 {
		a.mu.Unlock()
		return nil, nil
	}
	slot, chosen := a.applied+1, a.chosen
	if len(a.queue) > 0 && a.queue[0].Slot == slot {
		n, size := 0, 0
		for n < len(a.queue) && (n == 0 || size+a.queue[n].Size() <= applyBytesMax && !a.compare.due(a.queue[n-1].Slot)) {
			size += a.queue[n].Size()
			n++
		}
		batch := a.queue[:n:n]
		a.queue = a.queue[n:]
		a.bytes -= size
		a.mu.Unlock()
		return batch, nil
	}
	if len(a.queue) > 0 {
		chosen = a.queue[0].Slot - 1
	}
	a.mu.Unlock()
	return a.readLog(slot, chosen)
}

func (a *applyLoop) readLog(slot, upto paxos.Slot) ([]*paxos.Record, error) {
	var batch []*paxos.Record
	for size := 0; slot <= upto && (size == 0 || size < applyBytesMax && !a.compare.due(slot-1)); slot++ {
		rec, err := a.read(slot)
		if err != nil {
			return nil, fmt.Errorf("slot %d is chosen and has to be applied, but cannot be read from this member's log: %w", slot, err)
		}
		batch = append(batch, rec)
		size += rec.Size()
	}
	return batch, nil
}

// apply executes the commands of some slots and answers their proposers.
func (a *applyLoop) apply(batch []*paxos.Record) error {
	var commands []Command
	var ours []uint64 // by command: its number if it is of this node, or 0
	_, sessioned := a.machine.(*sessions)
	for _, rec := range batch {
		var malformed error
		err := rec.Value.Commands(func(b []byte) {
			e, err := DecodeEnvelope(b)
			if err == nil && e.Session != nil && !sessioned {
				err = errors.New("a command of a session, of which this member keeps none: set Config.Sessions as the others have")
			}
			if err != nil {
				malformed = err
				return
			}
			commands = append(commands, Command{Slot: rec.Slot, Time: e.Time, Source: e.Source, Data: e.Data, session: e.Session})
			number := e.Number
			if e.Origin != a.self {
				number = 0
			}
			ours = append(ours, number)
		})
		if err == nil {
			err = malformed
		}
		if err != nil {
			return fmt.Errorf("slot %d holds what this version cannot read: %w", rec.Slot, err)
		}
	}
	last := batch[len(batch)-1].Slot
	if len(commands) > 0 {
		progress := Progress{Applying: time.Now()}
		results := a.machine.Apply(commands)
		progress.Applied = time.Now()
		if a.report != nil {
			a.report(applyDone(commands, progress))
		}
		if len(results) != len(commands) {
			return fmt.Errorf("the state machine returned %d results for %d commands", len(results), len(commands))
		}
		a.answer(ours, results, progress)
		if commands[len(commands)-1].Slot == last {
			return nil
		}
	}
	if marker, ok := a.machine.(SlotMarker); ok {
		marker.Advance(last)
	}
	return nil
}

func applyDone(commands []Command, progress Progress) ApplyDone {
	done := ApplyDone{Slot: commands[len(commands)-1].Slot, Commands: len(commands), Duration: progress.Applied.Sub(progress.Applying)}
	for _, c := range commands {
		done.Bytes += len(c.Data)
	}
	return done
}

func (a *applyLoop) answer(numbers []uint64, results []any, progress Progress) {
	n := 0
	outcomes := make([]outcome, 0, len(results))
	for i, number := range numbers {
		if number != 0 {
			numbers[n] = number
			n++
			outcomes = append(outcomes, outcome{result: results[i], progress: progress})
		}
	}
	a.pending.resolve(numbers[:n], outcomes)
}

// advance takes note of what is applied and releases the reads that waited for it.
func (a *applyLoop) advance(slot paxos.Slot) {
	var ready []slotReads
	a.mu.Lock()
	a.applied = slot
	rest := a.reads[:0]
	for _, sr := range a.reads {
		if sr.slot <= slot {
			ready = append(ready, sr)
		} else {
			rest = append(rest, sr)
		}
	}
	clear(a.reads[len(rest):])
	a.reads = rest
	a.mu.Unlock()
	for _, sr := range ready {
		for _, w := range sr.reads {
			w.release(nil)
		}
	}
}

// close stops after the call under way and waits for it.
func (a *applyLoop) close() {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.more.Signal()
	<-a.done
}
