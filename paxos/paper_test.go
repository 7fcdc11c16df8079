package paxos

import (
	"maps"
	"reflect"
	"testing"
)

// One test for each rule that Lamport, "Paxos Made Simple" (2001), lays on an agent in §2, and on the leader in §3. They drive Step and look at
// what comes out, so they hold for any inner form of the roles. P2, P2a and P2b are consequences of P2c: the cluster tests see to those.

var (
	ballotLow  = Ballot{Round: 1, Node: 2, Boot: 1}
	ballotMid  = Ballot{Round: 2, Node: 2, Boot: 1}
	ballotHigh = Ballot{Round: 3, Node: 3, Boot: 1}
)

// P1: "An acceptor must accept the first proposal that it receives."
func TestP1AnAcceptorAcceptsTheFirstProposalThatItReceives(t *testing.T) {
	for _, ballot := range []Ballot{{Round: 1, Node: 1}, ballotLow, ballotHigh, {Round: 1 << 60, Node: 1 << 60, Boot: 1 << 31}} {
		a := acceptorAmong(t, 3)
		a.accept(2, voteFor(ballot, 1, "v"))
		a.sync()
		if m := a.sentOne(Accepted, 2); m.Ballot != ballot || m.Slot != 1 || m.Upto != 1 {
			t.Errorf("the first proposal, of ballot %v, is answered by %+v", ballot, m)
		}
	}
}

// P1 holds for each instance: one slot's vote takes nothing from another's.
func TestP1HoldsInEachSlot(t *testing.T) {
	a := acceptorAmong(t, 3)
	for _, slot := range []Slot{5, 1, 9} {
		a.accept(2, voteFor(ballotLow, slot, "v"))
		a.sync()
		if m := a.sentOne(Accepted, 2); m.Slot != slot || m.Upto != slot {
			t.Errorf("a vote in slot %d is answered by %+v", slot, m)
		}
	}
}

// P1a: "An acceptor can accept a proposal numbered n iff it has not responded to a prepare request having a number greater than n."
func TestP1aAnAcceptorAcceptsIffItHasNotPromisedAbove(t *testing.T) {
	for _, tc := range []struct {
		name     string
		promised Ballot
		offered  Ballot
		votes    bool
	}{
		{"below the promise", ballotMid, ballotLow, false},
		{"at the promise", ballotMid, ballotMid, true},
		{"above the promise", ballotMid, ballotHigh, true},
		{"same round, lower node", Ballot{2, 3, 1}, Ballot{2, 2, 9}, false},
		{"same round and node, lower boot", Ballot{2, 2, 2}, Ballot{2, 2, 1}, false},
		{"same round and node, higher boot", Ballot{2, 2, 1}, Ballot{2, 2, 2}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := acceptorAmong(t, 3)
			a.receive(2, &Message{Kind: Prepare, Ballot: tc.promised, Slot: 1})
			a.sync()
			a.accept(3, voteFor(tc.offered, 1, "v"))
			if tc.votes {
				a.sync()
				a.sentOne(Accepted, 3)
				return
			}
			if m := a.sentOne(Nack, 3); m.Ballot != tc.offered || m.Seen != tc.promised {
				t.Errorf("refused by %+v", m)
			}
			if len(a.fx.Records) > 0 {
				t.Errorf("logs %+v for a proposal that it refuses", a.fx.Records[0])
			}
		})
	}
}

// §2.2 lets an acceptor ignore a prepare request below one that it has answered. Here it says which one that was: a hint.
func TestAnAcceptorPromisesNothingBelowItsPromise(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.sync()
	a.receive(2, &Message{Kind: Prepare, Ballot: ballotLow, Slot: 1})
	a.sentNone(Promise)
	if m := a.sentOne(Nack, 2); m.Ballot != ballotLow || m.Seen != ballotHigh {
		t.Errorf("refused by %+v", m)
	}
	if len(a.fx.Records) > 0 {
		t.Errorf("logs %+v for a promise that it refuses", a.fx.Records[0])
	}
}

