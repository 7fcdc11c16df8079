package paxos

import (
	"reflect"
	"testing"
)

// The rules of a change of membership, one at a time: one replica is real, its peers are written by hand. The founders are {1,2,3}; the window is 2, so a change in slot 1 governs from slot 3 on.

const alpha = 2

func fullMembers(ids ...NodeID) (members []Member) {
	for _, id := range ids {
		members = append(members, Member{ID: id, Incarnation: incarnationOf(id), Roles: FullMember})
	}
	return members
}

func changeOf(epoch uint32, members ...Member) *Change {
	return &Change{Replaces: epoch, Members: members, Origin: 1, ID: 77}
}

func chosenChange(slot Slot, c *Change) *Record {
	return &Record{Kind: RecordChosen, Slot: slot, Value: c.Value()}
}

func loneAmongThree(t *testing.T, self NodeID) *lone {
	t.Helper()
	cfg := loneConfig(t, self, 3)
	cfg.Founders = cfg.Founders.WithWindow(alpha)
	return newLone(t, cfg)
}

// learn lets a peer tell what is chosen.
func (l *lone) learn(records ...*Record) {
	l.receive(l.peers[0], &Message{Kind: Learned, Records: records, Chosen: records[len(records)-1].Slot})
	l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
}

// leaderWithChange returns leader 1, which has just had a change to these members chosen in slot 1, with the votes of 2 and itself; so is the no-op in slot 2 if sealed.
func leaderWithChange(t *testing.T, sealed bool, members ...Member) (*lone, Ballot) {
	t.Helper()
	l := loneAmongThree(t, 1)
	ballot := l.lead()
	l.fx = Effects{}
	l.step(Event{Kind: Reconfigure, Change: changeOf(0, members...)})
	l.idle()
	l.sync()
	upto := Slot(1)
	if sealed {
		upto = 2
	}
	l.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: upto})
	l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
	if st := l.r.Status(); st.Chosen != upto || st.Latest != 1 {
		t.Fatalf("the change is not chosen: %+v", st)
	}
	return l, ballot
}

func (l *lone) from(who Member, m *Message) {
	l.fx = Effects{}
	l.step(Event{Kind: Received, From: who.ID, Incarnation: who.Incarnation, Message: m})
	l.step(Event{Kind: Idle})
	l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
}

func member(id NodeID) Member { return fullMembers(id)[0] }

func TestBehindAChangeTheLeaderProposesNothingButNoopsUntilItGoverns(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.lead()
	l.fx = Effects{}
	l.step(Event{Kind: Reconfigure, Change: changeOf(0, fullMembers(1, 2, 3, 4)...)})
	l.step(Event{Kind: Propose, Proposal: Proposal{Source: 1, ID: 1, Data: []byte("a")}})
	l.step(Event{Kind: Idle})
	want := map[Slot]string{1: "members 1 2 3 4 instead of epoch 0", 2: "no-op"}
	if got := l.proposals(); !reflect.DeepEqual(got, want) {
		t.Errorf("it proposes %v", got)
	}
}

func TestSlotsOfTheNewConfigurationNeedReportsOfItsOwnQuorum(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(1, 4, 5)...)
	l.sentOne(Prepare, 4)
	if m := l.sentOne(Prepare, 5); m.Slot != 2 {
		t.Errorf("node 5 is asked to report from slot %d on, slot 2 is the first that may be undecided", m.Slot)
	}
	l.propose(1, "a")
	l.sentNone(Accept)
	l.from(member(3), &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true}) // of the old configuration
	l.sentNone(Accept)
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 2, Upto: 2, Flag: true})
	if got := l.proposals(); !reflect.DeepEqual(got, map[Slot]string{3: "a"}) {
		t.Errorf("with the reports of itself and 4 it proposes %v", got)
	}
	l.sentOne(Accept, 4)
	l.sentOne(Accept, 5)
	for _, o := range l.sent(Accept) {
		if o.To == 2 || o.To == 3 {
			t.Errorf("node %d, which does not govern slot 3, is asked for its vote", o.To)
		}
	}
	if rec := l.sentOne(Accept, 4).Record; rec.Epoch != 1 {
		t.Errorf("the record of slot 3 carries epoch %d", rec.Epoch)
	}
}

