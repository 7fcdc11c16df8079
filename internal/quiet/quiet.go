// Package quiet keeps what comes up again and again from filling the log.
package quiet

import (
	"sync"
	"time"
)

// Interval is the time between two log lines on the same matter.
const Interval = 30 * time.Second

// Matter is something that may be logged once in an Interval. The zero value has not been logged yet. It is safe for concurrent use.
type Matter struct {
	mu     sync.Mutex
	logged time.Time
	muted  int // lines since then
}

// May reports whether a line may be written now, and how many were not since the last one.
func (m *Matter) May(now time.Time) (muted int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.logged.IsZero() && now.Sub(m.logged) < Interval {
		m.muted++
		return 0, false
	}
	muted = m.muted
	m.logged, m.muted = now, 0
	return muted, true
}