// A prepare request that is repeated is answered again: the first answer may be lost.
func TestAnAcceptorRepeatsItsPromiseAtTheSameBallot(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.sync()
	first := a.sentOne(Promise, 3)
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	if again := a.sentOne(Promise, 3); !reflect.DeepEqual(again, first) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	if len(a.fx.Records) > 0 {
		t.Error("the same promise is logged twice")
	}
}

// §2.2, phase 1 (b): "…it responds to the request with a promise not to accept any more proposals numbered less than n and with the highest-numbered proposal (if any) that it has accepted."
func TestAPromiseCarriesTheHighestNumberedProposalAccepted(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(2, voteFor(ballotLow, 1, "old"))
	a.accept(2, voteFor(ballotMid, 1, "new"))
	a.accept(2, voteFor(ballotMid, 3, "apart"))
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.sync()
	m := a.sentOne(Promise, 3)
	if m.Ballot != ballotHigh || !m.Flag || m.Slot != 1 || m.Upto != 3 || len(m.Reports) != 2 {
		t.Fatalf("promises %+v", m)
	}
	for i, want := range []Report{voted(ballotMid, 1, "new"), voted(ballotMid, 3, "apart")} {
		got := m.Reports[i]
		if got.Slot != want.Slot || got.State != Voted || got.Ballot != want.Ballot || text(got.Record.Value) != text(want.Record.Value) {
			t.Errorf("report %d is %+v, want %+v", i, got, want)
		}
	}
}

// The promise covers every slot, those included that nobody has used yet.
func TestAPromiseCoversEverySlot(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.sync()
	for _, slot := range []Slot{1, 2, 1000} {
		a.accept(2, voteFor(ballotLow, slot, "v"))
		a.sentOne(Nack, 2)
	}
}

// §2.2: an acceptor remembers its highest-numbered vote and its promise, even if it fails and is restarted.
func TestAnAcceptorRemembersPromiseAndVoteAcrossARestart(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotMid, Slot: 1})
	a.sync()

	cfg := loneConfig(t, 1, 3)
	cfg.Boot = 2
	b := newLone(t, cfg, a.log...)
	b.accept(2, voteFor(ballotLow, 2, "late"))
	if m := b.sentOne(Nack, 2); m.Seen != ballotMid {
		t.Errorf("after the restart it has promised %v, not %v", m.Seen, ballotMid)
	}
	b.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	b.sync()
	if m := b.sentOne(Promise, 3); len(m.Reports) != 1 || m.Reports[0].Ballot != ballotLow || text(m.Reports[0].Record.Value) != "v" {
		t.Errorf("after the restart it reports %+v", m.Reports)
	}
}

// The vital state and the log each know of a promise; whichever is higher counts, and of two votes in a slot the later.
func TestARestartTakesTheHighestPromiseAndTheLastVote(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	for name, tc := range map[string]struct{ vital, logged Ballot }{
		"the vital state is ahead": {ballotHigh, ballotLow},
		"the log is ahead":         {ballotLow, ballotHigh},
		"the log alone knows":      {Ballot{}, ballotHigh},
	} {
		r, err := New(cfg, Stable{Promised: tc.vital, Last: 3})
		if err != nil {
			t.Fatal(err)
		}
		r.Restore(1, voteFor(Ballot{Round: 1, Node: 1}, 1, "first"))
		r.Restore(2, voteFor(ballotLow, 1, "last"))
		r.Restore(3, &Record{Kind: RecordPromise, Ballot: tc.logged})
		a := &lone{t: t, r: r, log: make([]*Record, 3)}
		a.accept(2, voteFor(ballotMid, 2, "late"))
		if m := a.sentOne(Nack, 2); m.Seen != ballotHigh {
			t.Errorf("%s: it has promised %v", name, m.Seen)
		}
		a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
		if m := a.sentOne(Promise, 3); len(m.Reports) != 1 || text(m.Reports[0].Record.Value) != "last" {
			t.Errorf("%s: it reports %+v", name, m.Reports)
		}
	}
}

