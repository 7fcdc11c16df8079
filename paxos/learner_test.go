package paxos

import (
	"testing"
)

// What a member may take for chosen, what a leader may announce, and how one catches up.

// The trap: a leader that was deposed without knowing learns that a slot it has proposed in was chosen with another value, or one it has not come to. Were it to
// announce its prefix then, a follower would take its vote at this leader's ballot for the choice.
func TestALeaderThatLearnsAForeignChoiceResignsBeforeItAnnounces(t *testing.T) {
	for _, tc := range []struct {
		name    string
		learned []*Record
		leads   bool
	}{
		{"its own value", []*Record{chosenRecord(1, "mine")}, true},
		{"another value", []*Record{chosenRecord(1, "foreign")}, false},
		{"a slot that it has not proposed in", []*Record{chosenRecord(1, "mine"), chosenRecord(2, "foreign")}, false},
		{"at another's ballot", []*Record{voteFor(Ballot{Round: 9, Node: 2, Boot: 1}, 1, "foreign")}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLone(t, loneConfig(t, 3, 3))
			ballot := p.lead()
			p.propose(1, "mine")
			p.sync()
			p.receive(1, &Message{Kind: Learned, Records: tc.learned, Chosen: Slot(len(tc.learned))})
			if p.leads() != tc.leads {
				t.Errorf("leads: %v", p.leads())
			}
			p.step(Event{Kind: Idle})
			if announced := len(p.sent(Commit)) > 0; announced != tc.leads {
				t.Errorf("announces: %v", announced)
			}
			p.heartbeats(1, Message{Seen: ballot, Flag: true}, p.peers...)
			if m := p.sentOne(Heartbeat, 1); m.Ballot.IsZero() == tc.leads {
				t.Errorf("its heartbeat announces %d at %v", m.Chosen, m.Ballot)
			}
			if st := p.r.Status(); st.Chosen != Slot(len(tc.learned)) {
				t.Errorf("has learned up to slot %d", st.Chosen)
			}
		})
	}
}

// The same when the choice is told in a late promise: it must not come to light through the next announcement.
func TestALeaderResignsOverAForeignChoiceInAPromise(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	p.propose(1, "mine")
	p.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Reports: []Report{{Slot: 1, State: ReportChosen, Record: chosenRecord(1, "foreign")}}})
	if p.leads() {
		t.Error("it goes on leading")
	}
	p.idle()
	p.sentNone(Commit, Accept)
}

// An announcement is about the votes of its own ballot, and of no later one: in between, the leader that made it may have learned the choice from others, and the next one not.
func TestAnAnnouncementDoesNotOutliveItsBallot(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 1})
	a.accept(2, voteFor(ballotMid, 1, "v"))
	if got := a.r.Status().Chosen; got != 0 {
		t.Errorf("slot %d is taken for chosen", got)
	}
}

// Nor does the late word of a deposed leader make the present one's forgotten.
func TestAnAnnouncementIsNotUndoneByAnEarlierLeaders(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(3, &Message{Kind: Commit, Ballot: ballotHigh, Chosen: 1})
	a.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 1})
	a.accept(3, voteFor(ballotHigh, 1, "v"))
	if got := a.r.Status().Chosen; got != 1 {
		t.Errorf("chosen up to %d, the leader has announced 1", got)
	}
}

func TestAnAcceptorDoesNotVoteWhereItKnowsTheChoice(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.receive(3, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "chosen")}, Chosen: 1})
	a.sync()
	a.accept(2, voteFor(ballotHigh, 1, "late"))
	a.sentNone(Accepted)
	if len(a.fx.Records) > 0 {
		t.Errorf("logs %+v above the choice", a.fx.Records[0])
	}
	if m := a.sentOne(Learned, 2); m.Chosen != 1 {
		t.Errorf("answers with a chosen prefix of %d", m.Chosen)
	}
}

// Above a hole, a choice is known by a report alone: there, too, the slot's last record in the log must be the choice.
func TestAnAcceptorDoesNotVoteOverAChoiceAboveAHole(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 5))
	ballot := l.campaign(Ballot{})
	l.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 2, Flag: true, Reports: []Report{{Slot: 2, State: ReportChosen, Record: chosenRecord(2, "chosen")}}})
	l.sync()
	l.accept(2, voteFor(Ballot{Round: ballot.Round + 1, Node: 2, Boot: 1}, 2, "late"))
	l.sync()
	l.sentNone(Accepted)
	if rec := lastRecord(l.log, 2); rec == nil || text(rec.Value) != "chosen" {
		t.Errorf("the last record of slot 2 in its log is %+v", rec)
	}
}

