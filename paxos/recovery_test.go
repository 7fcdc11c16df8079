package paxos

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// What a new leader may conclude from reports that come late, in pieces, or from a disk that has lost votes.

// lostVote is the report of an acceptor whose disk lost a vote of at most this ballot.
func lostVote(slot Slot, limit Ballot) Report {
	return Report{Slot: slot, State: ReportUnknown, Ballot: limit}
}

func votesFrom(from, to Slot, ballot Ballot) (reports []Report) {
	for s := from; s <= to; s++ {
		reports = append(reports, voted(ballot, s, fmt.Sprintf("v%d", s)))
	}
	return reports
}

func chosenFrom(from, to Slot) (records []*Record) {
	for s := from; s <= to; s++ {
		records = append(records, chosenRecord(s, fmt.Sprintf("v%d", s)))
	}
	return records
}

// A promise that comes after phase 1 may tell that slots are chosen which the leader has not filled yet, for want of room in the window. The reports on
// them are dropped with that, and a report that was dropped is not one of "no vote".
func TestALatePromiseDoesNotTurnSlotsBeyondTheWindowIntoNoops(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Founders = cfg.Founders.WithWindow(4)
	p := newLone(t, cfg)
	ballot := p.campaign(ballotLow)
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 8, Flag: true, Chosen: 2, Reports: votesFrom(3, 8, ballotLow)})
	if got := p.proposals(); !reflect.DeepEqual(got, map[Slot]string{3: "v3", 4: "v4"}) {
		t.Fatalf("the window lets it propose %v", got)
	}
	p.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 8, Flag: true, Chosen: 8})
	p.sentNone(Accept)
	p.receive(2, &Message{Kind: Learned, Records: chosenFrom(1, 4), Chosen: 8})
	if got := p.proposals(); len(got) > 0 {
		t.Fatalf("proposes %v in slots that it has heard are chosen", got)
	}
	p.receive(2, &Message{Kind: Learned, Records: chosenFrom(5, 8), Chosen: 8})
	if st := p.r.Status(); !st.Recovered || st.Chosen != 8 {
		t.Errorf("after it has learned them: %+v", st)
	}
}

// The same, where the slot waits because its vote was lost.
func TestALatePromiseDoesNotTurnALostVoteIntoANoop(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Reports: []Report{lostVote(1, ballotLow)}})
	if !p.leads() {
		t.Fatal("one slot whose vote is lost keeps it from leading at all")
	}
	p.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Chosen: 1})
	p.sentNone(Accept)
	p.receive(2, &Message{Kind: Learned, Records: chosenFrom(1, 1), Chosen: 1})
	if st := p.r.Status(); !st.Recovered || st.Chosen != 1 {
		t.Errorf("after it has learned the slot: %+v", st)
	}
}

// What reads wait for is what the quorum of phase 1 has reported: votes that are heard of later can never be chosen.
func TestALatePromiseDoesNotMakeReadsWaitLonger(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	p.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 500, Flag: true, Reports: votesFrom(500, 500, ballotLow)})
	p.read(1)
	if len(p.sent(ReadProbe)) == 0 {
		t.Error("the read waits for a vote that nobody can have seen chosen")
	}
}

// A lost vote is neither a vote nor none. It is outweighed by a definite report of its own ballot or a higher one.
func TestALostVoteCountsOnlyIfItCannotHaveBeenTheHighest(t *testing.T) {
	none := []Report(nil)
	for _, tc := range []struct {
		name    string
		reports [3][]Report // of nodes 1 to 3 of five; the candidate, node 5, has no vote. Nodes 1 and 2 end phase 1
		early   string      // proposed after two
		late    string      // after the third
	}{
		{"nobody has voted", [3][]Report{none, none, none}, "", ""},
		{"a vote is lost, the others have none", [3][]Report{{lostVote(1, ballotMid)}, none, none}, "", "no-op"},
		{"two votes are lost", [3][]Report{{lostVote(1, ballotMid)}, {lostVote(1, ballotMid)}, none}, "", ""},
		{"lost, below a vote", [3][]Report{{lostVote(1, ballotLow)}, {voted(ballotMid, 1, "v")}, none}, "v", ""},
		{"lost, at a vote's ballot", [3][]Report{{lostVote(1, ballotMid)}, {voted(ballotMid, 1, "v")}, none}, "v", ""},
		{"lost, above a vote", [3][]Report{{lostVote(1, ballotHigh)}, {voted(ballotMid, 1, "v")}, none}, "", "v"},
		{"two lost above a vote", [3][]Report{{lostVote(1, ballotHigh)}, {lostVote(1, ballotHigh)}, {voted(ballotMid, 1, "v")}}, "", ""},
		{"two lost, and outweighed at last", [3][]Report{{lostVote(1, ballotMid)}, {lostVote(1, ballotLow)}, {voted(ballotMid, 1, "v")}}, "", "v"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLone(t, loneConfig(t, 5, 5))
			ballot := p.campaign(ballotHigh)
			promise := func(i int) *Message {
				return &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Reports: tc.reports[i]}
			}
			p.receive(1, promise(0))
			p.receive(2, promise(1))
			if got := p.proposals()[1]; got != tc.early || !p.leads() {
				t.Fatalf("after two promises it proposes %q, want %q; leads: %v", got, tc.early, p.leads())
			}
			p.receive(3, promise(2))
			if got := p.proposals()[1]; got != tc.late {
				t.Fatalf("after the third promise it proposes %q, want %q", got, tc.late)
			}
		})
	}
}

