package modelcheck

import (
	"errors"
	"reflect"
	"testing"

	"synod.dev/synod/paxos"
)

// named returns a world.
func named(t *testing.T, name string) World {
	t.Helper()
	for _, w := range Worlds() {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("there is no world %q", name)
	return World{}
}

// explored returns the explorer of a world when it has seen some of it.
func explored(t *testing.T, name string) *explorer {
	t.Helper()
	w := named(t, name)
	x := newExplorer(&w, Options{StatesMax: 30000})
	if err := x.run(); err != nil && !errors.Is(err, ErrBound) {
		t.Fatal(err)
	}
	return x
}

func TestExchangingAcceptorsExchangesWhatComesOfThem(t *testing.T) {
	for name, ways := range map[string]int{"two-ballots": 6, "crash": 6, "flexible": 24, "disjoint-majorities": 4} {
		x := explored(t, name)
		if len(x.symmetry.perms) != ways {
			t.Fatalf("world %q: %d ways to exchange acceptors, want %d", name, len(x.symmetry.perms), ways)
		}
		x.symmetry.check()
	}
}

func TestALeastImageIsTheSameForAllImages(t *testing.T) {
	x := explored(t, "flexible")
	for i := range x.front.count {
		s := x.front.get(i)
		for p := range x.symmetry.perms {
			image := x.symmetry.state(p, &s)
			if least, _ := x.symmetry.least(&image); least != s {
				t.Fatalf("an image of a least image is taken for another state")
			}
		}
	}
}

func TestTheSymmetryCheckSeesAMemberThatIsTreatedAlone(t *testing.T) {
	x := explored(t, "flexible")
	for id, l := range x.locals {
		for _, tr := range x.known(uint32(id)) {
			if l.node == 0 && len(tr.items) > 1 {
				tr.items = tr.items[1:]
				defer func() {
					if recover() == nil {
						t.Error("node 1 leaves out what others do, and nothing is noticed")
					}
				}()
				x.symmetry.check()
				return
			}
		}
	}
	t.Fatal("node 1 does nothing")
}

func TestTheFieldsLeftOutOfAStateExist(t *testing.T) {
	for typ, fields := range settled {
		for _, name := range fields {
			if _, ok := typ.FieldByName(name); !ok {
				t.Errorf("%v has no field %s", typ, name)
			}
		}
	}
}

func TestWhatIsAnsweredDifferentlyIsEncodedDifferently(t *testing.T) {
	w := named(t, "two-ballots")
	m := newModel(&w)
	before := m.initial(0)
	prepare := &paxos.Message{Kind: paxos.Prepare, Ballot: paxos.Ballot{Round: 1, Node: 4, Boot: 1}, Slot: 1}
	after := m.take(before, cause{}, func(s *stepper) { s.receive(3, prepare) })
	if after == nil || after.to == before {
		t.Error("a promise does not change the state")
	}
	if again := m.take(after.to, cause{}, func(s *stepper) { s.receive(3, prepare) }); again.to != after.to || !reflect.DeepEqual(again.items, after.items[1:]) {
		t.Error("the same Prepare again changes the state, or is answered in other words")
	}
}
