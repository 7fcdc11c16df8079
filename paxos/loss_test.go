package paxos

import (
	"fmt"
	"testing"
)

// A cluster in which some are not full members goes through what networks and disks do to it, with its logs trimmed as far as they may be; then one disk is lost for good, any one, at any moment. What was
// acknowledged is there, nowhere is anything else in its place, and the others go on.
func TestWhateverTheRolesNothingAcknowledgedIsLostWithAnyOneDisk(t *testing.T) {
	const gateway, witness, replica = Proposer, Acceptor, Learner
	kinds := [][]Role{
		{FullMember, FullMember, witness},
		{FullMember, FullMember, witness, replica},
		{FullMember, FullMember, FullMember, witness, witness},
		{FullMember, FullMember, FullMember, replica, gateway},
		{FullMember, FullMember, witness, gateway},
		{FullMember, Acceptor | Learner, witness, Proposer | Learner},
	}
	total, trimmed := 0, 0
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			roles := kinds[seed%len(kinds)]
			c := newTestClusterOf(t, uint64(seed), roles...)
			c.faults = testFaults{loss: 0.05 * float64(seed%4), duplication: 0.1 * float64(seed%3), crash: 0.0005 * float64(seed%5), trim: true}
			for step := range 6000 {
				if step%1000 == 0 { // somebody falls behind
					away := NodeID(1 + c.rng.IntN(2*len(c.nodes)))
					c.faults.cut = func(from, to NodeID) bool { return from == away || to == away }
				}
				c.random()
			}
			for _, n := range c.nodes {
				if n.noMachine && roles[n.id-1]&Acceptor != 0 {
					trimmed += int(n.trimmed)
				}
			}
			gone := c.nodes[c.rng.IntN(len(c.nodes))]
			gone.up, gone.lost = false, true
			c.faults = testFaults{}
			c.settle(400, c.nodes...)
			acked := c.acked
			proposer := c.nodes[0]
			if proposer.lost {
				proposer = c.nodes[1]
			}
			before, reads := len(c.chosen), c.done
			c.propose(proposer)
			c.read(proposer)
			c.settle(100, c.nodes...)
			if len(c.chosen) <= before || c.done <= reads {
				t.Fatalf("node %d is lost, and nothing moves: %d slots chosen, %d reads served\n%+v", gone.id, len(c.chosen), c.done, proposer.r.Status())
			}
			for _, n := range c.nodes {
				if !n.lost && !n.noMachine && n.applied < acked {
					t.Fatalf("node %d is lost, and node %d has %d slots of %d that were acknowledged", gone.id, n.id, n.applied, acked)
				}
			}
			total += len(c.chosen)
		})
	}
	if total < 20**seeds || trimmed < *seeds {
		t.Fatalf("only %d slots were chosen, and %d trimmed by witnesses, in %d schedules: the test tests little", total, trimmed, *seeds)
	}
	t.Logf("%d slots chosen, %d trimmed by witnesses", total, trimmed)
}
