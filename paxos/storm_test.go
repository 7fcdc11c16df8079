package paxos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// Random schedules again, where more is unusual: quorums of unequal sizes, members that play some roles only, a disk that loses votes, the power cut for all.

// storms are the configurations; members are numbered from 1.
var storms = []struct {
	name           string
	roles          []Role
	phase1, phase2 int
}{
	{"majority of three", []Role{FullMember, FullMember, FullMember}, 2, 2},
	{"small phase 2 among four", []Role{FullMember, FullMember, FullMember, FullMember}, 3, 2},
	{"small phase 1 among four", []Role{FullMember, FullMember, FullMember, FullMember}, 2, 3},
	{"all in phase 1, one in phase 2", []Role{FullMember, FullMember, FullMember}, 3, 1},
	{"a learner, and a proposer without a vote", []Role{FullMember, FullMember, FullMember, Learner, Proposer | Learner}, 2, 2},
	{"acceptors apart from proposers", []Role{Acceptor | Learner, Acceptor | Learner, Acceptor | Learner, Proposer | Learner, Proposer | Learner}, 2, 2},
}

func TestRandomStormsAgreeAndThenFinish(t *testing.T) {
	for _, storm := range storms {
		t.Run(storm.name, func(t *testing.T) {
			chosen := 0
			for seed := range uint64(25) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					c := newTestCluster(t, seed, len(storm.roles))
					c.reconfigure(storm.roles, storm.phase1, storm.phase2)
					c.faults = testFaults{loss: 0.1 * float64(seed%3), duplication: 0.1 * float64(seed%2)}
					lost := c.storm(rand.New(rand.NewPCG(seed, 3)), 6000)
					c.faults = testFaults{}
					for _, n := range c.nodes {
						c.crash(n)
						c.restart(n, lost)
					}
					c.settle(600, c.nodes...)
					before := len(c.chosen)
					c.recovers([]NodeID{1, 2})
					if len(c.chosen) <= before {
						t.Error("after the storm nothing is chosen any more")
					}
					c.settle(200, c.nodes...)
					for _, n := range c.nodes {
						if n.applied != c.nodes[0].applied {
							t.Errorf("node %d has applied %d slots, node 1 %d", n.id, n.applied, c.nodes[0].applied)
						}
					}
					chosen += len(c.chosen)
				})
			}
			if chosen < 25*20 {
				t.Errorf("only %d slots were chosen in 25 schedules: the test tests little", chosen)
			}
		})
	}
}

// reconfigure starts all nodes anew as members of another configuration; nothing may have happened yet.
func (c *testCluster) reconfigure(roles []Role, phase1, phase2 int) {
	c.t.Helper()
	members := append([]Member(nil), c.config.Members...)
	for i := range members {
		members[i].Roles = roles[i]
	}
	config, err := NewConfiguration(0, members, phase1, phase2)
	if err != nil {
		c.t.Fatal(err)
	}
	c.config = config.WithWindow(8)
	for _, n := range c.nodes {
		c.start(n)
	}
}

// damage is what node 1's disk has lost, by index in the log. In its place the log has a promise of the ballot, which the vital state knows as well.
type damage map[int]*Record

// storm plays a random schedule in which members crash, sometimes all of them, and node 1's disk loses records, unless its vote alone chooses. It returns those.
func (c *testCluster) storm(rng *rand.Rand, steps int) damage {
	lost := damage{}
	for range steps {
		switch x := rng.Float64(); {
		case x < 0.0005: // the power fails
			for _, n := range c.nodes {
				c.crash(n)
			}
			for _, n := range c.nodes {
				c.restart(n, lost)
			}
		case x < 0.002:
			n := c.nodes[rng.IntN(len(c.nodes))]
			c.crash(n)
			if n.id == 1 && c.config.Phase2 > 1 {
				for range len(n.log) / 8 {
					lost.take(n, rng.IntN(len(n.log)))
				}
			}
			c.restart(n, lost)
		default:
			c.random()
		}
	}
	return lost
}

// take loses a record, if it is of a slot that the machine has not saved.
func (d damage) take(n *testNode, i int) {
	if rec := n.log[i]; rec.Kind != RecordPromise && rec.Slot > n.saved {
		d[i] = rec
		n.log[i] = &Record{Kind: RecordPromise, Ballot: rec.Ballot}
	}
}

// unknown returns the slots above the applied one whose last record is lost, and what is known of its ballot.
func (d damage) unknown(n *testNode) map[Slot]Ballot {
	last := map[Slot]int{}
	for i, rec := range n.log {
		if was := d[i]; was != nil {
			rec = was
		}
		if rec.Kind != RecordPromise && rec.Slot > n.saved {
			last[rec.Slot] = i
		}
	}
	unknown := map[Slot]Ballot{}
	for slot, i := range last {
		if was := d[i]; was != nil {
			unknown[slot] = was.Ballot
		}
	}
	return unknown
}

// restart boots a node as start does; node 1 is told of its damage first.
func (c *testCluster) restart(n *testNode, lost damage) {
	n.boot++
	n.up, n.pending, n.applied = true, map[uint64]bool{}, n.saved
	stable := Stable{Applied: n.applied, Last: LSN(len(n.log))}
	for _, rec := range n.log {
		stable.Promised = maxBallot(stable.Promised, rec.Ballot)
	}
	r, err := New(Config{Self: n.id, Incarnation: Incarnation(99 + int(n.id)), Boot: n.boot, Founders: c.config, Seed: uint64(n.id),
		HeartbeatTicks: 10, SuspectTicks: 40, ResendTicks: 15, Limits: testLimits()}, stable)
	if err != nil {
		c.t.Fatal(err)
	}
	if n.id == 1 {
		maps.DeleteFunc(lost, func(i int, _ *Record) bool { return i >= len(n.log) }) // the crash took it
		for slot, ballot := range lost.unknown(n) {
			r.RestoreUnknown(slot, ballot)
		}
	}
	for i, rec := range n.log {
		if n.id != 1 || lost[i] == nil {
			r.Restore(LSN(i+1), rec)
		}
	}
	n.r = r
	for s := n.applied + 1; s <= r.Delivered(); s++ {
		c.apply(n, lastRecord(n.log, s))
	}
}