// The state machine is never ahead of the log: what is applied here and nowhere else durable would be gone after a crash, and the machine would still have it.
func TestNothingIsDeliveredBeforeItIsDurableHere(t *testing.T) {
	t.Run("its own vote", func(t *testing.T) {
		a := acceptorAmong(t, 3)
		a.accept(2, voteFor(ballotLow, 1, "v"))
		a.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 1})
		if st := a.r.Status(); st.Chosen != 1 || len(a.fx.Chosen) > 0 {
			t.Fatalf("chosen up to %d, delivers %d", st.Chosen, len(a.fx.Chosen))
		}
		if a.sync(); len(a.fx.Chosen) != 1 || text(a.fx.Chosen[0].Value) != "v" {
			t.Fatalf("after the sync it delivers %+v", a.fx.Chosen)
		}
	})
	t.Run("a value learned", func(t *testing.T) {
		a := acceptorAmong(t, 3)
		a.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "v")}, Chosen: 1})
		if st := a.r.Status(); st.Chosen != 1 || len(a.fx.Chosen) > 0 || len(a.fx.Records) != 1 {
			t.Fatalf("chosen up to %d, delivers %d, logs %d", st.Chosen, len(a.fx.Chosen), len(a.fx.Records))
		}
		if a.sync(); len(a.fx.Chosen) != 1 {
			t.Fatalf("after the sync it delivers %+v", a.fx.Chosen)
		}
	})
	t.Run("the leader's, chosen by the others", func(t *testing.T) {
		p := newLone(t, loneConfig(t, 3, 3))
		ballot := p.lead()
		p.propose(1, "v")
		p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
		p.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
		if st := p.r.Status(); st.Chosen != 1 || len(p.fx.Chosen) > 0 {
			t.Fatalf("chosen up to %d, delivers %d", st.Chosen, len(p.fx.Chosen))
		}
		if p.sync(); len(p.fx.Chosen) != 1 {
			t.Fatalf("after the sync it delivers %+v", p.fx.Chosen)
		}
	})
}

// A restart believes the hints in the log as it would have believed the leader: of the vote's own ballot only.
func TestARestartTakesHintsOfTheSameBallotOnly(t *testing.T) {
	hint := func(ballot Ballot, slot, chosen Slot) *Record {
		return &Record{Kind: RecordAccept, Slot: slot, Ballot: ballot, Chosen: chosen, Value: command("v")}
	}
	for _, tc := range []struct {
		name string
		log  []*Record
		want Slot
	}{
		{"the same ballot", []*Record{hint(ballotLow, 1, 0), hint(ballotLow, 2, 1)}, 1},
		{"a later ballot", []*Record{hint(ballotLow, 1, 0), hint(ballotMid, 2, 1)}, 0},
		{"voted for again at the later ballot", []*Record{hint(ballotLow, 1, 0), hint(ballotMid, 1, 0), hint(ballotMid, 2, 1)}, 1},
		{"learned, then a hint", []*Record{chosenRecord(1, "v"), hint(ballotMid, 2, 1), hint(ballotMid, 3, 2)}, 2},
		{"a hole", []*Record{hint(ballotLow, 1, 0), hint(ballotLow, 3, 2)}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLone(t, loneConfig(t, 1, 3), tc.log...)
			if got := l.r.Delivered(); got != tc.want {
				t.Errorf("after the restart slots up to %d are chosen, want %d", got, tc.want)
			}
		})
	}
}

// A choice that is heard of when its ballot is already past is written down: no later record of that ballot will tell of it after a restart.
func TestAChoiceOfAPastBallotIsKnownAfterARestart(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.accept(2, voteFor(ballotLow, 1, "v"))
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 1})
	a.sync()
	if st := a.r.Status(); st.Chosen != 1 {
		t.Fatalf("chosen up to %d", st.Chosen)
	}
	cfg := loneConfig(t, 1, 3)
	cfg.Boot = 2
	if got := newLone(t, cfg, a.log...).r.Delivered(); got != 1 {
		t.Errorf("after a restart slots up to %d are chosen", got)
	}
}

