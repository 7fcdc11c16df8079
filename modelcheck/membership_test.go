package modelcheck

import (
	"testing"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// What a node knows of the membership is part of its state: it counts votes by it.
func TestWhatIsKnownOfTheMembershipIsPartOfTheState(t *testing.T) {
	w := World{Name: "a window of 1", members: append(members(2, accept), propose(0, 1)), slots: 2, window: 1}
	other, err := paxos.NewConfiguration(1, w.named([]int{2, 3}), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(&w)
	before := m.initial(0)
	other.First, other.Window = 2, 1
	known := []*paxos.Configuration{m.config, other}
	after := m.locals[before].clone()
	after.known = known
	m.boot(after)
	if m.number(after) == before {
		t.Error("a node that knows of a change is in the same state as one that does not")
	}
}

// Whoever learns of a configuration has it judged; the oracle, which has passed the changes itself, refuses one that nobody has chosen.
func TestWhatAnybodyKnowsOfTheMembershipIsJudged(t *testing.T) {
	x := explored(t, "change")
	claims := map[uint32]int{} // by epoch
	for id := range x.locals {
		for _, tr := range x.known(uint32(id)) {
			for _, said := range tr.said {
				if g, ok := said.action.(spec.Govern); ok {
					claims[g.Epoch]++
					if err := x.judge.transition(&set{}, &transition{said: []saying{{action: g}}}); (err == nil) != (g.Epoch == 0) {
						t.Fatalf("where nothing is chosen epoch %d is judged: %v", g.Epoch, err)
					}
				}
			}
		}
	}
	if claims[0] == 0 || claims[1] == 0 {
		t.Errorf("configurations are claimed %v times, by epoch", claims)
	}
}

func TestAReplacementComesWhenItIsNamedAndNotBefore(t *testing.T) {
	x := explored(t, "replacement")
	came := 0
	for _, l := range x.locals {
		if l.node != 2 || l.replica == nil {
			continue
		}
		came++
		if !l.born || l.replica.Status().Latest == 0 {
			t.Fatal("it comes before a change has named it")
		}
		if id := x.world.nodeID(l.node); id != 1 {
			t.Fatalf("the replacement of node 1 is node %d", id)
		}
	}
	if came == 0 {
		t.Error("it never comes")
	}
}