func TestWhatTheNewConfigurationHasVotedForIsProposedAgain(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(1, 4, 5)...)
	l.propose(1, "a")
	l.read(9)
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 2, Upto: 3, Flag: true, Reports: []Report{voted(Ballot{Node: 5, Boot: 1}, 3, "earlier")}})
	if got := l.proposals(); !reflect.DeepEqual(got, map[Slot]string{3: "earlier"}) {
		t.Errorf("it proposes %v", got)
	}
	if st := l.r.Status(); st.Recovered {
		t.Error("it serves reads before slot 3, which a predecessor may have had chosen, is")
	}
	l.idle()
	l.sentNone(Accept) // the command has to wait for slot 4, which is not in the window
}

func TestVotesAreCountedByNodeInTheSlotsConfiguration(t *testing.T) {
	// In the old configuration node 2 has the place that node 4 has in the new one.
	l, ballot := leaderWithChange(t, true, fullMembers(1, 4, 5)...)
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 3, Upto: 2, Flag: true})
	l.propose(1, "a")
	l.sync()
	for _, id := range []NodeID{2, 3} {
		l.from(member(id), &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
		if st := l.r.Status(); st.Chosen != 2 {
			t.Fatalf("slot 3 is chosen with the vote of node %d, which does not govern it", id)
		}
	}
	l.from(member(4), &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
	if st := l.r.Status(); st.Chosen != 3 {
		t.Errorf("with its own vote and that of 4 everything is chosen up to slot %d", st.Chosen)
	}
}

// The members are in another order in the new configuration, and the votes are for slots of both.
func TestOldSlotsAreCountedInTheOldConfigurationWhileTheNewOneWaits(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(4, 5, 1)...)
	for _, id := range []NodeID{4, 5} {
		l.from(member(id), &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 2})
	}
	if st := l.r.Status(); st.Chosen != 1 {
		t.Fatal("slot 2 is chosen with votes of members that do not govern it")
	}
	l.from(member(3), &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 2})
	if st := l.r.Status(); st.Chosen != 2 {
		t.Errorf("with votes of 1 and 3 everything is chosen up to slot %d", st.Chosen)
	}
}

func TestAnotherIncarnationIsNeverCounted(t *testing.T) {
	replaced := Member{ID: 3, Incarnation: 999, Roles: FullMember}
	l, ballot := leaderWithChange(t, true, member(1), replaced)
	l.propose(1, "a")
	promise := &Message{Kind: Promise, Ballot: ballot, Slot: 3, Upto: 2, Flag: true}
	l.from(member(3), promise)
	l.sentNone(Accept)
	l.from(replaced, promise)
	if got := l.proposals(); !reflect.DeepEqual(got, map[Slot]string{3: "a"}) {
		t.Fatalf("with the report of the new disk it proposes %v", got)
	}
	l.sync()
	l.from(member(3), &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
	if st := l.r.Status(); st.Chosen != 2 {
		t.Fatal("slot 3 is chosen with the vote of the old disk")
	}
	l.from(replaced, &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
	if st := l.r.Status(); st.Chosen != 3 {
		t.Errorf("with the vote of the new disk everything is chosen up to slot %d", st.Chosen)
	}
}

func TestAReadNeedsTheConfigurationOfTheNextSlot(t *testing.T) {
	l, ballot := leaderWithChange(t, true, fullMembers(1, 4, 5)...)
	l.read(9)
	l.sentNone(ReadProbe) // nobody of the new configuration has reported
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 3, Upto: 2, Flag: true})
	number := l.sentOne(ReadProbe, 4).Number
	for _, id := range []NodeID{2, 3} {
		l.from(member(id), &Message{Kind: ReadAck, Ballot: ballot, Number: number})
		if len(l.fx.Reads) > 0 {
			t.Fatalf("the read is served on the word of node %d, which is no member any more", id)
		}
	}
	l.from(member(5), &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	if len(l.fx.Reads) != 1 {
		t.Error("the read is not served with acknowledgements of 1 and 5")
	}
}

// A leader of the next configuration may be at work already when the round ends.
func TestAReadRoundKeepsToTheConfigurationItBeganWith(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(1, 4, 5)...)
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 2, Upto: 2, Flag: true})
	l.read(9)
	number := l.sentOne(ReadProbe, 3).Number
	l.from(member(2), &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 2})
	l.from(member(4), &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	if len(l.fx.Reads) > 0 {
		t.Fatal("the read is served on the word of node 4, which was no member when the round began")
	}
	l.from(member(3), &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	if len(l.fx.Reads) != 1 {
		t.Error("the read is not served with acknowledgements of 1 and 3")
	}
}

func TestAChangeThatIsOnlyVotedForChangesNothing(t *testing.T) {
	l := loneAmongThree(t, 3)
	rec := &Record{Kind: RecordAccept, Slot: 1, Ballot: Ballot{Round: 1, Node: 2, Boot: 1}, Value: changeOf(0, fullMembers(4, 5)...).Value()}
	l.from(member(2), &Message{Kind: Accept, Record: rec})
	l.sentOne(Accepted, 2)
	if st := l.r.Status(); st.Latest != 0 {
		t.Errorf("it knows epoch %d", st.Latest)
	}
}

func TestAChangeIsNoneIfItIsNotMadeFromTheLatestConfigurationInForce(t *testing.T) {
	l := loneAmongThree(t, 3)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 2, 3, 4)...)), // governs from slot 3 on
		chosenChange(2, changeOf(1, fullMembers(4)...)), // while that one waits
		chosenChange(3, changeOf(0, fullMembers(5)...)), // of somebody who does not know
		chosenChange(4, changeOf(1, fullMembers(1, 2)...)))
	var epochs []uint32
	for _, rc := range l.fx.Reconfigured {
		epoch := uint32(0)
		if rc.Next != nil {
			epoch = rc.Next.Epoch
		}
		epochs = append(epochs, epoch)
	}
	if want := []uint32{1, 0, 0, 2}; !reflect.DeepEqual(epochs, want) {
		t.Errorf("the changes lead to epochs %v, want %v (0: none)", epochs, want)
	}
	if c := l.r.Configurations()[1]; c.First != 6 || membersText(c.Members) != "1 2" {
		t.Errorf("the latest configuration is %+v", c)
	}
}