// A log is read in order, but which of its records are sound is known in any order.
func TestTheOrderOfRestoreAndRestoreUnknownDoesNotMatter(t *testing.T) {
	type event struct {
		lost   bool
		ballot Ballot
	}
	for _, tc := range []struct {
		name   string
		events []event
		want   Report
	}{
		{"the higher is sound", []event{{true, ballotLow}, {false, ballotMid}}, voted(ballotMid, 1, "v")},
		{"the higher is lost", []event{{false, ballotLow}, {true, ballotMid}}, lostVote(1, ballotMid)},
		{"both are lost", []event{{true, ballotLow}, {true, ballotMid}}, lostVote(1, ballotMid)},
		{"the bound of the lost one is the sound one's ballot", []event{{true, ballotMid}, {false, ballotMid}}, lostVote(1, ballotMid)},
		{"lost, between two that are sound", []event{{false, ballotLow}, {true, ballotMid}, {false, ballotHigh}}, voted(ballotHigh, 1, "v")},
	} {
		for _, events := range permutations(tc.events) {
			sound := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.lost })
			if !slices.IsSortedFunc(sound, func(a, b event) int { return a.ballot.Compare(b.ballot) }) {
				continue // the sound ones do come in log order
			}
			t.Run(fmt.Sprint(tc.name, events), func(t *testing.T) {
				a := newLone(t, loneConfig(t, 1, 3))
				for _, e := range events {
					if e.lost {
						a.r.RestoreUnknown(1, e.ballot)
					} else {
						a.r.Restore(0, voteFor(e.ballot, 1, "v"))
					}
				}
				a.receive(3, &Message{Kind: Prepare, Ballot: Ballot{Round: 9, Node: 3, Boot: 1}, Slot: 1})
				a.sync()
				reports := a.sentOne(Promise, 3).Reports
				if len(reports) != 1 || reports[0].State != tc.want.State || reports[0].Ballot != tc.want.Ballot {
					t.Errorf("reports %+v, want %+v", reports, tc.want)
				}
			})
		}
	}
}

func permutations[T any](items []T) (all [][]T) {
	if len(items) == 0 {
		return [][]T{nil}
	}
	for i, first := range items {
		var rest []T
		rest = append(append(rest, items[:i]...), items[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]T{first}, p...))
		}
	}
	return all
}

// What the leader sends again, or a peer knows to be chosen, replaces a lost vote: the slot is as good as ever.
func TestALostVoteIsHealedByANewOneAndByAChoice(t *testing.T) {
	a := newLone(t, loneConfig(t, 1, 3))
	a.r.RestoreUnknown(1, ballotLow)
	a.r.RestoreUnknown(2, ballotLow)
	a.accept(2, voteFor(ballotLow, 2, "sent again"))
	a.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "learned")}, Chosen: 1})
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.sync()
	m := a.sentOne(Promise, 3)
	if len(m.Reports) != 1 || m.Reports[0].State != Voted || m.Reports[0].Slot != 2 || m.Chosen != 1 {
		t.Errorf("reports %+v, chosen up to %d", m.Reports, m.Chosen)
	}
}

// Chunks count in order and without gaps: one that is lost is not a run of "no vote".
func TestAChunkOutOfOrderIsNotCounted(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	first := &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 2, Reports: votesFrom(1, 2, ballotLow)}
	last := &Message{Kind: Promise, Ballot: ballot, Slot: 3, Upto: 4, Flag: true, Reports: votesFrom(3, 4, ballotLow)}
	p.receive(1, last)
	if p.leads() {
		t.Fatal("the last chunk alone ends phase 1")
	}
	p.receive(1, first)
	if m := p.sentOne(Prepare, 1); m.Slot != 3 {
		t.Fatalf("asks for slot %d and up after a chunk up to 2", m.Slot)
	}
	p.receive(1, first)
	p.receive(1, last)
	if got, want := p.proposals(), (map[Slot]string{1: "v1", 2: "v2", 3: "v3", 4: "v4"}); !reflect.DeepEqual(got, want) {
		t.Errorf("recovers %v, want %v", got, want)
	}
}

