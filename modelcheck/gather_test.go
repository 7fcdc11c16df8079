package modelcheck

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"synod.dev/synod/paxos"
)

// What can come to be on the disks is the same whether answers are gathered or not: nothing that others could see is left out.
func TestGatheringLeavesOutNothingThatCanComeToBeOnTheDisks(t *testing.T) {
	for _, w := range []World{
		{Name: "two ballots", members: members(3, accept, propose(1, 1), propose(1, 1)), slots: 1, lost: hints},
		{Name: "two ballots of one", members: members(2, accept, propose(1, 1, 2), propose(0, 1)), slots: 1, lost: hints},
		{Name: "a hole", members: members(2, accept, propose(2, 1), propose(1, 1)), phase1: 2, phase2: 1, slots: 2, lost: hints},
		{Name: "a crash", members: append(members(2, accept, propose(1, 1), propose(1, 1)), accept.crashing(1)), slots: 1, crashes: 1, disk: anyTime, lost: hints},
		{Name: "a change", members: append(members(2, accept), accept.joining(), lead(1, 1).changing(0, 2, 3, 4, 5), lead(1, 1)), phase1: 1, phase2: 2, slots: 2, window: 1, lost: hints},
		{Name: "a change behind a seal", members: append(members(1, accept), accept.joining(), accept.joining(), lead(1, 1).changing(0, 2, 3, 4, 5), lead(1, 1)), slots: 3, window: 2, lost: hints},
	} {
		t.Run(w.Name, func(t *testing.T) {
			apart, apartStates := onDisks(t, w)
			w.gathered = true
			gathered, gatheredStates := onDisks(t, w)
			if !maps.Equal(apart, gathered) {
				t.Errorf("%d sets of records can be on the disks, %d when answers are gathered", len(apart), len(gathered))
			}
			if gatheredStates >= apartStates {
				t.Errorf("%d states when answers are gathered, %d when they are not: nothing is gathered", gatheredStates, apartStates)
			}
		})
	}
}

// onDisks returns every set of records that can be on the disks of a world, and how many states it has.
func onDisks(t *testing.T, w World) (sets map[string]bool, states int) {
	t.Helper()
	w.Name = "" // of no golden figures
	x := newExplorer(&w, Options{})
	x.symmetry = alone(x)
	sets = map[string]bool{"": true} // to begin with
	x.opt.Progress = func(int, int, int) {
		for i := range x.next.count {
			s := x.next.get(i)
			sets[x.records(&s)] = true
		}
	}
	if err := x.run(); err != nil || x.result.Counterexample != nil {
		t.Fatal(err, x.result.Counterexample)
	}
	return sets, len(x.steps)
}

// alone is the symmetry of a world in which nobody is like another.
func alone(x *explorer) symmetry {
	s := newSymmetry(&x.model)
	s.alike, s.perms, s.undone = nil, s.perms[:1], s.undone[:1]
	return s
}

func (x *explorer) records(s *state) string {
	var texts []string
	for i := range x.items {
		if it := &x.items[i]; it.record != nil && s.items.has(uint32(i)) {
			texts = append(texts, string(rune('1'+it.from))+describeRecord(it.record))
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

// A proposer of the core, and only of the core, that is content with too few answers is found where they are gathered, too.
func TestTooFewGatheredAnswersAreFound(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		spoil func(*paxos.Configuration)
	}{
		{"P2c", func(c *paxos.Configuration) { c.Phase1 = 1 }},
		{"learned", func(c *paxos.Configuration) { c.Phase2 = 1 }},
	} {
		w := World{members: members(3, accept, propose(1, 1), propose(1, 1)), slots: 1, phase1: 2, phase2: 2, gathered: true, lost: hints}
		x := newExplorer(&w, Options{})
		tc.spoil(x.config)
		if err := x.run(); err != nil {
			t.Fatal(err)
		}
		if c := x.result.Counterexample; c == nil || !strings.HasPrefix(c.Rule, tc.rule) {
			t.Errorf("%q is not broken: %v", tc.rule, c)
		}
	}
}

// The story of a broken rule names each of the answers that were gathered.
func TestAStoryTellsOfGatheredAnswers(t *testing.T) {
	w := World{members: members(3, accept, propose(1, 1), propose(1, 1)), slots: 1, phase1: 2, phase2: 2, gathered: true, lost: hints}
	x := newExplorer(&w, Options{})
	x.config.Phase2 = 1
	if err := x.run(); err != nil {
		t.Fatal(err)
	}
	story := x.result.Counterexample.String()
	for line := range strings.Lines(story) {
		if strings.Count(line, "<- ") == 2 && strings.Count(line, "promise ballot 1.") == 2 {
			return
		}
	}
	t.Errorf("nobody is given two promises at once:\n%s", story)
}

func TestExchangingAcceptorsExchangesWhatIsGathered(t *testing.T) {
	w := World{Name: "gathered", members: members(3, accept, propose(1, 1), propose(1, 1)), slots: 1, gathered: true, lost: hints}
	x := newExplorer(&w, Options{})
	if err := x.run(); err != nil {
		t.Fatal(err)
	}
	if len(x.sequences) == 0 {
		t.Fatal("nothing is gathered")
	}
	x.symmetry.check()
	for i, sequence := range x.sequences {
		for p, perm := range x.symmetry.perms {
			image := x.sequences[x.symmetry.cause(p, cause{gather, i}).arg]
			for k, it := range sequence {
				if x.items[image[k]].from != int(perm[x.items[it].from]) {
					t.Fatalf("what is gathered of member %d is not gathered of member %d in its place", x.items[it].from+1, perm[x.items[it].from]+1)
				}
			}
		}
	}
}

// An answer that changes a proposer each time that it comes must not keep the exploration from ending.
func TestAnAnswerIsGatheredTwiceAtMost(t *testing.T) {
	w := World{members: members(3, accept, propose(1, 1)), slots: 1, gathered: true, lost: hints}
	m := newModel(&w)
	var answers []uint32
	for from := range 2 {
		answers = append(answers, m.message(from, 3, &paxos.Message{Kind: paxos.Accepted, Slot: 1, Upto: 1}))
	}
	other := m.message(0, 3, &paxos.Message{Kind: paxos.Accepted, Slot: 2, Upto: 2})
	a, b := answers[0], answers[1]
	for _, tc := range []struct {
		counted []uint32
		it      uint32
		want    bool
	}{
		{[]uint32{a}, b, true}, {[]uint32{a}, a, true}, {[]uint32{a, b}, a, true}, {[]uint32{a, a}, b, true},
		{[]uint32{a, a}, a, false}, {[]uint32{a, b, a}, a, false}, {[]uint32{a}, other, false},
	} {
		if got := m.joins(tc.counted, tc.it); got != tc.want {
			t.Errorf("after %v answer %d joins: %v", tc.counted, tc.it, got)
		}
	}
}

// What gather.go says a gathered world has to be.
func TestWorldsAreGatheredOnlyWhereNothingDependsOnWhatIsCounted(t *testing.T) {
	for _, w := range Worlds() {
		if !w.gathered {
			continue
		}
		if w.late || w.acquainted || w.snapshots || !slices.Equal(w.lost, hints) {
			t.Errorf("world %q: proposers are told more than answers", w.Name)
		}
		for i, m := range w.members {
			if m.roles&paxos.Acceptor != 0 && m.roles != paxos.Acceptor || m.roles != paxos.Acceptor && m.crashes > 0 || m.reads > 0 || m.serves {
				t.Errorf("world %q: member %d does more than propose, or than accept", w.Name, i+1)
			}
		}
	}
}