// §2.5: "An acceptor records its intended response in stable storage before actually sending the response."
func TestAnAcceptorAnswersOnlyWhatIsDurable(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(2, &Message{Kind: Prepare, Ballot: ballotLow, Slot: 1})
	a.sentNone(Promise)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.sentNone(Promise, Accepted)
	a.receive(2, &Message{Kind: Prepare, Ballot: ballotLow, Slot: 1})
	a.sentNone(Promise, Accepted)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.sentNone(Promise, Accepted)
	if len(a.log) != 2 || a.log[0].Kind != RecordPromise || a.log[1].Kind != RecordAccept {
		t.Fatalf("the log holds %+v", a.log)
	}

	a.fx = Effects{}
	a.step(Event{Kind: Durable, LSN: 1})
	a.sentNone(Accepted)
	if len(a.sent(Promise)) == 0 {
		t.Error("the promise is durable and does not leave")
	}
	a.sync()
	if len(a.sent(Accepted)) == 0 {
		t.Error("the vote is durable and does not leave")
	}
}

// The paper leaves it open: a vote whose Prepare never came bars lower ballots as well.
func TestAVoteRaisesThePromise(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(3, voteFor(ballotHigh, 1, "v"))
	a.sync()
	a.accept(2, voteFor(ballotMid, 2, "w"))
	a.sentOne(Nack, 2)
	a.receive(2, &Message{Kind: Prepare, Ballot: ballotMid, Slot: 1})
	a.sentOne(Nack, 2)
}

// §2.2: different proposals have different numbers, so a ballot has one value in a slot.
func TestOneBallotHasOneValueInASlot(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.sync()
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.sentOne(Accepted, 2)
	if len(a.log) != 2 {
		t.Errorf("a promise and a vote make %d records", len(a.log))
	}
	a.violates("a second value at the same ballot", func() { a.accept(2, voteFor(ballotLow, 1, "w")) })
}

// P2c: "…there is a set S consisting of a majority of acceptors such that either (a) no acceptor in S has accepted any proposal numbered less than n…"
func TestP2cAnyValueWhereAQuorumHasVotedForNone(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	p.lead()
	p.propose(7, "mine")
	if got := p.proposals(); !reflect.DeepEqual(got, map[Slot]string{1: "mine"}) {
		t.Errorf("proposes %v", got)
	}
}

// P2c: "…or (b) v is the value of the highest-numbered proposal among all proposals numbered less than n accepted by the acceptors in S."
func TestP2cTheValueOfTheHighestNumberedProposalReported(t *testing.T) {
	high, low := voted(ballotMid, 1, "high"), voted(ballotLow, 1, "low")
	for _, tc := range []struct {
		name    string
		reports [2][]Report
		want    string
	}{
		{"one has voted", [2][]Report{{low}, nil}, "low"},
		{"the other has voted", [2][]Report{nil, {low}}, "low"},
		{"the higher first", [2][]Report{{high}, {low}}, "high"},
		{"the higher last", [2][]Report{{low}, {high}}, "high"},
		{"none has voted, above another that was", [2][]Report{{voted(ballotLow, 2, "above")}, nil}, "no-op"},
		{"known to be chosen", [2][]Report{{low}, {Report{Slot: 1, State: ReportChosen, Record: chosenRecord(1, "chosen")}}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLone(t, loneConfig(t, 5, 5))
			ballot := p.campaign(ballotHigh)
			for i, reports := range tc.reports {
				p.receive(NodeID(i+1), &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 2, Flag: true, Reports: reports})
			}
			if got := p.proposals()[1]; got != tc.want {
				t.Errorf("proposes %q in slot 1, want %q", got, tc.want)
			}
		})
	}
}

