package paxos

import "testing"

// What may be forgotten where there are witnesses, one rule at a time: one replica is real, its peers are written by hand.

const noLimit = ^Slot(0)

// loneOfRoles returns node self of a cluster whose members 1, 2 and so on have these roles; it has a machine if it learns.
func loneOfRoles(t *testing.T, self NodeID, roles ...Role) *lone {
	t.Helper()
	cfg := loneConfig(t, self, len(roles))
	cfg.Founders = configurationOf(t, 0, 0, roles...)
	cfg.NoMachine = roles[self-1]&Learner == 0
	return newLone(t, cfg)
}

// claims lets a peer say on a heartbeat how far it is, what it holds and what is released.
func (l *lone) claims(from NodeID, chosen, held, released Slot) {
	l.receive(from, &Message{Kind: Heartbeat, Number: 1, Chosen: chosen, Slot: held, Upto: released})
}

func (l *lone) expectReleased(why string, want Slot) {
	l.t.Helper()
	if got := l.r.Status(); got.Released != want || got.TrimLimit != want {
		l.t.Errorf("%s: slot %d is released and %d may be trimmed, want %d", why, got.Released, got.TrimLimit, want)
	}
}

func TestAWitnessForgetsNothingBeforeOneMoreLearnerHoldsItThanMayBeLost(t *testing.T) {
	l := loneOfRoles(t, 3, FullMember, FullMember, Acceptor)
	l.expectReleased("nobody has spoken", 0)
	l.claims(1, 10, 10, 0)
	l.expectReleased("one full member holds it, and its disk may be the one that is lost", 0)
	l.claims(2, 10, 7, 0)
	l.expectReleased("both hold this much", 7)
	l.r.Step(Event{Kind: Received, From: 2, Incarnation: 999, Message: &Message{Kind: Heartbeat, Chosen: 10, Slot: 10}}, &l.fx)
	l.expectReleased("another disk of the same node holds nothing of this one's", 7)
	l.claims(2, 10, 5, 0)
	l.expectReleased("an old heartbeat takes nothing back", 7)
}

func TestAsManyLearnersHoldAReleasedSlotAsTheQuorumsAskFor(t *testing.T) {
	for _, tc := range []struct {
		name           string
		phase1, phase2 int
		roles          []Role
		held           []Slot // of members 1, 2 and so on; the last member is the witness under test
		want           Slot
	}{
		{"a replica's disk is as good as a full member's", 0, 0, []Role{FullMember, FullMember, Learner, Acceptor}, []Slot{9, 3, 8}, 8},
		{"of five acceptors two may be lost", 0, 0, []Role{FullMember, FullMember, FullMember, Acceptor, Acceptor}, []Slot{9, 8, 3, 0}, 3},
		{"where phase 1 takes all, none may be lost", 3, 1, []Role{FullMember, FullMember, Acceptor}, []Slot{9, 3}, 9},
		{"where phase 1 takes one, all others may", 1, 3, []Role{FullMember, FullMember, Acceptor}, []Slot{9, 3}, 3},
		{"no more than all learners", 0, 0, []Role{FullMember, Acceptor, Acceptor}, []Slot{9, 0}, 9},
		{"what another witness says it holds does not count", 0, 0, []Role{FullMember, FullMember, FullMember, Acceptor, Acceptor}, []Slot{9, 8, 0, 9}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			self := NodeID(len(tc.roles))
			cfg := loneConfig(t, self, len(tc.roles))
			cfg.Founders, cfg.NoMachine = configurationOf(t, tc.phase1, tc.phase2, tc.roles...), true
			l := newLone(t, cfg)
			for i, held := range tc.held {
				l.claims(NodeID(i+1), 10, held, 0)
			}
			l.expectReleased(tc.name, tc.want)
		})
	}
}