func TestAChangeIsRefusedThatCouldNotComeIntoForce(t *testing.T) {
	reason := func(l *lone, c *Change) RejectReason {
		l.fx = Effects{}
		l.step(Event{Kind: Reconfigure, Change: c})
		l.step(Event{Kind: Idle})
		if len(l.fx.Rejected) != 1 || l.fx.Rejected[0].ID != c.ID {
			return 0
		}
		return l.fx.Rejected[0].Reason
	}
	if got := reason(loneAmongThree(t, 1), changeOf(0, fullMembers(1)...)); got != NoLeader {
		t.Errorf("without a leader: %v", got)
	}
	l := loneAmongThree(t, 1)
	l.lead()
	if got := reason(l, changeOf(0, Member{ID: 1, Incarnation: 101, Roles: Learner})); got != Invalid {
		t.Errorf("nobody to vote: %v", got)
	}
	if got := reason(l, changeOf(1, fullMembers(1)...)); got != Superseded {
		t.Errorf("of another epoch: %v", got)
	}
	if got := reason(l, changeOf(0, fullMembers(1, 2)...)); got != 0 {
		t.Errorf("a good one: %v", got)
	}
	if got := reason(l, changeOf(0, fullMembers(1, 3)...)); got != Superseded {
		t.Errorf("while another is under way: %v", got)
	}
}

func TestAChangeIsForwardedOnceAndItsFateIsTold(t *testing.T) {
	l := loneAmongThree(t, 1)
	ballot := Ballot{Round: 1, Node: 3, Boot: 1}
	l.follow(ballot)
	l.fx = Effects{}
	l.step(Event{Kind: Reconfigure, Change: changeOf(0, fullMembers(1, 3)...)})
	m := l.sentOne(Forward, 3)
	leader := loneAmongThree(t, 3)
	own := leader.lead()
	on := *m
	on.Ballot = own
	for range 2 { // the network says it twice
		leader.receive(1, &on)
		leader.step(Event{Kind: Idle})
	}
	leader.sentNone(Reject)
	if n := len(leader.log); n != 3 { // a promise, the change, the no-op behind it
		t.Fatalf("the leader has logged %d records", n)
	}
	c, err := DecodeChange(leader.log[1].Value)
	if err != nil || c.Origin != 1 || c.ID != 77 {
		t.Errorf("it proposes %+v, %v", c, err)
	}
}

