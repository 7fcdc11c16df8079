package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Networks that are broken in part: the cases in which leader election by time-outs alone finds no leader, or never stops electing (Ng et al., "Omni-Paxos",
// 2023; Cloudflare's outage of 2 November 2020). Every member that can reach a quorum, if through others, must get a command chosen within four election timeouts,
// and then the ballots must stand still.

// recoveryTicks is four election timeouts. One is the suspicion time, and as long again for the take-over.
const recoveryTicks = 4 * (2 * 40)

// line is a network in which only these pairs can talk, both ways.
func line(pairs ...[2]NodeID) func(from, to NodeID) bool {
	return func(from, to NodeID) bool {
		for _, p := range pairs {
			if from == p[0] && to == p[1] || from == p[1] && to == p[0] {
				return false
			}
		}
		return true
	}
}

// without is a network in which these nodes are cut off from everybody.
func without(nodes ...NodeID) func(from, to NodeID) bool {
	return func(from, to NodeID) bool {
		for _, n := range nodes {
			if from == n || to == n {
				return true
			}
		}
		return false
	}
}

func TestPartialConnectivity(t *testing.T) {
	for _, tc := range []struct {
		name      string
		nodes     int
		leader    NodeID                     // before
		lagging   NodeID                     // misses some slots before; 0 for none
		cut       func(from, to NodeID) bool // from then on
		connected []NodeID
	}{
		{"quorum loss: everybody is left with the hub alone, the leader too", 5, 5, 0, line([2]NodeID{1, 2}, [2]NodeID{1, 3}, [2]NodeID{1, 4}, [2]NodeID{1, 5}), []NodeID{1, 2, 3, 4, 5}},
		{"constrained election: the hub has the shortest log, the leader is gone", 5, 5, 1, line([2]NodeID{1, 2}, [2]NodeID{1, 3}, [2]NodeID{1, 4}), []NodeID{1, 2, 3, 4}},
		{"chain: the leader at one end", 3, 3, 0, line([2]NodeID{1, 2}, [2]NodeID{2, 3}), []NodeID{1, 2, 3}},
		{"chain: the leader in the middle", 3, 2, 0, line([2]NodeID{1, 2}, [2]NodeID{2, 3}), []NodeID{1, 2, 3}},
		{"chain of five: the leader at one end", 5, 5, 0, line([2]NodeID{1, 2}, [2]NodeID{2, 3}, [2]NodeID{3, 4}, [2]NodeID{4, 5}), []NodeID{2, 3, 4}},
		{"one way: nothing from the leader to one follower", 3, 3, 0, func(from, to NodeID) bool { return from == 3 && to == 1 }, []NodeID{1, 2, 3}},
		{"one way: nothing from one follower to the leader", 3, 3, 0, func(from, to NodeID) bool { return from == 1 && to == 3 }, []NodeID{1, 2, 3}},
		{"one way: the leader hears nobody", 3, 3, 0, func(from, to NodeID) bool { return to == 3 }, []NodeID{1, 2}},
		{"one way: nobody hears the leader", 3, 3, 0, func(from, to NodeID) bool { return from == 3 }, []NodeID{1, 2}},
		{"one way around: each hears one of two others", 3, 3, 0, func(from, to NodeID) bool { return to != from%3+1 }, nil},
		{"a deaf follower", 3, 3, 0, func(from, to NodeID) bool { return to == 1 }, []NodeID{2, 3}},
		{"a mute follower", 3, 3, 0, func(from, to NodeID) bool { return from == 1 }, []NodeID{2, 3}},
		{"the leader is cut off", 3, 3, 0, without(3), []NodeID{1, 2}},
		{"a ring of five", 5, 5, 0, line([2]NodeID{1, 2}, [2]NodeID{2, 3}, [2]NodeID{3, 4}, [2]NodeID{4, 5}, [2]NodeID{5, 1}), []NodeID{1, 2, 3, 4, 5}},
		{"two halves, and one member that hears both", 5, 5, 0, line([2]NodeID{1, 2}, [2]NodeID{1, 3}, [2]NodeID{2, 3}, [2]NodeID{3, 4}, [2]NodeID{3, 5}, [2]NodeID{4, 5}), []NodeID{1, 2, 3, 4, 5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTestCluster(t, 1, tc.nodes)
			c.leaderBecomes(tc.leader, tc.lagging)
			c.faults.cut = tc.cut
			c.recovers(tc.connected)
			c.staysSettled(tc.connected)
			c.faults.cut = nil
			c.settle(recoveryTicks, c.nodes...)
			for _, n := range c.nodes {
				if n.applied != c.nodes[0].applied {
					t.Errorf("after the network is whole again node %d has applied %d slots, node 1 %d", n.id, n.applied, c.nodes[0].applied)
				}
			}
		})
	}
}

// Every way in which the links between five members can be cut, with any of them leading before. Who can talk with a quorum, itself included, is served: two such
// members have a neighbour in common, so the one reaches the leader through it even if the other leads.
func TestEveryPartialPartitionLeavesTheQuorumConnectedServed(t *testing.T) {
	for graph := range 1 << 10 {
		cut := func(from, to NodeID) bool {
			low, high := min(from, to)-1, max(from, to)-1
			return graph>>(high*(high-1)/2+low)&1 == 0
		}
		connected := quorumConnected(5, cut)
		if len(connected) == 0 {
			continue
		}
		t.Run(fmt.Sprintf("%010b", graph), func(t *testing.T) {
			c := newTestCluster(t, uint64(graph), 5)
			c.leaderBecomes(5, 0)
			c.faults.cut = cut
			c.recovers(connected)
			before := c.highestRound()
			for range recoveryTicks {
				c.round(c.nodes...)
			}
			if after := c.highestRound(); after != before {
				t.Errorf("ballots go on growing: round %d, then %d", before, after)
			}
		})
	}
}

// The same with links that are cut in one direction: those carry requests that nobody answers, and answers to nothing.
func TestOneWayLinksDoNotKeepTheQuorumConnectedFromBeingServed(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		whole := map[link]bool{}
		for from := NodeID(1); from <= 5; from++ {
			for to := NodeID(1); to <= 5; to++ {
				whole[link{from, to}] = rng.IntN(3) > 0
			}
		}
		cut := func(from, to NodeID) bool { return !whole[link{from, to}] }
		connected := quorumConnected(5, cut)
		if len(connected) == 0 {
			continue
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newTestCluster(t, seed, 5)
			c.leaderBecomes(5, 0)
			c.faults.cut = cut
			c.recovers(connected)
			c.staysSettled(connected)
		})
	}
}

