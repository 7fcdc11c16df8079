package links

import (
	"math/rand/v2"
	"sync"
	"time"
)

// retransmission is how much later the bytes of a lost packet arrive: the least that Linux waits before it sends again.
const retransmission = 200 * time.Millisecond

// link is one direction between two members: whether, and how late, bytes arrive.
type link struct {
	mu    sync.Mutex
	works chan struct{} // closed while bytes get through
	delay time.Duration
	loss  int // percent
}

func newLink() *link {
	l := &link{works: make(chan struct{})}
	close(l.works)
	return l
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.works:
		l.works = make(chan struct{})
	default: // it is cut
	}
}

func (l *link) setDelay(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = by
}

func (l *link) setLoss(percent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss = percent
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.loss = 0, 0
	select {
	case <-l.works:
	default:
		close(l.works)
	}
}

// due returns when bytes that are sent now arrive, if the link works then.
func (l *link) due() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := l.delay
	if rand.IntN(100) < l.loss {
		late += retransmission
	}
	return time.Now().Add(late)
}

// await returns true once the link works, or false when done is closed before.
func (l *link) await(done <-chan struct{}) bool {
	l.mu.Lock()
	works := l.works
	l.mu.Unlock()
	select {
	case <-works:
		return true
	case <-done:
		return false
	}
}