func TestWhatIsReleasedIsPassedOnAndNeverTakenBack(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, Acceptor)
	l.claims(2, 12, 0, 12)
	l.expectReleased("a member says so", 12)
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Upto != 12 {
		t.Errorf("it is not passed on: %+v", m)
	}
	l.r.Step(Event{Kind: Received, From: 9, Incarnation: 109, Message: &Message{Kind: Heartbeat, Upto: 20}}, &l.fx)
	l.expectReleased("who is no member is not asked", 12)

	cfg := loneConfig(t, 1, 3)
	cfg.Founders = configurationOf(t, 0, 0, FullMember, FullMember, Acceptor)
	r, err := New(cfg, Stable{Released: 12})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Status().TrimLimit; got != 12 {
		t.Errorf("after a restart %d may be trimmed, want 12", got)
	}
}

func TestALearnerHoldsWhatIsDurableAndNoMore(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, Acceptor)
	l.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "a"), chosenRecord(2, "b")}, Chosen: 2})
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Chosen != 2 || m.Slot != 0 {
		t.Errorf("nothing is durable, and its heartbeat says %+v", m)
	}
	l.sync()
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Slot != 0 {
		t.Errorf("it is about to write down that all is chosen, and its heartbeat says %+v", m)
	}
	l.sync()
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Slot != 2 {
		t.Errorf("all is durable, and its heartbeat says %+v", m)
	}
	l.receive(2, &Message{Kind: Heartbeat, Number: 1})
	if m := l.sentOne(HeartbeatReply, 2); m.Slot != 2 {
		t.Errorf("its answer says %+v", m)
	}
}

// Of the last slots a log has the votes alone. Whoever has forgotten them because this learner holds them cannot tell it any more that they are chosen.
func TestWhatALearnerSaysItHoldsItKnowsToBeChosenAfterARestart(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	cfg.Founders = configurationOf(t, 0, 0, FullMember, FullMember, Acceptor)
	l := newLone(t, cfg)
	l.accept(2, voteFor(ballotLow, 1, "a"))
	l.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 1})
	for range 3 {
		l.sync()
		l.ticks(1)
	}
	held := l.sent(Heartbeat)[0].Message.Slot
	if held != 1 {
		t.Errorf("it holds slot 1, and says slot %d", held)
	}
	if after := newLone(t, cfg, l.log...).r.Status(); after.Chosen < held {
		t.Errorf("it has said that it holds slot %d, and after a restart knows slot %d to be chosen", held, after.Chosen)
	}
}

// Those who governed the slots before a change of the membership end when its successors hold them: nobody else could ever choose anything there.
func TestWhoeverTakesOverKnowsAfterARestartThatAllBeforeIsChosen(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.accept(2, &Record{Kind: RecordAccept, Slot: 1, Ballot: ballotLow, Value: chosenChange(1, changeOf(0, fullMembers(1, 2)...)).Value})
	l.accept(2, &Record{Kind: RecordAccept, Slot: 2, Ballot: ballotLow})
	l.receive(2, &Message{Kind: Commit, Ballot: ballotLow, Chosen: 2})
	for range 3 {
		l.sync()
		l.ticks(1)
	}
	held := l.sent(Heartbeat)[0].Message.Slot
	after := newLone(t, l.r.cfg, l.log...).r.Status()
	if held != 2 || after.Chosen != 2 {
		t.Errorf("it says that it holds slot %d, and after a restart knows slot %d to be chosen, want 2, 2", held, after.Chosen)
	}
}

func TestAWitnessHoldsNothing(t *testing.T) {
	l := loneOfRoles(t, 3, FullMember, FullMember, Acceptor)
	l.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "a")}, Chosen: 1})
	l.sync()
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Chosen != 1 || m.Slot != 0 {
		t.Errorf("its heartbeat says %+v", m)
	}
}

