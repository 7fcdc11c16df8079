package e2e

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"synod.dev/synod/e2e/history"
)

const (
	// partialLasts is how long a partial partition is looked at: several of the times that it may take to get over it.
	partialLasts = 5 * time.Second
	// gapMax bounds the time without any write under a partial partition: four election timeouts, and one for the busy machine.
	gapMax = 5 * time.Second
	// changesMax bounds how often the leader changes under one: more is no recovery but a quarrel.
	changesMax = 3
)

// partialPartition cuts some links and leaves others.
type partialPartition struct {
	name    string
	members int
	cut     func(n *nemesis, leader *member)
	aside   bool // the leader is one that no client can write through
}

var partialPartitions = []partialPartition{
	{"quorum loss: the leader and all others reach one member only", 5, func(n *nemesis, leader *member) {
		star(n.network, n.cluster.members, n.from(leader, 1))
	}, false},
	{"constrained election: the only member that all reach has an old log", 5, func(n *nemesis, leader *member) {
		hub := n.from(leader, 1)
		for _, m := range n.others(hub) {
			part(n.network, hub, m)
		}
		pass(2 * time.Second) // it misses what is written meanwhile
		n.network.heal()
		star(n.network, n.cluster.members, hub)
	}, false},
	{"chained: one member reaches the leader through the other only", 3, func(n *nemesis, leader *member) {
		chain(n.network, append([]*member{leader}, n.others(leader)...))
	}, false},
	{"one way: nothing gets from the leader to one member", 3, func(n *nemesis, leader *member) {
		n.network.cut(leader, n.from(leader, 1))
	}, false},
	{"one way: nothing gets from one member to the leader", 3, func(n *nemesis, leader *member) {
		n.network.cut(n.from(leader, 1), leader)
	}, false},
	{"aside: no client reaches the leader, the members do", 3, func(n *nemesis, leader *member) {
		part(n.network, leader, nil)
	}, true},
}

// TestWritesResumeUnderPartialPartitions cuts some links for good and demands that clients of every member that they reach can soon write again, without
// anything being healed, and that one leader stays.
func TestWritesResumeUnderPartialPartitions(t *testing.T) {
	for _, scenario := range partialPartitions {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			bestOf(t, func(t *testing.T) error {
				gap, changes := underPartialPartition(t, scenario)
				if gap > gapMax || changes > changesMax {
					return fmt.Errorf("no write for %v and %d changes of leader; want at most %v, and %d", gap, changes, gapMax, changesMax)
				}
				return nil
			})
		})
	}
}

// underPartialPartition cuts the links for a while, and returns the longest time in which no client wrote through some member that clients reach, and how often the leader
// changed.
func underPartialPartition(t *testing.T, scenario partialPartition) (gap time.Duration, changes int) {
	t.Helper()
	c, w := newLinkedCluster(t, scenario.members)
	c.start()
	n := &nemesis{t: t, cluster: c, network: w}
	s := startClients(c, 1)
	s.awaitWrite(time.Now())
	leader := c.leader()
	scenario.cut(n, leader)
	begin := time.Since(s.began)
	before := elections(c)
	pass(partialLasts)
	end := time.Since(s.began)
	changes = elections(c) - before
	w.heal()
	s.judge(c)
	gap = s.longestGap(begin, end, "")
	t.Logf("over %s: no write for %v at most, %d changes of leader", w.form(), gap.Round(time.Millisecond), changes)
	for _, m := range c.members {
		if scenario.aside && m == leader {
			continue
		}
		through := s.longestGap(begin, end, m.name)
		t.Logf("  through %s: %v", m.name, through.Round(time.Millisecond))
		gap = max(gap, through)
	}
	return gap, changes
}

// TestALeaderThatWasPausedServesNothingStale stops the leader for ten seconds. Meanwhile others lead and write, and clients ask the stopped
// one, who finds their requests when it goes on and still takes itself for the leader.
func TestALeaderThatWasPausedServesNothingStale(t *testing.T) {
	const pause, readers = 10 * time.Second, 20
	t.Parallel()
	c, _ := newLinkedCluster(t, 3)
	c.start()
	s := startClients(c, 1)
	s.awaitWrite(time.Now())
	paused := c.leader()
	stopped := time.Now()
	paused.signal(syscall.SIGSTOP)
	resumed := s.awaitWrite(stopped)
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			s.requestWithin(pause+patience, paused, history.Op{Kind: history.Get, Key: "key0"})
		})
	}
	pass(max(pause-time.Since(stopped), 2*clientTimeout)) // long enough to tell that the readers waited, however late writes resumed
	paused.signal(syscall.SIGCONT)
	reading.Wait()
	s.awaitWrite(time.Now())
	s.judge(c)
	t.Logf("writes resumed %v after the leader had stopped", resumed.Round(time.Millisecond))
	answered := 0
	for _, op := range s.ops {
		if op.Through == paused.name && op.Kind == history.Get && op.Outcome == history.Acknowledged && op.Return-op.Call > clientTimeout {
			answered++
		}
	}
	if answered == 0 {
		t.Error("the member that was paused has answered nothing that it was asked meanwhile, so nothing was checked")
	}
	t.Logf("%d of %d reads that waited for it were answered", answered, readers)
}

// elections is how many times any member of c has begun to lead or to follow.
func elections(c *cluster) int {
	leaders := map[string]bool{} // ballots
	for _, m := range c.members {
		for _, ballot := range m.ballots() {
			leaders[ballot] = true
		}
	}
	return len(leaders)
}

// longestGap is the longest time between begin and end without an acknowledged write, through one member or, if it is "", through any.
func (s *clients) longestGap(begin, end time.Duration, through string) time.Duration {
	times := []time.Duration{begin, end}
	for _, op := range s.ops {
		write := op.Kind == history.Put || op.Kind == history.Swap && op.Done
		if write && op.Outcome == history.Acknowledged && op.Call > begin && op.Return < end && (through == "" || op.Through == through) {
			times = append(times, op.Return)
		}
	}
	slices.Sort(times)
	var gap time.Duration
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i]-times[i-1])
	}
	return gap
}