func TestARemovedMemberRaisesNobodysBallot(t *testing.T) {
	l := loneAmongThree(t, 2)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 2, 4)...)), &Record{Kind: RecordChosen, Slot: 2})
	high := Ballot{Round: 9, Node: 3, Boot: 1}
	before := len(l.log)
	l.from(member(3), &Message{Kind: Prepare, Ballot: high, Slot: 1})
	l.from(member(3), &Message{Kind: Accept, Record: voteFor(high, 3, "x")})
	l.from(member(3), &Message{Kind: Nack, Seen: high})
	l.from(member(3), &Message{Kind: HeartbeatReply, Number: l.round, Ballot: high, Seen: high})
	if st := l.r.Status(); st.Ballot == high || st.Promised == high || len(l.log) != before {
		t.Errorf("after all it has heard from node 3: %+v, %d new records", st, len(l.log)-before)
	}
	l.from(member(3), &Message{Kind: Heartbeat, Number: 5})
	if m := l.sentOne(HeartbeatReply, 3); m.Chosen != 2 {
		t.Errorf("it is told that everything is chosen up to slot %d", m.Chosen)
	}
	l.from(member(3), &Message{Kind: Learn, Slot: 1})
	if m := l.sentOne(Learned, 3); len(m.Records) != 2 {
		t.Errorf("it gets %d records to learn from", len(m.Records))
	}
	l.from(member(4), &Message{Kind: Prepare, Ballot: high, Slot: 1})
	if l.r.Status().Promised != high {
		t.Error("a member is not heard either")
	}
}

func TestAMemberThatIsRemovedSaysSoOnceItsSuccessorsGovern(t *testing.T) {
	l := loneAmongThree(t, 3)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 2)...)))
	if l.fx.Removed || l.r.Status().Removed {
		t.Error("it is removed while slot 2, which it governs, is undecided")
	}
	l.learn(&Record{Kind: RecordChosen, Slot: 2})
	if !l.fx.Removed || !l.r.Status().Removed {
		t.Error("it is not removed")
	}
	l.ticks(40)
	l.sentNone(Prepare)
}

func TestASnapshotBringsTheMembershipAndIsRefusedWithoutIt(t *testing.T) {
	other := loneAmongThree(t, 2)
	other.learn(chosenChange(1, changeOf(0, fullMembers(1, 4, 5)...)), &Record{Kind: RecordChosen, Slot: 2})
	l := loneAmongThree(t, 1)
	l.violates("no configurations", func() { l.step(Event{Kind: Installed, Slot: 2}) })
	l = loneAmongThree(t, 1)
	l.step(Event{Kind: Installed, Slot: 2, Configurations: other.r.Configurations()})
	if st := l.r.Status(); st.Epoch != 1 || membersText(l.r.Configurations()[1].Members) != "1 4 5" {
		t.Fatalf("it knows %+v", l.r.Configurations())
	}
	l.from(member(4), &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 3})
	l.sentOne(Promise, 4)
}

func TestARestartKnowsTheMembershipThatGoesWithItsState(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 4, 5)...)), &Record{Kind: RecordChosen, Slot: 2})
	cfg := loneConfig(t, 1, 3)
	cfg.Founders, cfg.Boot = cfg.Founders.WithWindow(alpha), 2
	r, err := New(cfg, Stable{Applied: 2, Last: LSN(len(l.log)), Configurations: l.r.Configurations()})
	if err != nil {
		t.Fatal(err)
	}
	if st := r.Status(); st.Epoch != 1 {
		t.Errorf("with the machine's state: %+v", st)
	}
	again := newLone(t, cfg, l.log...)
	if st := again.r.Status(); st.Epoch != 1 || st.Chosen != 2 {
		t.Errorf("from the log: %+v", st)
	}
	cfg.Incarnation = 5
	if _, err := New(cfg, Stable{Configurations: l.r.Configurations()}); err == nil {
		t.Error("a replaced disk starts in its predecessor's place")
	}
}

