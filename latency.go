package synod

import (
	"slices"
	"sync"
	"time"
)

// latencies remembers the last few durations of something. It is safe for concurrent use.
type latencies struct {
	mu    sync.Mutex
	last  [512]time.Duration // a ring
	count uint64
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.last[l.count%uint64(len(l.last))] = d
	l.count++
	l.mu.Unlock()
}

func (l *latencies) summary() Latency {
	l.mu.Lock()
	count := l.count
	sorted := slices.Clone(l.last[:min(count, uint64(len(l.last)))])
	l.mu.Unlock()
	if len(sorted) == 0 {
		return Latency{}
	}
	slices.Sort(sorted)
	return Latency{Count: count, P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100], Max: sorted[len(sorted)-1]}
}
