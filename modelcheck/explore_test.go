package modelcheck

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestABoundOnStatesIsAnError(t *testing.T) {
	if _, err := named(t, "two-ballots").Explore(Options{StatesMax: 1000}); !errors.Is(err, ErrBound) {
		t.Errorf("the error is %v", err)
	}
}

func TestAGoalThatIsNeverReachedIsAnError(t *testing.T) {
	w := named(t, "two-ballots")
	w.members = members(3, accept, propose(1, 1))
	if _, err := w.Explore(Options{}); !errors.Is(err, ErrGoals) || !strings.Contains(err.Error(), "two members lead") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnUnknownFigureIsAnError(t *testing.T) {
	for _, r := range []Result{{}, {States: 1}} {
		if named(t, "two-ballots").Compare(r) == nil {
			t.Errorf("%+v passes for the golden figures", r)
		}
	}
	if (World{Name: "none"}).Compare(Result{}) == nil {
		t.Error("a world without golden figures passes")
	}
}

func TestVisitedFindsWhatWasAddedAndNothingElse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	v, seen := newVisited(), map[uint64]bool{}
	for range 200000 {
		h := rng.Uint64N(150000) * 0x9e3779b97f4a7c15
		if v.add(h) == seen[h] {
			t.Fatalf("%x: new is %v", h, seen[h])
		}
		seen[h] = true
	}
}

func TestTheHashOfASetDoesNotDependOnItsRoom(t *testing.T) {
	if hash([]uint64{1, 2}) != hash([]uint64{1, 2, 0, 0}) || hash([]uint64{1, 2}) == hash([]uint64{2, 1}) {
		t.Error("room for more changes the hash, or the order of words does not")
	}
}

func TestASlabKeepsStatesThatGrow(t *testing.T) {
	b, rng := slab{members: 5}, rand.New(rand.NewPCG(1, 2))
	var states []state
	for items := 1; items < itemsMax; items += 7 {
		var s state
		for i := range b.members {
			s.locals[i] = rng.Uint32()
		}
		s.items.add(uint32(rng.IntN(items)))
		b.add(b.words(nil, &s, items))
		states = append(states, s)
	}
	for i, s := range states {
		if b.get(i) != s {
			t.Fatalf("state %d comes back as another", i)
		}
	}
}

// Too small a quorum of the core, and only of the core, must be found out, and told in the shortest way.
func TestQuorumsThatDoNotMeetAreFound(t *testing.T) {
	w := named(t, "two-ballots")
	w.phase1, w.phase2 = 2, 2
	w.members = members(3, accept, propose(1, 1), propose(1, 1))
	x := newExplorer(&w, Options{})
	x.config.Phase1 = 1
	if err := x.run(); err != nil {
		t.Fatal(err)
	}
	c := x.result.Counterexample
	if c == nil || len(c.Trace) != 4 || !strings.HasPrefix(c.Rule, "P2c") {
		t.Fatalf("a leader with one promise of three: %v", c)
	}
	t.Log(c)
}