func TestAMemberWhoseMachineIsLostHoldsNothingUntilItHasAnother(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	cfg.Founders = configurationOf(t, 0, 0, FullMember, FullMember, Acceptor)
	l := newLone(t, cfg)
	r, err := New(cfg, Stable{Applied: 5, Lacking: 5})
	if err != nil {
		t.Fatal(err)
	}
	l.r = r
	held := func() Slot {
		l.ticks(2)
		return l.sent(Heartbeat)[0].Message.Slot
	}
	if got := held(); got != 0 {
		t.Errorf("its machine is lost, and it says that it holds slot %d", got)
	}
	l.fx = Effects{}
	l.step(Event{Kind: Installed, Slot: 5, Configurations: []*Configuration{cfg.Founders}})
	if got := held(); got != 5 {
		t.Errorf("a snapshot is installed, and it says that it holds slot %d, want 5", got)
	}
}

func TestWithoutAWitnessNothingIsKeptForOthers(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, FullMember, Learner)
	l.receive(2, &Message{Kind: Learned, Records: []*Record{chosenRecord(1, "a")}, Chosen: 1})
	l.sync()
	l.ticks(2)
	if m := l.sent(Heartbeat)[0].Message; m.Slot != 0 || m.Upto != 0 {
		t.Errorf("its heartbeat says %+v", m)
	}
	if got := l.r.Status().TrimLimit; got != noLimit {
		t.Errorf("it may trim up to slot %d only", got)
	}
}

func TestAWitnessComingKeepsTheLogAndOneGoneSetsItFree(t *testing.T) {
	l := loneAmongThree(t, 1)
	learnAll := func(records ...*Record) {
		l.learn(records...)
		l.ticks(2)
		l.sync()
	}
	if got := l.r.Status().TrimLimit; got != noLimit {
		t.Fatalf("there is no witness, and the limit is %d", got)
	}
	withWitness := fullMembers(1, 2, 3)
	withWitness[2].Roles = Acceptor
	learnAll(chosenChange(1, changeOf(0, withWitness...)))
	if got := l.r.Status().TrimLimit; got != 0 {
		t.Errorf("a configuration with a witness waits, and the limit is %d", got)
	}
	learnAll(chosenRecord(2, "a"), chosenRecord(3, "b"))
	l.claims(2, 3, 3, 0)
	l.expectReleased("both learners hold three slots", 3)
	learnAll(chosenChange(4, changeOf(1, fullMembers(1, 2, 3)...)))
	l.expectReleased("the witness is still in force", 3)
	learnAll(chosenRecord(5, "c"))
	if got := l.r.Status().TrimLimit; got != noLimit {
		t.Errorf("the witness is gone, and the limit is %d", got)
	}
}

func TestAWitnessThatIsRemovedForgetsNothingBeforeEnoughOfTheNewLearnersHoldIt(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.NoMachine, cfg.Founders = true, configurationOf(t, 0, 0, FullMember, FullMember, Acceptor).WithWindow(alpha)
	l := newLone(t, cfg)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 2, 4)...)), &Record{Kind: RecordChosen, Slot: 2})
	for _, step := range []struct {
		what string
		id   NodeID
		held Slot
		want Slot
	}{
		{"one of three holds it: its disk may be lost", 1, 2, 0},
		{"another holds the first slot", 2, 1, 1},
		{"two of three hold it", 4, 2, noLimit},
	} {
		l.from(member(step.id), &Message{Kind: Heartbeat, Number: 1, Chosen: 2, Slot: step.held})
		if got := l.r.Status().TrimLimit; got != step.want {
			t.Errorf("%s: it may trim up to slot %d, want %d", step.what, got, step.want)
		}
	}
}

// trimmedBy lets peers say that they have trimmed what is asked for, until nothing is asked any more.
func (l *lone) trimmedBy(upto, chosen Slot, peers ...NodeID) {
	for range 3 * len(peers) {
		l.ticks(4)
		for _, o := range l.sent(Learn) {
			l.receive(o.To, &Message{Kind: Learned, Slot: upto, Chosen: chosen})
			if len(l.fx.Transfers) > 0 {
				return
			}
		}
	}
}

