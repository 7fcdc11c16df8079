package synod

import (
	"sync"

	"synod.dev/synod/paxos"
)

// inbox gathers what the event loop is to see next; the loop takes all of it at once. This node's own goroutines never wait to put something in, what they put is bounded elsewhere. Peers wait
// while it is full, which holds back their streams.
type inbox struct {
	mu     sync.Mutex
	room   sync.Cond
	closed bool
	events []paxos.Event
	reads  []*readWaiter
	calls  []func()
	wake   chan struct{} // capacity 1
}

// How many events and calls may wait before peers do.
const (
	inboxEventsMax = 16384
	inboxCallsMax  = 1024
)

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

func (b *inbox) put(ev paxos.Event) {
	b.mu.Lock()
	b.events = append(b.events, ev)
	b.mu.Unlock()
	b.ring()
}

// putMessage waits for room.
func (b *inbox) putMessage(ev paxos.Event) {
	b.mu.Lock()
	for len(b.events) >= inboxEventsMax && !b.closed {
		b.room.Wait()
	}
	b.events = append(b.events, ev)
	b.mu.Unlock()
	b.ring()
}

// callForPeer is call for what a peer has asked for: it waits for room.
func (b *inbox) callForPeer(fn func()) {
	b.mu.Lock()
	for len(b.calls) >= inboxCallsMax && !b.closed {
		b.room.Wait()
	}
	b.calls = append(b.calls, fn)
	b.mu.Unlock()
	b.ring()
}

// close lets go of whoever waits: nobody takes anything any more.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.room.Broadcast()
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
	b.room.Broadcast()
	return gotEvents, gotReads, gotCalls
}
