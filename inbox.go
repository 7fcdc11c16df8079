package synod

import (
	"sync"

	"synod.dev/synod/paxos"
)

// inbox gathers what the event loop is to see next. Whoever puts something in never waits; the loop takes all of it at once.
type inbox struct {
	mu     sync.Mutex
	events []paxos.Event
	reads  []*readWaiter
	calls  []func()
	wake   chan struct{} // capacity 1
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(ev paxos.Event) {
	b.mu.Lock()
	b.events = append(b.events, ev)
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) putRead(w *readWaiter) {
	b.mu.Lock()
	b.reads = append(b.reads, w)
	b.mu.Unlock()
	b.ring()
}

// call has fn run by the event loop.
func (b *inbox) call(fn func()) {
	b.mu.Lock()
	b.calls = append(b.calls, fn)
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take swaps what has gathered for the emptied slices of the last time.
func (b *inbox) take(events []paxos.Event, reads []*readWaiter) ([]paxos.Event, []*readWaiter, []func()) {
	clear(events)
	clear(reads)
	b.mu.Lock()
	defer b.mu.Unlock()
	gotEvents, gotReads, gotCalls := b.events, b.reads, b.calls
	b.events, b.reads, b.calls = events[:0], reads[:0], nil
	return gotEvents, gotReads, gotCalls
}

// depth returns how many events wait.
func (b *inbox) depth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}
