package e2e

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// steadyPace is how often a write through each member begins, whatever became of those before: what a gap is measured in.
	steadyPace = 20 * time.Millisecond
	// steadyTimeout is what each is waited for. It bounds how many are under way.
	steadyTimeout = time.Second
)

// steady is a load that shows for how long a cluster takes no writes: clients that begin one through each member at fixed times, so that none has to wait
// for another to be given up. Beside them a reader of each member.
type steady struct {
	*load

	mu    sync.Mutex
	acked []time.Time // when a write was acknowledged
}

func startSteady(c *cluster) *steady {
	s := &steady{load: newLoad(c)}
	for i, m := range c.members {
		s.clients.Go(func() { s.beginWrites(m) })
		s.clients.Go(func() { s.readFrom(m, steadyKey(c.members[(i+1)%len(c.members)])) })
	}
	return s
}

func steadyKey(m *member) string { return "steady/" + m.name }

func (s *steady) beginWrites(m *member) {
	s.eachTurn(steadyPace, func(turn int) {
		s.clients.Go(func() {
			p := s.put(m, steadyKey(m), turn, steadyTimeout)
			s.note(p)
			if p.outcome == acknowledged {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.acked = append(s.acked, time.Now())
			}
		})
	})
}

func (s *steady) readFrom(m *member, key string) {
	s.eachTurn(steadyPace, func(int) {
		if g, ok := s.get(m, key); ok {
			s.load.mu.Lock()
			defer s.load.mu.Unlock()
			s.gets = append(s.gets, g)
		}
	})
}

// awaitAll waits until a write has been acknowledged through each of the members that began now or later.
func (s *steady) awaitAll() {
	s.t.Helper()
	for i, m := range *s.members.Load() {
		eventually(s.t, "a write through "+m.name, func() bool {
			p := s.put(m, fmt.Sprintf("await/%d", i), s.nextProbe(), steadyTimeout)
			s.note(p)
			return p.outcome == acknowledged
		})
	}
}

// longestGap is the longest time between begin and end without an acknowledgement.
func (s *steady) longestGap(begin, end time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	times := []time.Time{begin, end}
	for _, at := range s.acked {
		if at.After(begin) && at.Before(end) {
			times = append(times, at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var gap time.Duration
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i].Sub(times[i-1]))
	}
	return gap
}
