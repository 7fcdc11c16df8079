package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Random schedules in which the membership changes: any set of members to any other, by administrators who know nothing of each other, with a small window, crashes, losses, members that lag, and disks that are
// wiped and come back in another incarnation.

// reconfigured takes note of what a node says about a change, and keeps what the shell has to keep.
func (c *testCluster) reconfigured(n *testNode, rc Reconfigured) {
	n.keep(n.r.Configurations())
	if c.refused[rc.Change.ID] {
		c.t.Fatalf("change %d is chosen in slot %d, and was said not to have happened", rc.Change.ID, rc.Slot)
	}
	delete(n.pending, rc.Change.ID)
	if rc.Next == nil {
		return
	}
	members := fmt.Sprint(rc.Next.First, rc.Next.Members, rc.Next.Phase1, rc.Next.Phase2)
	was, ok := c.epochs[rc.Next.Epoch]
	if ok && was != members {
		c.t.Fatalf("epoch %d: node %d knows %s, another knew %s", rc.Next.Epoch, n.id, members, was)
	}
	if !ok {
		c.changes++
	}
	c.epochs[rc.Next.Epoch] = members
}

// keep makes durable what is known of the membership, unless something newer is.
func (n *testNode) keep(known []*Configuration) {
	if len(n.known) == 0 || n.known[len(n.known)-1].Epoch < known[len(known)-1].Epoch {
		n.known = known
	}
}

// ask has a node propose a change from the latest configuration it knows to these members.
func (c *testCluster) ask(n *testNode, members []Member) {
	latest := n.r.Configurations()
	c.lastID++
	n.pending[c.lastID] = true
	for _, m := range members {
		c.named[identity{m.ID, m.Incarnation}] = true
	}
	c.step(n, Event{Kind: Reconfigure, Change: &Change{Replaces: latest[len(latest)-1].Epoch, Members: members, ID: c.lastID}})
}

func (c *testCluster) members(ids ...NodeID) (members []Member) {
	for _, id := range ids {
		members = append(members, Member{ID: id, Incarnation: c.node(id).inc, Roles: FullMember})
	}
	return members
}

// draw asks for some members, here and there with other roles.
func (c *testCluster) draw(n *testNode) {
	size := 1 + c.rng.IntN(5)
	var members []Member
	for _, i := range c.rng.Perm(len(c.nodes))[:size] {
		members = append(members, c.members(NodeID(i+1))...)
		if len(members) > 1 && c.rng.IntN(8) == 0 {
			members[len(members)-1].Roles = []Role{Learner, Proposer | Learner, Acceptor, 0}[c.rng.IntN(4)]
		}
	}
	c.ask(n, members)
}

// wipe empties a node's disk, unless it may be needed: only if its incarnation is in no configuration that anybody may still act on, and no change that is under way names it.
func (c *testCluster) wipe(n *testNode) {
	if c.named[identity{n.id, n.inc}] {
		return
	}
	for _, o := range c.nodes {
		for _, config := range o.r.Configurations() {
			if o.up && config.Index(n.id) >= 0 || !o.up {
				return
			}
		}
	}
	c.crash(n)
	*n = testNode{id: n.id, inc: n.inc + 1<<40}
	n.known = c.nodes[n.id%NodeID(len(c.nodes))].r.Configurations() // it has asked its neighbour
	c.start(n)
}

// latest is the configuration that nobody knows a later one of.
func (c *testCluster) latest() *Configuration {
	var latest *Configuration
	for _, n := range c.nodes {
		known := n.r.Configurations()
		if l := known[len(known)-1]; latest == nil || l.Epoch > latest.Epoch {
			latest = l
		}
	}
	return latest
}

