package sim

import (
	"testing"

	"synod.dev/synod/paxos"
)

// The partial partitions at which elections by heartbeat and time-out fail ("Omni-Paxos", EuroSys 2023, §2), each with many seeds. Nothing else goes wrong.

// scenarioConfig is a cluster as the root package sets it up: the suspicion time is half of an election timeout.
func scenarioConfig(members int) Config {
	c := Config{HeartbeatTicks: 10, SuspectTicks: 50, ResendTicks: 20, SegmentBytes: 64 << 10, DelayLeast: 100, DelayMean: 300, SyncLeast: 100, SyncMean: 300,
		ValueBytes: 20, Sources: 1, SaveOneIn: 4, Patience: electionTimeout, Faults: make([]int, kinds)}
	for range members {
		c.Roles = append(c.Roles, paxos.FullMember)
	}
	c.Window = paxos.WindowDefault
	return c
}

const electionTimeout = 2 * 50 * tickMicros

// scenario is a cluster with a leader, and what a test asks of it.
type scenario struct {
	*world
	t      *testing.T
	leader int
}

func newScenario(t *testing.T, seed uint64, members int) *scenario {
	w, err := newWorld(seed, scenarioConfig(members), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{world: w, t: t}
	w.begin([]Action{})
	s.until(4*electionTimeout, "a leader", func() bool { return w.leader() >= 0 })
	s.leader = w.leader()
	s.works(electionTimeout)
	return s
}

// until lets time pass until something is so, and fails if it takes longer than a bound. It returns how long it took.
func (s *scenario) until(bound int64, what string, so func() bool) int64 {
	s.t.Helper()
	began := s.now
	for !so() {
		if s.now-began > bound {
			s.t.Fatalf("seed %d: no %s after %d µs", s.seed, what, s.now-began)
		}
		s.runUntil(s.now + tickMicros)
		if s.violation != nil {
			s.t.Fatalf("seed %d: %v", s.seed, s.violation)
		}
	}
	return s.now - began
}

// works asks each of some members, or all, for a write and waits until one of those that begin now is answered.
func (s *scenario) works(bound int64, members ...int) int64 {
	s.t.Helper()
	asked := s.now
	acked := func() bool {
		for i := range s.workload.attempts {
			if wr := s.workload.attempts[i].write; wr != nil && wr.began >= asked && wr.at != 0 {
				return true
			}
		}
		return false
	}
	return s.until(bound, "write answered", func() bool {
		for i, m := range s.members {
			if len(members) == 0 || contains(members, i) {
				s.workload.write(m, uint64(s.now)<<8|uint64(i))
			}
		}
		return acked()
	})
}

func contains(of []int, i int) bool {
	for _, x := range of {
		if x == i {
			return true
		}
	}
	return false
}

func (s *scenario) other(than ...int) int {
	for i := range s.members {
		if !contains(than, i) {
			return i
		}
	}
	return -1
}

// cutAll cuts every link for which keep is false, in both directions.
func (s *scenario) cutAll(keep func(a, b int) bool) {
	var bits uint64
	n := len(s.members)
	for a := range n {
		for b := range n {
			if a != b && !keep(a, b) && !keep(b, a) {
				bits |= 1 << (a*n + b)
			}
		}
	}
	s.network.partition(bits)
}

const scenarioSeeds = 40

func TestAClusterWhoseMembersAllHearOneAloneRecovers(t *testing.T) {
	longest := int64(0)
	for seed := range uint64(scenarioSeeds) {
		s := newScenario(t, seed, 5)
		hub := s.other(s.leader)
		s.cutAll(func(a, b int) bool { return a == hub })
		longest = max(longest, s.works(4*electionTimeout))
		s.until(4*electionTimeout, "leader that all hear", func() bool { return s.world.leader() == hub })
	}
	t.Logf("quorum-loss: at most %.2f election timeouts", float64(longest)/electionTimeout)
}

func TestTheOnlyOneThatReachesAQuorumLeadsThoughItsLogIsOld(t *testing.T) {
	longest := int64(0)
	for seed := range uint64(scenarioSeeds) {
		s := newScenario(t, seed, 5)
		hub := s.other(s.leader)
		s.cutAll(func(a, b int) bool { return a != hub && b != hub })
		s.works(electionTimeout)
		s.works(electionTimeout)
		behind := s.members[s.leader].machine.applied - s.members[hub].machine.applied
		if behind < 2 {
			t.Fatalf("seed %d: the hub is only %d slots behind", seed, behind)
		}
		leader := s.leader
		s.cutAll(func(a, b int) bool { return a == hub && b != leader })
		longest = max(longest, s.works(4*electionTimeout, hub))
		s.until(4*electionTimeout, "leader in the middle", func() bool { return s.world.leader() == hub })
	}
	t.Logf("constrained election: at most %.2f election timeouts", float64(longest)/electionTimeout)
}

func TestAChainSettlesOnOneLeader(t *testing.T) {
	longest := int64(0)
	for seed := range uint64(scenarioSeeds) {
		s := newScenario(t, seed, 3)
		end := s.other(s.leader)
		s.cutAll(func(a, b int) bool { return !(a == s.leader && b == end) && !(b == s.leader && a == end) })
		longest = max(longest, s.works(4*electionTimeout))
		_, before := s.members[s.leader].replica.Leader()
		s.runUntil(s.now + 4*electionTimeout)
		_, settled := s.members[s.leader].replica.Leader()
		s.runUntil(s.now + 6*electionTimeout)
		if _, after := s.members[s.leader].replica.Leader(); after != settled {
			t.Errorf("seed %d: ballots go on rising in a chain: %v, %v, %v", seed, before, settled, after)
		}
		longest = max(longest, s.works(electionTimeout, end))
	}
	t.Logf("chain: at most %.2f election timeouts", float64(longest)/electionTimeout)
}

func TestALeaderWhoseDiskStallsHandsOver(t *testing.T) {
	longest := int64(0)
	for seed := range uint64(scenarioSeeds) {
		s := newScenario(t, seed, 3)
		s.members[s.leader].stalled = s.now + 100*electionTimeout
		old := s.leader
		longest = max(longest, s.works(4*electionTimeout))
		s.until(4*electionTimeout, "other leader", func() bool { l := s.world.leader(); return l >= 0 && l != old })
	}
	t.Logf("stalled disk: at most %.2f election timeouts", float64(longest)/electionTimeout)
}
