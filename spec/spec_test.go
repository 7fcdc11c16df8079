package spec

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func three(t testing.TB) *State {
	t.Helper()
	config, err := NewConfiguration(Sized(SetOf(0, 1, 2), 2), Sized(SetOf(0, 1, 2), 2))
	if err != nil {
		t.Fatal(err)
	}
	return New(config)
}

// n is the ballot of a number.
func n(number uint64) Ballot { return Ballot{number, 7, 1} }

// begun is a ballot that two acceptors have promised.
func begun(b Ballot, acceptors ...Acceptor) []Action {
	actions := []Action{Prepare{b}}
	for _, a := range acceptors {
		actions = append(actions, Promise{a, b})
	}
	return actions
}

func chosen(b Ballot, slot Slot, v Value) []Action {
	return append(begun(b, 0, 1), Propose{b, slot, v}, Vote{0, b, slot, v}, Vote{1, b, slot, v})
}

func steps(t testing.TB, s *State, actions ...Action) {
	t.Helper()
	for _, a := range actions {
		if err := s.Step(a); err != nil {
			t.Fatalf("%#v is refused: %v", a, err)
		}
	}
}

func refused(t testing.TB, s *State, rule Rule, a Action) {
	t.Helper()
	var v *Violation
	switch err := s.Step(a); {
	case err == nil:
		t.Errorf("%#v is allowed, against %q", a, rule)
	case !errors.As(err, &v) || v.Rule != rule:
		t.Errorf("%#v breaks %q, not %q", a, err, rule)
	}
}

func TestARunOfPaxosIsAllowed(t *testing.T) {
	s := three(t)
	steps(t, s, chosen(n(1), 1, "a")...)
	steps(t, s, Accepted{0, n(1), 1, 1}, Learn{1, "a"}, Announce{n(1), 1},
		Propose{n(1), 2, "b"}, Vote{1, n(1), 2, "b"}, // a vote of a minority, which the next leader finds
		Prepare{n(2)}, Promise{2, n(2)}, Report{Acceptor: 2, Ballot: n(2), First: 1, Last: EverySlot},
		Promise{1, n(2)}, Report{Acceptor: 1, Ballot: n(2), First: 1, Last: EverySlot, Chosen: 1, Votes: []ReportedVote{{Slot: 2, Ballot: n(1), Value: "b"}}},
		Refuse{1, n(1), n(2)}, Recover{1, n(2)},
		Propose{n(2), 2, "b"}, Vote{1, n(2), 2, "b"}, Vote{2, n(2), 2, "b"}, Learn{2, "b"}, Announce{n(2), 2}, Announce{Ballot{}, 2})
	if c := s.choice(2); c == nil || c.value != "b" {
		t.Errorf("in slot 2 %v is chosen, want b", c)
	}
	if got := s.promised[1]; got != n(2) {
		t.Errorf("acceptor 1 has promised %v, want %v", got, n(2))
	}
}

