package etcdapi

import "time"

// upkeepPause is how often a member that does not lead looks whether it does, and how long a leader waits after an upkeep that failed.
const upkeepPause = 500 * time.Millisecond

// keepUpLeases has leases end in time as long as this member leads.
func (s *Server) keepUpLeases() {
	for {
		select {
		case <-time.After(s.leaseUpkeep()):
		case <-s.stopped.Done():
			return
		}
	}
}

// leaseUpkeep proposes what is due, one command, and returns for how long to rest: after a command as long as it took, so that many leases that end together leave
// the log free for others half of the time.
func (s *Server) leaseUpkeep() (rest time.Duration) {
	if leader, _ := s.node.Leader(); uint64(leader) != s.member {
		return upkeepPause
	}
	command, wait := s.store.LeaseUpkeep()
	if command == nil {
		return wait
	}
	began := time.Now()
	if err := s.command(s.stopped, command); err != nil {
		return upkeepPause // if it happened all the same, doing it again does no harm
	}
	return time.Since(began)
}