// The word of a promise record holds for every slot up to it, also above one whose choice is in a record of its own.
func TestARestartTakesThePromisesWordAboveALearnedSlot(t *testing.T) {
	l := newLone(t, loneConfig(t, 1, 3), voteFor(ballotLow, 1, "a"), chosenRecord(2, "b"), voteFor(ballotLow, 3, "c"), &Record{Kind: RecordPromise, Ballot: ballotHigh, Chosen: 3})
	if got := l.r.Delivered(); got != 3 {
		t.Errorf("after a restart slots up to %d are chosen, want 3", got)
	}
}

// Catching up asks one peer at a time, one that is ahead, and another when that one does not answer.
func TestCatchingUpAsksOnePeerAtATime(t *testing.T) {
	l := newLone(t, loneConfig(t, 1, 5))
	ahead := Message{Ballot: ballotLow, Seen: ballotLow, Flag: true, Chosen: 3}
	asked := map[NodeID]int{}
	for range 40 {
		l.heartbeats(1, ahead, 2, 3)
		for _, o := range l.sent(Learn) {
			asked[o.To]++
			if o.Message.Slot != 1 {
				t.Fatalf("asks for slot %d", o.Message.Slot)
			}
		}
		if n := len(l.sent(Learn)); n > 1 {
			t.Fatalf("asks %d peers at the same moment", n)
		}
	}
	if asked[2] == 0 || asked[3] == 0 || asked[4]+asked[5] > 0 || asked[2]+asked[3] > 40/3+1 {
		t.Errorf("in 40 ticks, resending after 3, it asks %v; nodes 2 and 3 are ahead", asked)
	}
}

// Each answer that asks on keeps a request under way; were a repeated one to do so, there would be twice as many after each repetition.
func TestARepeatedAnswerDoesNotAskForMore(t *testing.T) {
	p := newLone(t, loneConfig(t, 1, 3))
	answer := &Message{Kind: Learned, Chosen: 5, Records: []*Record{chosenRecord(1, "a"), chosenRecord(2, "b")}}
	p.receive(2, answer)
	if m := p.sentOne(Learn, 2); m.Slot != 3 {
		t.Errorf("it asks for slot %d", m.Slot)
	}
	p.receive(2, answer)
	p.sentNone(Learn)
	p.receive(2, &Message{Kind: Learned, Chosen: 5, Records: []*Record{chosenRecord(2, "b"), chosenRecord(3, "c")}})
	if m := p.sentOne(Learn, 2); m.Slot != 4 {
		t.Errorf("it asks for slot %d", m.Slot)
	}
}

func TestALearnIsAnsweredWithinItsBoundFromMemoryOrFromTheLog(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	cfg.Limits = Limits{ChunkBytes: 150, CacheBytes: 200}
	l := newLone(t, cfg)
	l.receive(2, &Message{Kind: Learned, Records: chosenFrom(1, 10), Chosen: 10})
	l.sync() // 64 bytes a record: 8, 9 and 10 stay in memory
	l.receive(3, &Message{Kind: Learn, Slot: 8})
	if m := l.sentOne(Learned, 3); len(m.Records) != 2 || m.Records[0].Slot != 8 || m.Chosen != 10 {
		t.Errorf("from memory: %+v", m)
	}
	l.receive(3, &Message{Kind: Learn, Slot: 2})
	if len(l.fx.Fetches) != 1 || l.fx.Fetches[0] != (Fetch{Peer: 3, Slot: 2, Upto: 7, Bytes: 150}) {
		t.Errorf("from the log: %+v", l.fx.Fetches)
	}
	l.receive(3, &Message{Kind: Learn, Slot: 11})
	if m := l.sentOne(Learned, 3); len(m.Records) != 0 || m.Chosen != 10 {
		t.Errorf("nothing there: %+v", m)
	}
}

// What a peer sends far above the prefix is not kept: memory does not grow on its word.
func TestAChoiceOutOfReachIsLeftForLater(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	cfg.Founders, cfg.Limits = cfg.Founders.WithWindow(4), Limits{ReorderingSlots: 10}
	l := newLone(t, cfg)
	l.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(11, "far")}, Chosen: 11})
	l.accept(2, voteFor(ballotLow, 11, "far"))
	if len(l.log) != 0 {
		t.Fatalf("logs %+v", l.log[0])
	}
	l.accept(2, voteFor(ballotLow, 10, "near"))
	l.sync()
	l.sentOne(Accepted, 2)
}
