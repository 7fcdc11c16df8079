package kv

import "sync"

// Counts is what has been executed on a store since it was opened: by Apply, so that all members count the same, but for Ranges, which counts
// the reads of this member. It is for metrics, and no part of the state.
type Counts struct {
	Puts, PutBytes uint64 // bytes of keys and values
	Deletes        uint64 // requests, and keys that went with their lease
	Txns           uint64
	Ranges         uint64

	LeasesGranted, LeasesRevoked, LeasesExpired, LeasesRenewed uint64
}

func (c *Counts) add(more Counts) {
	c.Puts += more.Puts
	c.PutBytes += more.PutBytes
	c.Deletes += more.Deletes
	c.Txns += more.Txns
	c.LeasesGranted += more.LeasesGranted
	c.LeasesRevoked += more.LeasesRevoked
	c.LeasesExpired += more.LeasesExpired
	c.LeasesRenewed += more.LeasesRenewed
}

// counter adds counts up.
type counter struct {
	mu    sync.Mutex
	total Counts
}

func (c *counter) add(more Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.add(more)
}

// Counts returns the counts so far. Any goroutine may call it.
func (s *Store) Counts() Counts {
	s.counter.mu.Lock()
	defer s.counter.mu.Unlock()
	counts := s.counter.total
	counts.Ranges = s.ranges.Load()
	return counts
}

// Keys returns how many keys there are at the current revision. Any goroutine may call it.
func (s *Store) Keys() int64 {
	if p := s.current.Load(); p != nil {
		return p.census.total()
	}
	return 0
}

// AuthRevision returns the revision of users and roles. Any goroutine may call it.
func (s *Store) AuthRevision() uint64 {
	if p := s.current.Load(); p != nil {
		return p.auth.Revision
	}
	return 0
}