// That Paxos is right means that some rules cannot be the first to be broken: what would break them breaks another before. Those are tried on a past that is assumed.
func TestEachRuleRefusesWhatBreaksIt(t *testing.T) {
	for _, tc := range []struct {
		name string
		past []Action
		rule Rule
		bad  Action
	}{
		{"a refusal for no reason", begun(n(1)), P1, Refuse{0, n(1), Ballot{}}},
		{"a refusal on account of the same ballot", begun(n(1)), P1, Refuse{0, n(1), n(1)}},
		{"a refusal on account of a ballot that does not exist", begun(n(1)), P1, Refuse{0, n(1), n(2)}},
		{"a vote below the promise", append(append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}), begun(n(2), 0)...), P1a, Vote{0, n(1), 1, "a"}},
		{"a vote below another vote", append(append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}, Prepare{n(2)}), Propose{n(2), 2, "b"}, Vote{0, n(2), 2, "b"}), P1a, Vote{0, n(1), 1, "a"}},
		{"a promise below the promise", append(begun(n(2), 0), Prepare{n(1)}), P1a, Promise{0, n(1)}},
		{"a promise forgotten over a restart", begun(n(2), 0), P1a, Recover{0, n(1)}},
		{"a higher vote for another value", append(chosen(n(1), 1, "a"), Prepare{n(2)}, Propose{n(2), 1, "b"}), P2a, Vote{2, n(2), 1, "b"}},
		{"a higher proposal of another value", append(chosen(n(1), 1, "a"), begun(n(2), 0, 2)...), P2b, Propose{n(2), 1, "b"}},
		{"a choice below a proposal of another value", append(append(begun(n(1), 0), Propose{n(1), 1, "a"}, Vote{0, n(1), 1, "a"}), Prepare{n(2)}, Propose{n(2), 1, "b"}), P2b, Vote{1, n(1), 1, "a"}},
		{"a proposal without a quorum", begun(n(1), 0), P2c, Propose{n(1), 1, "a"}},
		{"a proposal of another value than the highest vote's", append(append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}, Vote{1, n(1), 1, "a"}), begun(n(2), 1, 2)...), P2c, Propose{n(2), 1, "b"}},
		{"a proposal of a lower vote's value", append([]Action{Prepare{n(1)}, Prepare{n(2)}, Propose{n(1), 1, "a"}, Propose{n(2), 1, "b"}, Vote{0, n(1), 1, "a"}, Vote{1, n(2), 1, "b"}}, begun(n(3), 0, 1)...), P2c, Propose{n(3), 1, "a"}},
		{"two values of a ballot", append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}), OneValue, Propose{n(1), 1, "b"}},
		{"a vote for what the ballot did not propose", append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}), OneValue, Vote{0, n(1), 1, "b"}},
		{"a proposal of a ballot that nobody began", nil, Issued, Propose{n(1), 1, "a"}},
		{"a promise of a ballot that nobody began", nil, Issued, Promise{0, n(1)}},
		{"a vote for nothing", begun(n(1), 0, 1), Issued, Vote{0, n(1), 1, "a"}},
		{"a promise told before it is durable", begun(n(1)), Durable, Report{Acceptor: 0, Ballot: n(1), First: 1, Last: EverySlot}},
		{"a vote told before it is durable", append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}), Durable, Accepted{0, n(1), 1, 1}},
		{"a report without a vote", append(chosen(n(1), 1, "a"), begun(n(2), 0)...), Truth, Report{Acceptor: 0, Ballot: n(2), First: 1, Last: 1}},
		{"a report of a vote that was never cast", begun(n(2), 2), Truth, Report{Acceptor: 2, Ballot: n(2), First: 1, Last: 1, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Value: "a"}}}},
		{"a report of another value", append(chosen(n(1), 1, "a"), begun(n(2), 0)...), Truth, Report{Acceptor: 0, Ballot: n(2), First: 1, Last: 1, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Value: "b"}}}},
		{"a report of a lower vote", append(begun(n(3), 0), Vote{0, n(1), 1, "a"}, Vote{0, n(2), 1, "b"}), Truth, Report{Acceptor: 0, Ballot: n(3), First: 1, Last: 1, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Value: "a"}}}},
		{"a lost vote bounded too low", append(chosen(n(2), 1, "a"), begun(n(3), 0)...), Truth, Report{Acceptor: 0, Ballot: n(3), First: 1, Last: 1, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Lost: true}}}},
		{"a report that has what is not chosen for chosen", begun(n(1), 0), Learned, Report{Acceptor: 0, Ballot: n(1), First: 1, Last: 1, Votes: []ReportedVote{{Slot: 1, Value: "a", Chosen: true}}}},
		{"a report of a chosen prefix that is not", begun(n(1), 0), Learned, Report{Acceptor: 0, Ballot: n(1), First: 1, Last: 1, Chosen: 1}},
		{"learning what nobody chose", append(begun(n(1), 0, 1), Propose{n(1), 1, "a"}, Vote{0, n(1), 1, "a"}), Learned, Learn{1, "a"}},
		{"learning another value", chosen(n(1), 1, "a"), Learned, Learn{1, "b"}},
		{"votes of two ballots taken for a quorum", []Action{Vote{0, n(1), 1, "a"}, Vote{1, n(2), 1, "a"}}, Learned, Learn{1, "a"}},
		{"announcing what is not chosen", begun(n(1), 0, 1), Learned, Announce{n(1), 1}},
		{"announcing more than what is chosen", chosen(n(1), 1, "a"), Learned, Announce{n(1), 2}},
		{"announcing what lies above a hole", append(chosen(n(1), 1, "a"), Propose{n(1), 3, "c"}, Vote{0, n(1), 3, "c"}, Vote{1, n(1), 3, "c"}), Learned, Announce{n(1), 3}},
		{"a report that leaves out a vote before one that it tells", append(chosen(n(1), 1, "a"), append(begun(n(2), 0), Vote{0, n(1), 2, "b"})...), Truth,
			Report{Acceptor: 0, Ballot: n(2), First: 1, Last: EverySlot, Votes: []ReportedVote{{Slot: 2, Ballot: n(1), Value: "b"}}}},
		{"announcing a slot in which it proposed another value", append([]Action{Propose{n(1), 1, "b"}}, chosen(n(2), 1, "a")...), Announced, Announce{n(1), 1}},
		{"proposing another value in a slot it has announced", append(append(begun(n(1), 0, 1), chosen(n(2), 1, "a")...), Announce{n(1), 1}), Announced, Propose{n(1), 1, "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := three(t)
			for _, a := range tc.past {
				s.Assume(a)
			}
			refused(t, s, tc.rule, tc.bad)
		})
	}
}