// §2.2, phase 2 (a): a proposer issues a proposal after responses from a majority of acceptors: not from fewer, not from the same one twice, not for another number.
func TestAProposerWaitsForAMajorityOfPromises(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5)) // its own promise is the first
	ballot := p.campaign(Ballot{})
	empty := func(b Ballot) *Message { return &Message{Kind: Promise, Ballot: b, Slot: 1, Flag: true} }
	steps := []struct {
		name string
		from NodeID
		m    *Message
	}{
		{"one other", 1, empty(ballot)},
		{"the same one again", 1, empty(ballot)},
		{"for a lower number", 2, empty(Ballot{Round: ballot.Round, Node: 5})},
		{"for a higher number", 3, empty(Ballot{Round: ballot.Round + 1, Node: 5, Boot: 1})},
		{"not the last chunk", 4, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Reports: []Report{voted(Ballot{Node: 1}, 1, "v")}}},
	}
	for _, s := range steps {
		p.receive(s.from, s.m)
		if p.leads() {
			t.Fatalf("leads after a promise %s", s.name)
		}
		p.sentNone(Accept)
	}
	p.step(Event{Kind: Received, From: 2, Incarnation: incarnationOf(2) + 1, Message: empty(ballot)})
	if p.leads() {
		t.Fatal("leads after a promise of a disk that is not a member")
	}
	p.receive(2, empty(ballot))
	if !p.leads() {
		t.Fatal("does not lead after three promises of five")
	}
}

// §2.2: "…a value is chosen when a single proposal with that value has been accepted by a majority of the acceptors."
func TestAValueIsChosenByAMajorityOfVotesForASingleProposal(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5))
	ballot := p.lead()
	p.propose(1, "v")
	p.sync() // its own vote
	vote := func(b Ballot) *Message { return &Message{Kind: Accepted, Ballot: b, Slot: 1, Upto: 1} }
	steps := []struct {
		name string
		from NodeID
		m    *Message
	}{
		{"one other", 1, vote(ballot)},
		{"the same one again", 1, vote(ballot)},
		{"at a lower ballot", 2, vote(Ballot{Round: ballot.Round, Node: 5})},
		{"at a higher ballot", 3, vote(Ballot{Round: ballot.Round + 1, Node: 5, Boot: 1})},
		{"in another slot", 4, &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 9}},
	}
	for _, s := range steps {
		p.receive(s.from, s.m)
		if p.r.Status().Chosen != 0 || len(p.fx.Chosen) > 0 {
			t.Fatalf("chosen after a vote %s", s.name)
		}
	}
	p.receive(2, vote(ballot))
	if len(p.fx.Chosen) != 1 || text(p.fx.Chosen[0].Value) != "v" {
		t.Fatalf("three votes of five have chosen %+v", p.fx.Chosen)
	}
}

// §2.1: "A process never learns that a value has been chosen unless it actually has been." So not from an announcement that speaks of another proposal than the one it voted for.
func TestALearnerTakesItsOwnVoteForChosenOnlyAtTheAnnouncedBallot(t *testing.T) {
	for _, tc := range []struct {
		name      string
		announced Ballot
		chosen    Slot
	}{
		{"same ballot", ballotMid, 1},
		{"a later leader's ballot", ballotHigh, 0},
		{"an earlier leader's ballot", ballotLow, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := acceptorAmong(t, 3)
			a.accept(2, voteFor(ballotMid, 1, "v"))
			a.sync()
			a.receive(tc.announced.Node, &Message{Kind: Commit, Ballot: tc.announced, Chosen: 1})
			if got := a.r.Status().Chosen; got != tc.chosen {
				t.Errorf("takes slot %d for chosen", got)
			}
		})
	}
}

// §2.4: a proposer abandons a number when it hears of a higher one: it gives way to that, and goes on while it hears of none.
func TestALeaderAbandonsItsProposalsForAHigherNumber(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	p.receive(1, &Message{Kind: Nack, Ballot: ballot, Seen: ballot})
	p.propose(1, "goes on")
	if len(p.proposals()) != 1 {
		t.Fatalf("proposes %v", p.proposals())
	}
	p.receive(1, &Message{Kind: Nack, Ballot: ballot, Seen: Ballot{Round: ballot.Round + 1, Node: 2, Boot: 1}})
	p.propose(2, "too late")
	p.sentNone(Accept)
	if p.leads() {
		t.Error("leads below a ballot that it knows was promised")
	}
}