// quorumConnected returns the nodes that can talk, both ways, with enough others for a majority.
func quorumConnected(n int, cut func(from, to NodeID) bool) (connected []NodeID) {
	for a := NodeID(1); a <= NodeID(n); a++ {
		reached := 1
		for b := NodeID(1); b <= NodeID(n); b++ {
			if a != b && !cut(a, b) && !cut(b, a) {
				reached++
			}
		}
		if reached > n/2 {
			connected = append(connected, a)
		}
	}
	return connected
}

// A member whose links come and go, all at once, whatever the rhythm, disturbs the others once at most: when it is the leader.
func TestAFlappingMemberDoesNotDisturbTheOthers(t *testing.T) {
	for _, period := range []int{7, 25, 50, 90, 200} {
		for _, leader := range []NodeID{1, 3} {
			t.Run(fmt.Sprintf("leader %d, node 1 flaps every %d ticks", leader, period), func(t *testing.T) {
				c := newTestCluster(t, 1, 3)
				c.leaderBecomes(leader, 0)
				before := c.highestRound()
				for cycle := range 1200 / period {
					c.faults.cut = nil
					if cycle%2 == 0 {
						c.faults.cut = without(1)
					}
					for range period {
						c.round(c.nodes...)
					}
				}
				if n := c.highestRound() - before; n > 2 {
					t.Errorf("%d take-overs in 1200 ticks", n)
				}
				c.recovers([]NodeID{2, 3})
			})
		}
	}
}

