package paxos

import (
	"testing"

	"pgregory.net/rapid"
)

// What becomes of a member that peers cannot give the log to, because they have trimmed it.

// installed is Installed for one replica.
func (l *lone) installed(slot Slot) {
	l.fx = Effects{}
	l.step(Event{Kind: Installed, Slot: slot, Configurations: l.r.Configurations()})
}

// behind lets a member hear that its peers are ahead, and time pass until it asks. It returns whom it asks.
func (l *lone) behind(chosen Slot, peers ...NodeID) NodeID {
	l.t.Helper()
	for _, peer := range peers {
		l.receive(peer, &Message{Kind: Learned, Chosen: chosen})
	}
	l.ticks(4)
	asked := l.sent(Learn)
	if len(asked) != 1 {
		l.t.Fatalf("asks %d peers at once", len(asked))
	}
	return asked[0].To
}

func TestATrimmedSlotIsSaidToBeTrimmed(t *testing.T) {
	p := acceptorAmong(t, 3)
	p.installed(10)
	p.receive(2, &Message{Kind: Learn, Slot: 4})
	if len(p.fx.Fetches) != 1 || p.fx.Fetches[0].Slot != 4 {
		t.Fatalf("asks the log for %+v", p.fx.Fetches)
	}
	p.fx = Effects{}
	p.step(Event{Kind: Fetched, Peer: 2, Slot: 10})
	if m := p.sentOne(Learned, 2); m.Slot != 10 || m.Chosen != 10 {
		t.Errorf("it says that slot %d is trimmed, and %d chosen; both are 10", m.Slot, m.Chosen)
	}
	p.fx = Effects{}
	p.step(Event{Kind: Fetched, Peer: 2, Slot: 10, Records: []*Record{chosenRecord(11, "v")}})
	if m := p.sentOne(Learned, 2); m.Slot != 0 {
		t.Errorf("beside records it says that slot %d is trimmed", m.Slot)
	}
}

func TestASnapshotIsFetchedOnlyWhenNobodyHasTheLog(t *testing.T) {
	p := acceptorAmong(t, 4)
	first := p.behind(9, 2, 3, 4)
	p.receive(first, &Message{Kind: Learned, Chosen: 9, Slot: 5})
	second := p.sent(Learn)
	if len(p.fx.Transfers) > 0 || len(second) != 1 || second[0].To == first {
		t.Fatalf("told by %d that it is trimmed, it asks %+v and wants %+v", first, second, p.fx.Transfers)
	}
	p.receive(first, &Message{Kind: Learned, Chosen: 9, Slot: 5}) // the same once more
	p.sentNone(Learn)
	p.ticks(3) // the second one does not answer
	third := p.sent(Learn)
	if len(p.fx.Transfers) > 0 || len(third) != 1 || third[0].To == first || third[0].To == second[0].To {
		t.Fatalf("asks %+v and wants %+v", third, p.fx.Transfers)
	}
	p.receive(third[0].To, &Message{Kind: Learned, Chosen: 9, Slot: 7})
	if len(p.fx.Transfers) != 1 {
		t.Fatalf("all have been asked, and it wants %+v", p.fx.Transfers)
	}
	from := p.fx.Transfers[0].Peer
	if from != first && from != third[0].To {
		t.Errorf("wants a snapshot of node %d, which has not answered", from)
	}
	p.sentNone(Learn)
}

func TestWhoStillHasTheLogIsLearnedFrom(t *testing.T) {
	p := acceptorAmong(t, 3)
	first := p.behind(2, 2, 3)
	p.receive(first, &Message{Kind: Learned, Chosen: 2, Slot: 1})
	second := p.sent(Learn)[0].To
	p.receive(second, &Message{Kind: Learned, Chosen: 2, Records: []*Record{chosenRecord(1, "a"), chosenRecord(2, "b")}})
	p.ticks(10)
	if len(p.fx.Transfers) > 0 || p.r.Status().Chosen != 2 {
		t.Errorf("has chosen %d and wants %+v", p.r.Status().Chosen, p.fx.Transfers)
	}
}