// An acceptor whose chosen prefix is higher has forgotten the votes below, and says so by the prefix: those slots are chosen, not free.
func TestSlotsBelowAReportedPrefixAreLearnedAndNeverProposed(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 5, Flag: true, Chosen: 4, Reports: votesFrom(5, 5, ballotLow)})
	if got, want := p.proposals(), (map[Slot]string{5: "v5"}); !reflect.DeepEqual(got, want) {
		t.Fatalf("proposes %v, want %v", got, want)
	}
	p.sync()
	p.propose(1, "new")
	if got, want := p.proposals(), (map[Slot]string{6: "new"}); !reflect.DeepEqual(got, want) {
		t.Fatalf("proposes %v, want %v", got, want)
	}
	p.heartbeats(1, Message{Seen: ballot, Flag: true, Chosen: 4}, 1)
	if m := p.sentOne(Learn, 1); m.Slot != 1 {
		t.Errorf("asks for slot %d and up", m.Slot)
	}
}

// What an acceptor knows to be chosen above a hole is reported as that: a vote there may be an older one, or none at all.
func TestAPromiseReportsWhatIsKnownToBeChosenAboveAHole(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 5))
	ballot := l.campaign(Ballot{})
	l.accept(2, voteFor(ballot, 2, "voted")) // its own ballot, said by another: no more than a vote to report
	l.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 3, Flag: true, Reports: []Report{{Slot: 3, State: ReportChosen, Record: chosenRecord(3, "chosen")}}})
	higher := Ballot{Round: ballot.Round + 1, Node: 2, Boot: 1}
	l.receive(2, &Message{Kind: Prepare, Ballot: higher, Slot: 1})
	l.sync()
	m := l.sentOne(Promise, 2)
	if len(m.Reports) != 2 || m.Reports[0].State != Voted || m.Reports[1].State != ReportChosen || text(m.Reports[1].Record.Value) != "chosen" || m.Chosen != 0 {
		t.Errorf("reports %+v, chosen up to %d", m.Reports, m.Chosen)
	}
}

// A choice that is reported too far up to be held is not forgotten for that: when its turn comes, its value is proposed, and no no-op.
func TestAReportedChoiceOutOfReachKeepsItsValue(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Founders, cfg.Limits = cfg.Founders.WithWindow(4), Limits{ReorderingSlots: 4}
	p := newLone(t, cfg)
	ballot := p.campaign(ballotLow)
	reports := append(votesFrom(1, 4, ballotLow), Report{Slot: 6, State: ReportChosen, Record: chosenRecord(6, "chosen")})
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 6, Flag: true, Reports: reports})
	p.sync()
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 4})
	if got, want := p.proposals(), (map[Slot]string{5: "no-op", 6: "chosen"}); !reflect.DeepEqual(got, want) {
		t.Errorf("proposes %v, want %v", got, want)
	}
}

// A candidate keeps a place for every slot up to the highest reported. A report that leaves a greater gap than an acceptor can have is not believed, however long the log is.
func TestAReportBeyondAnyGapIsNotBelieved(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Founders, cfg.Limits = cfg.Founders.WithWindow(4), Limits{ReorderingSlots: 10}
	for _, tc := range []struct {
		name   string
		chosen Slot
		slots  []Slot
		leads  bool
	}{
		{"no gap", 0, []Slot{1, 2, 3}, true},
		{"gaps as wide as may be", 0, []Slot{11, 21, 31}, true},
		{"above the prefix", 50, []Slot{60, 70}, true},
		{"one gap too wide", 0, []Slot{11, 22}, false},
		{"too far above the prefix", 50, []Slot{61}, false},
		{"absurd", 0, []Slot{1 << 20}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLone(t, cfg)
			ballot := p.campaign(ballotLow)
			m := &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true, Chosen: tc.chosen}
			for _, s := range tc.slots {
				m.Reports, m.Upto = append(m.Reports, voted(ballotLow, s, "v")), s
			}
			p.receive(1, m)
			if p.leads() != tc.leads {
				t.Errorf("leads: %v", p.leads())
			}
		})
	}
}