func TestAWitnessThatIsBehindSkipsWhatIsReleasedAndNoMore(t *testing.T) {
	l := loneOfRoles(t, 3, FullMember, FullMember, Acceptor)
	l.claims(1, 50, 50, 0)
	l.trimmedBy(40, 50, 1)
	if tr := l.fx.Transfers; len(tr) > 0 {
		t.Fatalf("its vote may be all that is left of what one member holds, and it asks to skip to %v", tr)
	}
	l.claims(2, 45, 45, 0)
	l.trimmedBy(40, 50, 1, 2)
	if tr := l.fx.Transfers; len(tr) != 1 || tr[0].Skip != 45 {
		t.Fatalf("slot 45 is released, and it asks for %v", tr)
	}
	l.installed(45)
	if got := l.r.Status().Chosen; got != 45 {
		t.Errorf("it has skipped, and knows slot %d to be chosen", got)
	}
}

// Before a witness voted there was perhaps none, and everybody trimmed as they liked. Of the learners now one is lost: nothing more will ever be released.
func TestAWitnessSkipsWhatWasChosenBeforeItWasAnAcceptor(t *testing.T) {
	const first, latest = 20, 40
	full, witnessed := configurationOf(t, 0, 0, FullMember, FullMember), configurationOf(t, 0, 0, FullMember, FullMember, Acceptor)
	for _, tc := range []struct {
		what   string
		before *Configuration
		want   Slot // nothing if 0
	}{
		{"it has voted for nothing below the latest change", full, latest - 1},
		{"it was an acceptor before, and may have been one ever since", witnessed, 0},
	} {
		before, after := *tc.before.WithWindow(alpha), *witnessed.WithWindow(alpha)
		before.Epoch, before.First, after.Epoch, after.First = 1, first, 2, latest
		cfg := loneConfig(t, 3, 3)
		cfg.NoMachine, cfg.Founders = true, nil
		r, err := New(cfg, Stable{Configurations: []*Configuration{&before, &after}})
		if err != nil {
			t.Fatal(err)
		}
		l := &lone{t: t, r: r, peers: []NodeID{1, 2}}
		l.claims(1, 50, 50, 0)
		l.trimmedBy(45, 50, 1)
		skip := Slot(0)
		for _, tr := range l.fx.Transfers {
			skip = max(skip, tr.Skip)
		}
		if skip != tc.want {
			t.Fatalf("%s: it asks to skip to slot %d, want %d", tc.what, skip, tc.want)
		}
		if skip == 0 {
			continue
		}
		l.installed(skip)
		l.trimmedBy(45, 50, 1)
		if tr := l.fx.Transfers; len(tr) > 0 {
			t.Fatalf("one learner holds what it may have voted for since, and it asks to skip to %v", tr)
		}
	}
}

func TestAMemberWithoutAVoteOrAMachineKeepsUpWithTheMembershipAlone(t *testing.T) {
	l := loneOfRoles(t, 4, FullMember, FullMember, FullMember, Proposer)
	l.claims(1, WindowDefault-1, 0, 0)
	l.ticks(12)
	l.sentNone(Learn)
	if len(l.fx.Transfers) > 0 {
		t.Fatal("it is less than a window behind, which changes nothing for it")
	}
	l.claims(2, 2*WindowDefault, 0, 0)
	l.ticks(12)
	l.sentNone(Learn)
	if tr := l.fx.Transfers; len(tr) == 0 || tr[0] != (Transfer{Peer: 2, Skip: 2 * WindowDefault}) {
		t.Fatalf("it is two windows behind, and asks for %v", tr)
	}
	l.installed(2 * WindowDefault)
	if len(l.log) > 0 {
		t.Errorf("it has written %d records", len(l.log))
	}
}