// The shell passes over what comes while a transfer is under way, and forgets one that has failed; so the wish is repeated, and goes to each that can fulfil it.
func TestTheWishForASnapshotIsRepeatedAndGoesAround(t *testing.T) {
	p := acceptorAmong(t, 3)
	asked := p.behind(9, 2, 3)
	wanted := map[NodeID]int{}
	for range 200 {
		p.receive(asked, &Message{Kind: Learned, Chosen: 9, Slot: 5})
		for len(p.sent(Learn)) == 0 {
			for _, tr := range p.fx.Transfers {
				wanted[tr.Peer]++
			}
			p.ticks(1)
		}
		asked = p.sent(Learn)[0].To
	}
	if wanted[2] < 20 || wanted[3] < 20 {
		t.Errorf("of 200 answers come wishes %v", wanted)
	}
	p.installed(9)
	p.ticks(20)
	if p.sentNone(Learn); len(p.fx.Transfers) > 0 {
		t.Errorf("with everything installed it wants %+v", p.fx.Transfers)
	}
}

func TestWhatIsTrimmedBelowThePrefixIsNoReasonForASnapshot(t *testing.T) {
	p := acceptorAmong(t, 2)
	p.installed(5)
	p.behind(9, 2)
	p.receive(2, &Message{Kind: Learned, Chosen: 9, Slot: 5})
	if len(p.fx.Transfers) > 0 {
		t.Errorf("slot 6 is not trimmed, and it wants %+v", p.fx.Transfers)
	}
}

// An acceptor that forgot its votes above the slot, or its promise, could let two values be chosen.
func TestAnInstallationKeepsThePromiseAndTheVotesAbove(t *testing.T) {
	p := acceptorAmong(t, 3)
	p.accept(2, voteFor(ballotLow, 5, "below"))
	p.accept(2, voteFor(ballotLow, 6, "above"))
	p.receive(3, &Message{Kind: Prepare, Ballot: ballotMid, Slot: 1})
	p.sync()
	p.installed(5)
	p.accept(2, voteFor(ballotLow, 7, "old"))
	if m := p.sentOne(Nack, 2); m.Seen != ballotMid {
		t.Errorf("says that it has promised %v", m.Seen)
	}
	p.receive(3, &Message{Kind: Prepare, Ballot: ballotMid, Slot: 1})
	m := p.sentOne(Promise, 3)
	if m.Chosen != 5 || len(m.Reports) != 1 || m.Reports[0].Slot != 6 || m.Reports[0].Ballot != ballotLow || text(m.Reports[0].Record.Value) != "above" {
		t.Errorf("promises %+v", m)
	}
}

func TestNothingIsAcceptedAtOrBelowAnInstalledSlot(t *testing.T) {
	p := acceptorAmong(t, 3)
	p.installed(5)
	for slot := Slot(1); slot <= 5; slot++ {
		p.accept(2, voteFor(ballotHigh, slot, "late"))
		if p.sentNone(Accepted); len(p.fx.Records) > 0 {
			t.Fatalf("slot %d: logs %+v", slot, p.fx.Records[0])
		}
		if m := p.sentOne(Learned, 2); m.Chosen != 5 {
			t.Errorf("slot %d: answers with a chosen prefix of %d", slot, m.Chosen)
		}
	}
	p.receive(2, &Message{Kind: Learned, Chosen: 5, Records: []*Record{chosenRecord(3, "late")}})
	if len(p.fx.Records) > 0 || len(p.fx.Chosen) > 0 {
		t.Errorf("slot 3 is learned again: %+v %+v", p.fx.Records, p.fx.Chosen)
	}
}