func TestASecondChoiceIsRefused(t *testing.T) {
	s := three(t)
	for _, a := range append(chosen(n(1), 1, "a"), begun(n(2), 1)...) {
		s.Assume(a)
	}
	s.Assume(Vote{2, n(0), 1, "b"})
	s.promised[1] = Ballot{} // as if it had forgotten
	refused(t, s, P2, Vote{1, n(0), 1, "b"})
}

func TestAReportMayComeAfterTheAcceptorHasGoneOn(t *testing.T) {
	s := three(t)
	report := Report{Acceptor: 0, Ballot: n(2), First: 1, Last: EverySlot, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Value: "a"}}}
	steps(t, s, chosen(n(1), 1, "a")...)
	steps(t, s, begun(n(2), 0, 1)...)
	steps(t, s, Propose{n(2), 1, "a"}, Vote{0, n(2), 1, "a"}, report)
	steps(t, s, begun(n(3), 0, 1)...)
	steps(t, s, Propose{n(3), 1, "a"}, Vote{0, n(3), 1, "a"}, report,
		Report{Acceptor: 0, Ballot: n(2), First: 1, Last: EverySlot, Votes: []ReportedVote{{Slot: 1, Ballot: n(2), Value: "a"}}})
}

func TestALostVoteCountsForNothing(t *testing.T) {
	s := three(t)
	steps(t, s, chosen(n(1), 1, "a")...)
	steps(t, s, begun(n(2), 0, 2)...)
	steps(t, s, Report{Acceptor: 0, Ballot: n(2), First: 1, Last: EverySlot, Votes: []ReportedVote{{Slot: 1, Ballot: n(1), Lost: true}}})
	refused(t, s, P2b, Propose{n(2), 1, "b"})
}

func TestFlexibleQuorumsMustMeet(t *testing.T) {
	all := SetOf(0, 1, 2, 3)
	if _, err := NewConfiguration(Sized(all, 2), Sized(all, 2)); err == nil {
		t.Error("two and two of four do not always meet")
	}
	if _, err := NewConfiguration(nil, Sized(all, 2)); err == nil {
		t.Error("there is no phase-1 quorum")
	}
	config, err := NewConfiguration(Sized(all, 3), Sized(all, 2))
	if err != nil {
		t.Fatal(err)
	}
	s := New(config)
	steps(t, s, begun(n(1), 0, 1)...)
	refused(t, s, P2c, Propose{n(1), 1, "a"})
	steps(t, s, Promise{3, n(1)}, Propose{n(1), 1, "a"}, Vote{3, n(1), 1, "a"})
	refused(t, s, Learned, Learn{1, "a"})
	steps(t, s, Vote{2, n(1), 1, "a"}, Learn{1, "a"})
}

// changing has a window of 2 and changes "from epoch N to 2 of {2,3,4}" by the values "N".
func changing(t testing.TB) (s *State, next *Configuration) {
	t.Helper()
	others := Sized(SetOf(2, 3, 4), 2)
	next, err := NewConfiguration(others, others)
	if err != nil {
		t.Fatal(err)
	}
	return NewChanging(three(t).configs[0].Configuration, 2, func(v Value) *Change {
		if len(v) != 1 || v[0] < '0' || v[0] > '9' {
			return nil
		}
		return &Change{uint32(v[0] - '0'), next}
	}), next
}