// Whoever kept what a change has led to knows, after a restart, that everything up to the change is chosen, and must find the values in its own log.
func TestAChangeIsDeliveredWhenTheLogSaysThatItIsChosen(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.accept(2, &Record{Kind: RecordAccept, Slot: 1, Ballot: ballotHigh, Value: changeOf(0, fullMembers(1, 4)...).Value()})
	l.sync()
	l.receive(2, &Message{Kind: Commit, Ballot: ballotHigh, Chosen: 1})
	if len(l.fx.Chosen)+len(l.fx.Reconfigured) > 0 {
		t.Error("it is delivered before the log says so")
	}
	l.sync()
	if len(l.fx.Chosen) != 1 || len(l.fx.Reconfigured) != 1 {
		t.Fatal("it is not delivered")
	}
	cfg := loneConfig(t, 1, 3)
	cfg.Founders = cfg.Founders.WithWindow(alpha)
	if st := newLone(t, cfg, l.log...).r.Status(); st.Chosen != 1 || st.Latest != 1 {
		t.Errorf("after a restart: %+v", st)
	}
}

// The new disk does not know which ballots the old one has used.
func TestNoBallotOfOneIncarnationIsEverOneOfAnother(t *testing.T) {
	old := loneConfig(t, 3, 3)
	fresh := old
	fresh.Incarnation = 0xabcdef0123456789
	if a, b := bootOf(&old), bootOf(&fresh); a != old.Boot || b <= 1<<31 {
		t.Errorf("the founder's boots are %d, …, those of its replacement %d, …", a, b)
	}
	last := fresh
	last.Incarnation, last.Boot = 1<<64-1, 1<<30-1
	if bootOf(&last) < 1<<31 {
		t.Error("the last boot there can be is taken for a founder's")
	}
	other := fresh
	other.Incarnation += 1 << 48
	if bootOf(&fresh) == bootOf(&other) {
		t.Error("two replacements have the same boots")
	}
}

func TestALeaderThatIsNoMemberAnyMoreHandsOver(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(2, 3)...)
	l.heartbeats(1, Message{Seen: ballot, Flag: true}, 2, 3)
	l.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 2})
	l.step(Event{Kind: Idle})
	if m := l.sentOne(Commit, 3); m.Chosen != 2 {
		t.Errorf("it announces slot %d last", m.Chosen)
	}
	told := l.sent(TakeOver)
	if len(told) != 1 || told[0].Message.Chosen != 2 || l.leads() {
		t.Fatalf("leads: %v, told: %v", l.leads(), told)
	}
	heir := loneAmongThree(t, told[0].To)
	heir.learn(chosenChange(1, changeOf(0, fullMembers(2, 3)...)))
	heir.accept(1, voteFor(ballot, 2, "x"))
	heir.receive(1, told[0].Message)
	heir.step(Event{Kind: Idle})
	heir.sentNone(Prepare) // slot 2 is not known yet
	heir.learn(chosenRecord(2, "x"))
	heir.step(Event{Kind: Idle})
	if len(heir.sent(Prepare)) == 0 {
		t.Error("the heir does not take over when it knows everything")
	}
}

// All whom it knows have become members on other disks while it was away. What they say is chosen is true all the same; nothing else that they say counts.
func TestALaggardLearnsFromMembersOnOtherDisks(t *testing.T) {
	l := loneAmongThree(t, 1)
	other := member(2)
	other.Incarnation++
	l.from(other, &Message{Kind: Heartbeat, Number: 7, Chosen: 2})
	if got := l.sent(HeartbeatReply); len(got) != 1 || got[0].To != 2 {
		t.Fatalf("it answers a heartbeat with %v: who leads has to know that it is there", got)
	}
	l.ticks(4)
	if got := l.sent(Learn); len(got) != 1 || got[0].To != 2 || got[0].Message.Slot != 1 {
		t.Fatalf("it asks for what is chosen with %v", got)
	}
	l.from(other, &Message{Kind: Learned, Chosen: 2, Records: []*Record{chosenRecord(1, "a"), chosenRecord(2, "b")}})
	if got := l.r.Status().Chosen; got != 2 {
		t.Fatalf("everything is known to be chosen up to slot %d, want 2", got)
	}
	high := Ballot{Round: 9, Node: 2, Boot: 1}
	for _, m := range []*Message{
		{Kind: Prepare, Ballot: high, Slot: 3},
		{Kind: Accept, Ballot: high, Slot: 3, Records: []*Record{chosenRecord(3, "c")}},
		{Kind: TakeOver, Ballot: high, Chosen: 2},
		{Kind: Nack, Seen: high},
	} {
		l.from(other, m)
		if got := l.r.Status(); got.Promised != (Ballot{}) || got.Chosen != 2 || len(l.fx.Messages) > 0 {
			t.Errorf("a %v of it leads to a promise of %v and %v", m.Kind, got.Promised, l.fx.Messages)
		}
	}
}

