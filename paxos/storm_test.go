package paxos

import (
	"fmt"
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
	c.config = config
	for _, n := range c.nodes {
		c.start(n)
	}
}

// lostVotes are the votes that node 1's disk has lost.
type lostVotes map[Slot]Ballot

// storm plays a random schedule in which members crash, sometimes all of them, and node 1's disk loses votes, unless its vote alone chooses. It returns those.
func (c *testCluster) storm(rng *rand.Rand, steps int) lostVotes {
	lost := lostVotes{}
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
					n.loseVote(rng.IntN(len(n.log)), lost)
				}
			}
			c.restart(n, lost)
		default:
			c.random()
		}
	}
	return lost
}

// loseVote lets the disk lose a record, if it is a vote that the machine has not saved. That leaves the log with a record of which nothing but slot and ballot is known.
func (n *testNode) loseVote(i int, lost lostVotes) {
	rec := n.log[i]
	if rec.Kind != RecordAccept || rec.Slot <= n.saved {
		return
	}
	lost[rec.Slot] = maxBallot(lost[rec.Slot], rec.Ballot)
	n.log[i] = &Record{Kind: RecordPromise, Ballot: rec.Ballot}
}

// restart boots a node from its log, with what is known of lost votes if it is node 1.
func (c *testCluster) restart(n *testNode, lost lostVotes) {
	c.start(n)
	if n.id != 1 {
		return
	}
	for slot := n.r.Status().Chosen + 1; slot <= n.r.Status().Chosen+1000; slot++ {
		if ballot, ok := lost[slot]; ok {
			n.r.RestoreUnknown(slot, ballot)
		}
	}
}