func TestASlotIsGovernedByItsOwnConfiguration(t *testing.T) {
	s, _ := changing(t)
	steps(t, s, chosen(n(1), 1, "0")...) // governs from slot 3 on
	steps(t, s, Propose{n(1), 2, "b"}, Vote{0, n(1), 2, "b"}, Vote{1, n(1), 2, "b"}, Learn{2, "b"})
	refused(t, s, P2c, Propose{n(1), 3, "c"})
	steps(t, s, Promise{3, n(1)}, Promise{4, n(1)}, Propose{n(1), 3, "c"}, Vote{0, n(1), 3, "c"}, Vote{1, n(1), 3, "c"})
	refused(t, s, Learned, Learn{3, "c"})
	steps(t, s, Vote{3, n(1), 3, "c"}, Vote{2, n(1), 3, "c"}, Learn{3, "c"}, Learn{2, "b"}, Announce{n(1), 3})
}

func TestAConfigurationComesOfAChosenChangeFromTheLatestOneInForce(t *testing.T) {
	s, next := changing(t)
	first := Govern{0, 1, *s.configs[0].Configuration}
	steps(t, s, begun(n(1), 0, 1)...)
	steps(t, s, first, Propose{n(1), 1, "0"}, Vote{0, n(1), 1, "0"})
	refused(t, s, Governed, Govern{1, 3, *next}) // a minority has voted for it
	refused(t, s, Window, Propose{n(1), 3, "c"})
	steps(t, s, Vote{1, n(1), 1, "0"}, first, Govern{1, 3, *next})
	refused(t, s, Governed, Govern{1, 2, *next})
	refused(t, s, Governed, Govern{1, 3, first.Config})
	steps(t, s, Propose{n(1), 2, "1"}, Vote{0, n(1), 2, "1"}, Vote{1, n(1), 2, "1"}) // the one before is not in force yet
	refused(t, s, Governed, Govern{2, 4, *next})
	steps(t, s, begun(n(1), 2, 3)...)
	for slot, change := range map[Slot]Value{3: "0", 4: "1"} { // of the wrong epoch, and a true one
		steps(t, s, Propose{n(1), slot, change}, Vote{2, n(1), slot, change}, Vote{3, n(1), slot, change})
	}
	refused(t, s, Governed, Govern{2, 5, *next})
	steps(t, s, Govern{2, 6, *next})
}

// Any actions whatever, drawn at random: what State lets pass never has two values chosen, and the order in which they are assumed does not matter.
func TestWhateverIsAllowedAgrees(t *testing.T) {
	chosenRuns := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := three(t)
		var taken []Action
		values := map[Slot]Value{}
		for range 200 {
			a := randomAction(rng)
			if s.Step(a) != nil {
				continue
			}
			taken = append(taken, a)
			for slot := Slot(1); slot <= 2; slot++ {
				v, ok := value(s.choice(slot))
				if was, had := values[slot]; had && (!ok || was != v) {
					t.Fatalf("seed %d: slot %d had %q chosen, and now %q", seed, slot, was, v)
				}
				if ok {
					values[slot] = v
				}
			}
		}
		again := three(t)
		for _, i := range rng.Perm(len(taken)) {
			again.Assume(taken[i])
		}
		for slot := Slot(1); slot <= 2; slot++ {
			v, ok := value(again.choice(slot))
			if was, had := values[slot]; had != ok || was != v {
				t.Fatalf("seed %d: in another order slot %d has %q chosen, not %q", seed, slot, v, was)
			}
		}
		chosenRuns += len(values)
	}
	if chosenRuns < 500 {
		t.Errorf("only %d slots were chosen: the test tests little", chosenRuns)
	}
}

func value(chosen *proposal) (Value, bool) {
	if chosen == nil {
		return "", false
	}
	return chosen.value, true
}

func randomAction(rng *rand.Rand) Action {
	a, b, slot := Acceptor(rng.IntN(3)), n(1+rng.Uint64N(4)), Slot(1+rng.IntN(2))
	v := Value([]string{"a", "b"}[rng.IntN(2)])
	switch rng.IntN(4) {
	case 0:
		return Prepare{b}
	case 1:
		return Promise{a, b}
	case 2:
		return Propose{b, slot, v}
	}
	return Vote{a, b, slot, v}
}

func BenchmarkSteadyState(b *testing.B) {
	s := three(b)
	steps(b, s, begun(n(1), 0, 1, 2)...)
	for slot := Slot(1); b.Loop(); slot++ {
		steps(b, s, Propose{n(1), slot, "v"}, Vote{0, n(1), slot, "v"}, Vote{1, n(1), slot, "v"}, Vote{2, n(1), slot, "v"},
			Accepted{1, n(1), slot, slot}, Learn{slot, "v"}, Learn{slot, "v"}, Announce{n(1), slot})
	}
}
