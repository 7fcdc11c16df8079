package synod

import (
	"context"
	"math/rand/v2"
	"sync"

	"synod.dev/synod/session"
)

// pending is the commands of this node's callers that wait for an outcome, by their number, with bounds on how many and how big they are.
// It is safe for concurrent use.
type pending struct {
	mu         sync.Mutex
	waiters    map[uint64]*waiter
	bytes      int
	bytesMax   int
	countMax   int
	nextNumber uint64
	err        error // after the end: why
}

// waiter is one call of Propose.
type waiter struct {
	number  uint64
	source  uint64
	data    []byte
	session *session.Header
	handed  bool         // given to a leader, or on its way: it may happen
	outcome chan outcome // capacity 1
}

type outcome struct {
	result   any
	err      error
	progress Progress
}

var waiters = sync.Pool{New: func() any { return &waiter{outcome: make(chan outcome, 1)} }}

func newPending(bytesMax, countMax int, boot uint32) *pending {
	// The boot is in the number so that a late word about a command of an earlier boot is never taken for one about ours.
	return &pending{waiters: make(map[uint64]*waiter), bytesMax: bytesMax, countMax: countMax, nextNumber: uint64(boot) << 40}
}

// add registers a command and gives it its number.
func (p *pending) add(source uint64, h *session.Header, data []byte) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if len(p.waiters) >= p.countMax || p.bytes+len(data) > p.bytesMax {
		return nil, ErrOverloaded
	}
	w := waiters.Get().(*waiter)
	w.source, w.session, w.data, w.handed = source, h, data, true
	p.number(w)
	p.bytes += len(data)
	return w, nil
}

func (p *pending) number(w *waiter) {
	p.nextNumber++
	w.number = p.nextNumber
	p.waiters[w.number] = w
}

// beginAnew numbers from a place that is drawn at random, among those that are never given out otherwise: this disk has joined later, and there may be commands in the log that an earlier disk of this member has numbered.
func (p *pending) beginAnew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextNumber = 1<<63 | rand.Uint64()>>2
}

// draw returns a number that no command has, and none will have.
func (p *pending) draw() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextNumber++
	return p.nextNumber
}

// renumber gives a command that did not happen a new number, for another attempt: what is still said about the old attempt must not be taken for the new one.
// It returns nil if the caller no longer waits.
func (p *pending) renumber(number uint64) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waiters[number]
	if w == nil {
		return nil
	}
	delete(p.waiters, number)
	p.number(w)
	w.handed = true
	return w
}

// setHanded says whether the command may be on its way to a leader.
func (p *pending) setHanded(number uint64, handed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiters[number]; w != nil {
		w.handed = handed
	}
}

// resolve answers the callers of some commands; numbers nobody waits for are passed over.
func (p *pending) resolve(numbers []uint64, outcomes []outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, number := range numbers {
		if w := p.waiters[number]; w != nil {
			p.forget(w)
			w.outcome <- outcomes[i]
		}
	}
}

// last returns the last number given out.
func (p *pending) last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nextNumber
}

// giveUp tells the callers of commands up to a number that were handed to a leader that their outcome is not known.
func (p *pending) giveUp(upto uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for number, w := range p.waiters {
		if number <= upto && w.handed {
			p.forget(w)
			w.outcome <- outcome{err: ErrUnknown}
		}
	}
}

func (p *pending) forget(w *waiter) {
	delete(p.waiters, w.number)
	p.bytes -= len(w.data)
}

// wait blocks until the outcome is known or the context ends.
func (p *pending) wait(ctx context.Context, w *waiter) (any, error) {
	select {
	case out := <-w.outcome:
		waiters.Put(w)
		return out.deliver(ctx)
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters[w.number] != w { // answered in the meantime
		out := <-w.outcome
		waiters.Put(w)
		return out.deliver(ctx)
	}
	p.forget(w)
	if w.handed {
		return nil, ErrUnknown
	}
	return nil, ErrNoLeader
}

// end answers everybody who waits and refuses whoever comes.
func (p *pending) end(refusal error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = refusal
	for _, w := range p.waiters {
		err := refusal
		if w.handed {
			err = ErrUnknown
		}
		w.outcome <- outcome{err: err}
	}
	clear(p.waiters)
	p.bytes = 0
}

func (p *pending) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiters)
}