// round lets a tick pass at these nodes, and everything be delivered and synced everywhere.
func (c *testCluster) round(ticking ...*testNode) {
	for _, n := range ticking {
		c.step(n, Event{Kind: Tick})
		c.step(n, Event{Kind: Idle})
	}
	c.settleNow()
}

// settleNow delivers what has been sent up to now, and syncs.
func (c *testCluster) settleNow() {
	now := c.net
	c.net = nil
	for _, msg := range now {
		c.step(c.node(msg.to), Event{Kind: Received, From: msg.from, Incarnation: Incarnation(99 + int(msg.from)), Message: msg.m})
	}
	for _, n := range c.nodes {
		c.step(n, Event{Kind: Idle})
		c.sync(n)
		c.step(n, Event{Kind: Idle})
	}
}

// leaderBecomes makes a node leader of the whole cluster, by letting time pass for it alone, and then everybody its followers. The lagging node, if any, misses what is chosen then.
func (c *testCluster) leaderBecomes(id, lagging NodeID) {
	c.t.Helper()
	for n := 0; !c.node(id).r.Status().Leads; n++ {
		if n == recoveryTicks {
			c.t.Fatalf("node %d does not become leader", id)
		}
		c.round(c.node(id))
	}
	for range 30 {
		c.round(c.nodes...)
	}
	if lagging != 0 {
		c.faults.cut = without(lagging)
	}
	for range 10 {
		c.propose(c.node(id))
		c.round(c.nodes...)
	}
	for _, n := range c.nodes {
		if leader := n.r.Status().Leader; leader != id {
			c.t.Fatalf("node %d follows %d, not %d", n.id, leader, id)
		}
	}
	if lagging != 0 && c.node(lagging).r.Status().Chosen >= c.node(id).r.Status().Chosen {
		c.t.Fatalf("node %d does not lag", lagging)
	}
}

// recovers wants a command of each of these nodes applied there within the time that is allowed. A node tries again when it is told that a command did not happen, or hears nothing
// for an election timeout.
func (c *testCluster) recovers(nodes []NodeID) {
	c.t.Helper()
	tried := map[NodeID][]uint64{}
	done := func(id NodeID) bool {
		return slices.ContainsFunc(tried[id], func(command uint64) bool {
			_, applied := c.where[command]
			return applied && !c.node(id).pending[command]
		})
	}
	waiting := nodes
	for tick := range recoveryTicks {
		for _, id := range waiting {
			last := slices.Max(append(tried[id], 0))
			if !c.node(id).pending[last] || tick%80 == 0 {
				c.propose(c.node(id))
				tried[id] = append(tried[id], c.lastID)
			}
		}
		c.round(c.nodes...)
		waiting = slices.DeleteFunc(slices.Clone(waiting), done)
		if len(waiting) == 0 {
			return
		}
	}
	for _, n := range c.nodes {
		st := n.r.Status()
		c.t.Logf("node %d: leader %d, ballot %v, promised %v, leads %v, chosen up to %d", n.id, st.Leader, st.Ballot, st.Promised, st.Leads, st.Chosen)
	}
	c.t.Fatalf("after %d ticks nodes %v have got nothing chosen", recoveryTicks, waiting)
}

// staysSettled wants no further take-over in a long time.
func (c *testCluster) staysSettled(nodes []NodeID) {
	c.t.Helper()
	if len(nodes) == 0 {
		return
	}
	before := c.highestRound()
	for range 4 * recoveryTicks {
		c.round(c.nodes...)
	}
	if after := c.highestRound(); after != before {
		c.t.Errorf("ballots go on growing: round %d, then %d", before, after)
	}
	c.recovers(nodes)
}

func (c *testCluster) highestRound() (highest uint64) {
	for _, n := range c.nodes {
		highest = max(highest, n.r.Status().Ballot.Round)
	}
	return highest
}