// The configuration in force invites it, the next one, which is chosen and not in force yet, has it on the disk that it came with.
func TestWhoHasJustComeIsHeardBeforeThatIsInForce(t *testing.T) {
	before, after := *configurationOf(t, 0, 0, FullMember, FullMember, 0).WithWindow(alpha), *configurationOf(t, 0, 0, FullMember, FullMember, Learner).WithWindow(alpha)
	before.Epoch, before.First, after.Epoch, after.First = 1, 20, 2, 40
	before.Members[2].Incarnation, before.Members[2].Invited = 0, FullMember
	cfg := loneConfig(t, 1, 3)
	cfg.Founders = nil
	r, err := New(cfg, Stable{Applied: 40 - alpha, Configurations: []*Configuration{&before, &after}})
	if err != nil {
		t.Fatal(err)
	}
	if r.config().Epoch != 1 {
		t.Fatalf("epoch %d is in force", r.config().Epoch)
	}
	newcomer := identity{3, after.Members[2].Incarnation}
	if !r.hears(newcomer, &Message{Kind: Forward, Origin: 3}) || !r.hears(identity{2, after.Members[1].Incarnation}, &Message{Kind: Forward, Origin: 3}) {
		t.Error("its commands are dropped without a word")
	}
}

func TestAStrangerIsNotHeardAsAHeir(t *testing.T) {
	l := loneAmongThree(t, 2)
	l.learn(chosenRecord(1, "a"))
	l.from(member(9), &Message{Kind: TakeOver, Ballot: Ballot{Round: 5, Node: 9, Boot: 1}, Chosen: 1})
	l.sentNone(Prepare)
}

// Votes for slots of both configurations come at once: those of the old members are worth nothing in the new one's, though it is not in force yet.
func TestNewSlotsAreCountedInTheNewConfigurationWhileTheOldOneIsInForce(t *testing.T) {
	l, ballot := leaderWithChange(t, false, fullMembers(1, 4, 5)...)
	l.from(member(4), &Message{Kind: Promise, Ballot: ballot, Slot: 2, Upto: 1, Flag: true})
	l.propose(1, "a")
	l.sync()
	l.from(member(3), &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
	l.from(member(3), &Message{Kind: Accepted, Ballot: ballot, Slot: 2, Upto: 2})
	if st := l.r.Status(); st.Chosen != 2 {
		t.Fatalf("with votes of 1 and 3 in slots 2 and 3 everything is chosen up to slot %d", st.Chosen)
	}
	l.from(member(5), &Message{Kind: Accepted, Ballot: ballot, Slot: 3, Upto: 3})
	if st := l.r.Status(); st.Chosen != 3 {
		t.Errorf("with that of 5 in slot 3 everything is chosen up to slot %d", st.Chosen)
	}
}

// A configuration shows that everything up to its change is chosen, though this node has not learned it yet. Who governed those slots may be forgotten.
func TestASlotThatTheMembershipShowsToBeChosenIsNeverProposedIn(t *testing.T) {
	l := loneAmongThree(t, 1)
	l.learn(chosenChange(1, changeOf(0, fullMembers(1, 2)...)), &Record{Kind: RecordChosen, Slot: 2}, &Record{Kind: RecordChosen, Slot: 3}, chosenChange(4, changeOf(1, fullMembers(1, 3)...)))
	cfg := loneConfig(t, 1, 3)
	cfg.Founders = cfg.Founders.WithWindow(alpha)
	r, err := New(cfg, Stable{Configurations: l.r.Configurations()})
	if err != nil {
		t.Fatal(err)
	}
	behind := &lone{t: t, r: r, peers: []NodeID{2, 3}}
	behind.campaign(Ballot{})
	for _, o := range behind.sent(Prepare) {
		if o.Message.Slot != 5 {
			t.Errorf("node %d is asked to report from slot %d on; all is chosen up to slot 4", o.To, o.Message.Slot)
		}
	}
}