// §2.5: "Each proposer remembers (in stable storage) the highest-numbered proposal it has tried to issue, and begins phase 1 with a higher proposal number than any it has already used." Here the boot counter is what is stable.
func TestNoTwoProposalsShareANumberAcrossRestarts(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	used := map[Ballot]bool{}
	for boot := uint32(1); boot <= 3; boot++ { // nothing of the log survives, and nobody remembers
		cfg.Boot = boot
		p := newLone(t, cfg)
		for range 3 {
			ballot := p.campaign(Ballot{})
			if used[ballot] {
				t.Fatalf("ballot %v is used twice", ballot)
			}
			used[ballot] = true
			p.receive(1, &Message{Kind: Nack, Ballot: ballot, Seen: Ballot{Round: ballot.Round, Node: 9}})
		}
	}
}

// §3: a new leader runs phase 1 once for all instances, fills the gaps below the highest that it hears of with no-ops, and puts new commands above.
func TestANewLeaderFillsGapsWithNoopsAndGoesOnAbove(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 4, Flag: true, Reports: []Report{voted(ballotLow, 2, "two"), voted(ballotLow, 4, "four")}})
	if got, want := p.proposals(), (map[Slot]string{1: "no-op", 2: "two", 3: "no-op", 4: "four"}); !reflect.DeepEqual(got, want) {
		t.Fatalf("recovers %v, want %v", got, want)
	}
	p.sync()
	p.propose(1, "new")
	if got, want := p.proposals(), (map[Slot]string{5: "new"}); !reflect.DeepEqual(got, want) {
		t.Fatalf("proposes %v, want %v", got, want)
	}
}

// §3: a leader gets at most α commands ahead: it acts on no slot more than α above the last that it knows, with all before it, to be chosen.
func TestALeaderProposesAtMostAlphaSlotsAhead(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Founders = cfg.Founders.WithWindow(3)
	p := newLone(t, cfg)
	ballot := p.lead()
	proposed := map[Slot]string{}
	for id := range uint64(6) {
		p.propose(id+1, "v")
		maps.Copy(proposed, p.proposals())
		p.sync()
		p.idle()
		maps.Copy(proposed, p.proposals())
	}
	if want := (map[Slot]string{1: "v", 2: "v", 3: "v"}); !reflect.DeepEqual(proposed, want) {
		t.Fatalf("with α = 3 and nothing chosen it proposes %v", proposed)
	}
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 3})
	p.idle()
	p.sentNone(Accept)
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	p.idle()
	if got := p.proposals(); got[4] == "" || len(got) != 1 {
		t.Fatalf("after three slots are chosen it proposes %v", got)
	}
}

// What is under way is bounded in bytes as well, whatever the window has room for.
func TestALeaderProposesNoMoreBytesThanMayBeInFlight(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Limits.InflightBytes = 100 // two records: each has 64 bytes
	p := newLone(t, cfg)
	ballot := p.lead()
	for id := range uint64(5) {
		p.propose(id+1, "v")
		p.sync()
	}
	p.idle()
	p.sentNone(Accept)
	if n := p.r.Queued(); n != 3 {
		t.Fatalf("%d commands wait, want 3", n)
	}
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 2})
	if p.idle(); len(p.proposals()) != 1 { // the three that wait go together
		t.Errorf("after two slots are chosen it proposes %v", p.proposals())
	}
}

// An Accept that was not answered is sent again: the same record, to those who have not voted, and to nobody once it is chosen.
func TestAnUnansweredAcceptIsSentAgainAsItWas(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5))
	ballot := p.lead()
	p.propose(1, "v")
	first := p.sentOne(Accept, 1).Record
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	p.ticks(3)
	p.sentOne(Accept, 2)
	p.sentOne(Accept, 4)
	if again := p.sentOne(Accept, 3).Record; again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
	for _, o := range p.sent(Accept) {
		if o.To == 1 || o.To == 5 {
			t.Errorf("sent again to node %d, which has voted or holds it", o.To)
		}
	}
	p.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	p.receive(3, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	p.heartbeats(6, Message{Seen: ballot, Flag: true}, p.peers...)
	p.sentNone(Accept)
}