func newReconfiguringCluster(t *testing.T, seed uint64, founders, nodes, window int) *testCluster {
	t.Helper()
	c := newTestCluster(t, seed, nodes)
	config, err := NewConfiguration(0, c.members(1, 2, 3)[:founders], 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.config = config.WithWindow(window)
	for _, n := range c.nodes {
		c.start(n)
	}
	return c
}

func TestRandomChangesOfMembershipAgreeAndThenFinish(t *testing.T) {
	chosen, changes, removed, fetched, wiped := 0, 0, 0, 0, 0
	for seed := range uint64(*seeds / 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newReconfiguringCluster(t, seed, 3, 6, []int{1, 2, 3, 8}[seed%4])
			rng := rand.New(rand.NewPCG(seed, 5))
			c.faults = testFaults{loss: 0.04 * float64(seed%4), duplication: 0.1 * float64(seed%3), crash: 0.0004 * float64(seed%5), trim: seed%3 == 1}
			for step := range 8000 {
				if step%1500 == 0 { // somebody falls behind
					away := NodeID(1 + rng.IntN(2*len(c.nodes)))
					c.faults.cut = func(from, to NodeID) bool { return from == away || to == away }
				}
				if n := c.nodes[rng.IntN(len(c.nodes))]; n.up && rng.IntN(250) == 0 {
					if rng.IntN(6) == 0 {
						boots := n.boot
						c.wipe(n)
						if n.boot < boots {
							wiped++
						}
					} else {
						c.draw(n)
					}
				}
				c.random()
			}
			c.faults = testFaults{}
			c.settle(600, c.nodes...)
			c.finishes(t)
			chosen += len(c.chosen)
			changes += c.changes
			removed += c.removed
			fetched += c.fetched
		})
	}
	t.Logf("%d slots chosen, %d changes in force, %d members removed, %d snapshots installed, %d disks wiped", chosen, changes, removed, fetched, wiped)
	if n := *seeds / 2; changes < 3*n || removed < n || wiped == 0 || fetched == 0 {
		t.Errorf("%d changes came into force, %d members were removed, %d disks wiped and %d snapshots installed in %d schedules: the test tests little", changes, removed, wiped, fetched, n)
	}
}

// finishes checks that the members of the latest configuration get work done, and all know it.
func (c *testCluster) finishes(t *testing.T) {
	t.Helper()
	latest := c.latest()
	first := c.node(latest.Members[0].ID)
	for _, m := range latest.Members {
		if m.Roles&Proposer != 0 {
			first = c.node(m.ID)
		}
	}
	before, reads := len(c.chosen), c.done
	c.propose(first)
	c.read(first)
	c.settle(100, c.nodes...)
	if len(c.chosen) <= before || c.done <= reads {
		for _, n := range c.nodes {
			t.Logf("node %d: %+v", n.id, n.r.Status())
		}
		t.Fatalf("after the faults nothing moves: %d slots chosen, was %d; %d reads served, was %d; the members are %+v", len(c.chosen), before, c.done, reads, latest)
	}
	for _, m := range latest.Members {
		n := c.node(m.ID)
		if n.applied != first.applied || n.r.Status().Epoch != latest.Epoch {
			t.Fatalf("node %d has applied %d slots in epoch %d, node %d %d in epoch %d", n.id, n.applied, n.r.Status().Epoch, first.id, first.applied, latest.Epoch)
		}
	}
	for _, n := range c.nodes {
		if slices.ContainsFunc(latest.Members, func(m Member) bool { return m.ID == n.id }) {
			continue
		}
		if st := n.r.Status(); st.Leads {
			t.Fatalf("node %d leads and is no member: %+v", n.id, st)
		}
	}
}

func TestRemovedMembersAreNeededUntilEnoughLearnersHoldWhatWasChosenBefore(t *testing.T) {
	l := loneAmongThree(t, 3)
	holds := func(id NodeID, held Slot) bool {
		l.from(member(id), &Message{Kind: Heartbeat, Number: 1, Chosen: 2, Slot: held})
		return l.r.HandedOver()
	}
	if l.r.HandedOver() {
		t.Error("the founders have nobody to hand over to")
	}
	l.learn(chosenChange(1, changeOf(0, fullMembers(4, 5, 6)...)), &Record{Kind: RecordChosen, Slot: 2})
	if !l.r.Status().Removed || l.r.HandedOver() {
		t.Errorf("it is removed: %v, handed over: %v, want true, false", l.r.Status().Removed, l.r.HandedOver())
	}
	for _, step := range []struct {
		what string
		id   NodeID
		held Slot
		want bool
	}{
		{"one of three holds it: its disk may be lost", 4, 2, false},
		{"another holds all but the last slot", 5, 1, false},
		{"one who was removed, too, holds it", 2, 2, false},
		{"two of three hold it", 6, 2, true},
	} {
		if got := holds(step.id, step.held); got != step.want {
			t.Errorf("%s: handed over is %v", step.what, got)
		}
	}
}

// What this node has not delivered itself it may want to learn of those whom it would forget, and its callers of it.
func TestNothingIsHandedOverToOneWhoHasNotDeliveredIt(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.receive(2, &Message{Kind: Learned, Records: []*Record{chosenChange(1, changeOf(0, fullMembers(1, 2)...)), {Kind: RecordChosen, Slot: 2}}, Chosen: 2})
	l.receive(2, &Message{Kind: Heartbeat, Number: 1, Chosen: 2, Slot: 2})
	if l.r.HandedOver() {
		t.Error("its own disk holds nothing yet")
	}
	l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
	if !l.r.HandedOver() {
		t.Error("now both hold everything")
	}
}