func TestAnInstallationGoesOnWithWhatIsKnownAbove(t *testing.T) {
	p := acceptorAmong(t, 3)
	p.receive(2, &Message{Kind: Learned, Chosen: 9, Records: []*Record{chosenRecord(4, "d"), chosenRecord(6, "f"), chosenRecord(7, "g")}})
	p.sync()
	p.installed(5)
	if len(p.fx.Chosen) != 2 || p.fx.Chosen[0].Slot != 6 || p.fx.Chosen[1].Slot != 7 {
		t.Errorf("delivers %+v", p.fx.Chosen)
	}
	if st := p.r.Status(); st.Chosen != 7 || st.Delivered != 7 {
		t.Errorf("chosen up to %d, delivered up to %d", st.Chosen, st.Delivered)
	}
}

// What the core knows is never taken back, whatever the order in which installations and choices come; what is delivered has no gap but for what is installed.
func TestThePrefixNeverGoesBack(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		p := acceptorAmong(outer, 3)
		var prefix, delivered Slot
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			slot := Slot(rapid.IntRange(1, 40).Draw(t, "slot"))
			install := rapid.Bool().Draw(t, "install")
			if install {
				p.installed(slot)
			} else {
				p.receive(2, &Message{Kind: Learned, Chosen: slot, Records: []*Record{chosenRecord(slot, "v")}})
				p.fx.Chosen = nil // before the sync there can be none
				p.step(Event{Kind: Durable, LSN: LSN(len(p.log))})
			}
			st := p.r.Status()
			if install && slot > prefix {
				delivered = slot
			}
			for _, rec := range p.fx.Chosen {
				if rec.Slot != delivered+1 {
					t.Fatalf("delivers slot %d after %d", rec.Slot, delivered)
				}
				delivered++
			}
			if st.Chosen < prefix || st.Delivered != delivered || st.Delivered != st.Chosen || install && st.Chosen < slot {
				t.Fatalf("chosen up to %d, was %d; delivered up to %d, want %d", st.Chosen, prefix, st.Delivered, delivered)
			}
			if kept := p.kept(); p.r.learner.kept != kept {
				t.Fatalf("counts %d bytes of decisions, and holds %d", p.r.learner.kept, kept)
			}
			prefix = st.Chosen
		}
	})
}

// kept adds up the decisions that the learner holds.
func (l *lone) kept() (bytes int) {
	chosen := &l.r.learner.chosen
	for s := chosen.base; s < chosen.end(); s++ {
		if rec := l.r.learner.at(s); rec != nil {
			bytes += rec.Size()
		}
	}
	return bytes
}

// A leader that is overtaken cannot tell whether its own proposals were what was chosen. Were it to announce its prefix, a follower would take its vote at this leader's ballot for the choice.
func TestALeaderThatIsOvertakenByAnInstallationResignsBeforeItAnnounces(t *testing.T) {
	for _, tc := range []struct {
		name  string
		slot  Slot
		leads bool
	}{
		{"a slot that it knows to be chosen", 1, true},
		{"a slot that it has proposed in", 2, false},
		{"a slot that it has not come to", 3, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLone(t, loneConfig(t, 3, 3))
			ballot := p.lead()
			p.propose(1, "chosen")
			p.sync()
			p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
			p.idle()
			p.propose(2, "mine")
			p.sync()
			p.installed(tc.slot)
			if p.leads() != tc.leads {
				t.Fatalf("leads: %v", p.leads())
			}
			p.step(Event{Kind: Idle})
			p.sentNone(Commit, Accept)
			if st := p.r.Status(); st.Chosen != tc.slot {
				t.Errorf("chosen up to %d", st.Chosen)
			}
		})
	}
}

// A leader that recovers, and cannot learn what its predecessors chose but from a snapshot, goes on: nothing there is its own.
func TestALeaderThatSkipsWhatItsPredecessorsChoseGoesOn(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(Ballot{})
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Chosen: 8, Flag: true})
	p.sync()
	if !p.leads() {
		t.Fatal("does not lead")
	}
	p.installed(8)
	if !p.leads() || !p.r.Status().Recovered {
		t.Errorf("leads: %v, and has recovered: %v", p.leads(), p.r.Status().Recovered)
	}
	p.propose(1, "new")
	if m := p.sentOne(Accept, 1); m.Record.Slot != 9 {
		t.Errorf("proposes in slot %d", m.Record.Slot)
	}
}
