package paxos

import (
	"reflect"
	"testing"
)

// Commands happen at most once, reads see what was acknowledged before them: whatever the network repeats, delays or loses, and whoever restarts.

// follow makes the replica, which is not node 3, follow node 3 at a ballot.
func (l *lone) follow(ballot Ballot) {
	l.t.Helper()
	l.heartbeats(2, Message{Ballot: ballot, Seen: ballot, Flag: true}, 3)
	if st := l.r.Status(); st.Leader != 3 {
		l.t.Fatalf("follows %d", st.Leader)
	}
}

// forward is a Forward of node 1 to a member in its first boot.
func forward(ballot Ballot, number uint64, commands ...string) *Message {
	m := &Message{Kind: Forward, Ballot: ballot, Number: number, Origin: 1, Boot: 1}
	for i, c := range commands {
		m.Proposals = append(m.Proposals, Proposal{Source: 1, ID: number*100 + uint64(i), Data: []byte(c)})
	}
	return m
}

func TestAForwardIsTakenOnce(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	for range 3 {
		p.receive(1, forward(ballot, 5, "x"))
		p.sentNone(Reject)
	}
	p.receive(1, forward(ballot, 4, "older"))
	p.sentNone(Reject) // it may be a duplicate of one that was taken: no word about it
	p.idle()
	if got := p.proposals(); !reflect.DeepEqual(got, map[Slot]string{1: "x"}) {
		t.Errorf("proposes %v", got)
	}
}

func TestAForwardForAnotherBallotIsRefusedOnce(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	old := Ballot{Round: 0, Node: 3, Boot: 1}
	p.receive(1, forward(old, 5, "x"))
	if m := p.sentOne(Reject, 1); !reflect.DeepEqual(m.Rejected, []Rejection{{ID: 500, Reason: NoLeader}}) {
		t.Fatalf("refuses %+v", m.Rejected)
	}
	p.receive(1, forward(old, 5, "x"))
	p.sentNone(Reject)
	p.receive(1, forward(ballot, 1, "y")) // numbers count for each ballot
	p.idle()
	if got := p.proposals(); !reflect.DeepEqual(got, map[Slot]string{1: "y"}) {
		t.Errorf("proposes %v", got)
	}
}

// An earlier boot's ballot: whether that boot took the command nobody here can know.
func TestAForwardToAnEarlierBootIsNotAnswered(t *testing.T) {
	cfg := loneConfig(t, 3, 3)
	cfg.Boot = 2
	p := newLone(t, cfg)
	p.heartbeats(1, Message{}, 1)
	p.receive(1, forward(Ballot{Round: 1, Node: 3, Boot: 1}, 5, "x"))
	p.sentNone(Reject)
	p.receive(1, forward(Ballot{Round: 1, Node: 3, Boot: 2}, 6, "x"))
	p.sentOne(Reject, 1) // this boot's ballot, but it does not lead: it would have answered
}

// A leader rejects what it has never put into a slot, and says nothing of what it has.
func TestADeposedLeaderRejectsWhatIsQueuedAndNotWhatIsProposed(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	p.receive(1, forward(ballot, 1, "in flight"))
	p.idle() // the record goes to the disk, which makes the next wait
	p.receive(1, forward(ballot, 2, "queued"))
	p.propose(7, "its own, queued")
	if len(p.proposals()) > 0 {
		t.Fatalf("proposes %v while its disk is busy", p.proposals())
	}
	p.receive(2, &Message{Kind: Nack, Ballot: ballot, Seen: Ballot{Round: ballot.Round + 1, Node: 2, Boot: 1}})
	if m := p.sentOne(Reject, 1); !reflect.DeepEqual(m.Rejected, []Rejection{{ID: 200, Reason: NoLeader}}) {
		t.Errorf("rejects %+v to node 1", m.Rejected)
	}
	if !reflect.DeepEqual(p.fx.Rejected, []Rejection{{ID: 7, Reason: NoLeader}}) {
		t.Errorf("rejects %+v of its own", p.fx.Rejected)
	}
	if p.idle(); len(p.fx.Rejected) > 0 || len(p.sent(Reject)) > 0 {
		t.Error("rejects something twice")
	}
}

func TestWithoutALeaderACommandIsRejected(t *testing.T) {
	l := newLone(t, loneConfig(t, 1, 3))
	l.propose(7, "x")
	if !reflect.DeepEqual(l.fx.Rejected, []Rejection{{ID: 7, Reason: NoLeader}}) || len(l.sent(Forward)) > 0 {
		t.Errorf("rejects %+v, sends %v", l.fx.Rejected, kinds(l.fx.Messages))
	}
}

// A member that was restarted numbers anew, above what it used before; a leader that remembers the old numbers takes the first forward of the new boot.
func TestARestartedMembersFirstForwardIsNotTakenForAnOldOne(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	cfg := loneConfig(t, 1, 3)
	for boot := uint32(1); boot <= 3; boot++ {
		cfg.Boot = boot
		member := newLone(t, cfg)
		member.follow(ballot)
		for range 5 {
			member.propose(uint64(boot), "x")
			p.receive(1, member.sentOne(Forward, 3))
			if p.r.Queued() == 0 {
				t.Fatalf("the forward numbered %d in boot %d is dropped", member.sentOne(Forward, 3).Number, boot)
			}
			p.sync()
			p.idle()
			p.sync()
		}
	}
}

// A node comes on another disk, and then on a third, whose boots have lower numbers. What each of them forwards is new, once; and what comes late from an earlier boot, once more, is not.
func TestAForwardOfALaterDiskIsNotTakenForAnOldOne(t *testing.T) {
	for _, relays := range []bool{false, true} {
		l := newLone(t, loneConfig(t, 3, 3))
		ballot, taken := Ballot{Round: 9, Node: 2, Boot: 1}, 0
		if !relays {
			ballot = l.lead()
		} else {
			l.receive(2, &Message{Kind: Heartbeat, Number: 1, Ballot: ballot})
			l.ticks(12)
			for _, o := range l.sent(Heartbeat) {
				l.receive(o.To, &Message{Kind: HeartbeatReply, Number: o.Message.Number, Ballot: ballot, Seen: ballot, Flag: true, Boot: 1})
			}
		}
		forward := func(boot uint64, number uint64) {
			l.receive(1, &Message{Kind: Forward, Ballot: ballot, Number: boot<<32 + number, Origin: 1, Boot: 1, Proposals: []Proposal{{ID: boot<<32 + number, Data: []byte("x")}}})
			switch {
			case relays && len(l.sent(Forward)) > 0, !relays && l.r.Queued() > 0:
				taken++
			}
			l.sync()
			l.idle()
			l.sync()
		}
		for i, boot := range []uint64{1, 1<<31 + 9, 1<<31 + 3} {
			forward(boot, 1)
			forward(boot, 2)
			forward(boot, 2)
			if taken != 2*i+2 {
				t.Fatalf("relays %v: of 2 forwards of boot %x %d are taken", relays, boot, taken-2*i)
			}
		}
		forward(1<<31+9, 2)
		forward(1, 1)
		if taken != 6 {
			t.Errorf("relays %v: repeated forwards of earlier disks are taken again", relays)
		}
	}
}

// Nor is an answer to a read of the last boot taken for one to the first read of this one.
func TestARestartedMembersFirstReadIsNotServedByAnOldReply(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	member := newLone(t, cfg)
	member.follow(ballotHigh)
	member.read(1)
	old := member.sentOne(ReadRequest, 3).Number

	cfg.Boot = 2
	member = newLone(t, cfg)
	member.follow(ballotHigh)
	member.read(2)
	number := member.sentOne(ReadRequest, 3).Number
	member.receive(3, &Message{Kind: ReadReply, Origin: 1, Number: old, Slot: 1})
	if len(member.fx.Reads) > 0 {
		t.Fatalf("read %d of the last boot's answer", member.fx.Reads[0].Read)
	}
	member.receive(3, &Message{Kind: ReadReply, Origin: 1, Number: number, Slot: 9})
	if !reflect.DeepEqual(member.fx.Reads, []ReadReady{{Read: 2, Slot: 9}}) {
		t.Errorf("reads %+v", member.fx.Reads)
	}
}

func TestARestartedMembersHeartbeatsAreNumberedAnew(t *testing.T) {
	cfg := loneConfig(t, 1, 3)
	member := newLone(t, cfg)
	member.ticks(10)
	old := member.round
	cfg.Boot = 2
	member = newLone(t, cfg)
	if member.ticks(1); member.round <= old {
		t.Errorf("round %d after a restart, it had been %d", member.round, old)
	}
}

// A request that was not answered is repeated under another number, and the answer to the first one counts for nothing then.
func TestAReadRequestIsRepeatedUnderAFreshNumber(t *testing.T) {
	l := newLone(t, loneConfig(t, 1, 3))
	l.follow(ballotHigh)
	l.read(1)
	first := l.sentOne(ReadRequest, 3).Number
	l.read(2)
	l.sentNone(ReadRequest) // one request at a time
	l.heartbeats(3, Message{Ballot: ballotHigh, Seen: ballotHigh, Flag: true}, 3)
	again := l.sentOne(ReadRequest, 3).Number
	if again <= first {
		t.Fatalf("first number %d, then %d", first, again)
	}
	l.receive(3, &Message{Kind: ReadReply, Origin: 1, Number: first, Slot: 1})
	if len(l.fx.Reads) > 0 {
		t.Fatalf("serves %+v on an answer to the first request", l.fx.Reads)
	}
	l.receive(3, &Message{Kind: ReadReply, Origin: 1, Number: again, Slot: 4})
	if !reflect.DeepEqual(l.fx.Reads, []ReadReady{{2, 4}, {1, 4}}) {
		t.Errorf("serves %+v", l.fx.Reads)
	}
}

func TestAReadRoundNeedsAFreshQuorumOfAcknowledgements(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5))
	ballot := p.lead()
	p.read(1)
	first := p.sentOne(ReadProbe, 1).Number
	ack := func(b Ballot, number uint64) *Message { return &Message{Kind: ReadAck, Ballot: b, Number: number} }
	p.receive(1, ack(ballot, first))
	p.receive(1, ack(ballot, first))
	p.receive(2, ack(Ballot{Round: ballot.Round, Node: 5}, first))
	p.receive(3, ack(ballot, first-1))
	if len(p.fx.Reads) > 0 {
		t.Fatal("served by one acceptor and the leader, of five")
	}

	p.heartbeats(3, Message{Seen: ballot, Flag: true}, p.peers...)
	again := p.sentOne(ReadProbe, 1).Number
	if again <= first {
		t.Fatalf("first round %d, then %d", first, again)
	}
	p.receive(2, ack(ballot, first))
	p.receive(3, ack(ballot, first))
	if len(p.fx.Reads) > 0 {
		t.Fatal("served by acknowledgements of the first round")
	}
	p.receive(2, ack(ballot, again))
	p.receive(3, ack(ballot, again))
	if !reflect.DeepEqual(p.fx.Reads, []ReadReady{{Read: 1, Slot: 0}}) {
		t.Errorf("serves %+v", p.fx.Reads)
	}
}

// The slot to wait for is fixed when the round begins: whoever comes later may have seen more, and waits for the next round.
func TestAReadThatComesDuringARoundWaitsForTheNext(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5))
	ballot := p.lead()
	p.read(1)
	first := p.sentOne(ReadProbe, 1).Number
	p.propose(1, "v")
	p.sync()
	for _, from := range []NodeID{1, 2} {
		p.receive(from, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	}
	p.read(2)
	p.receive(2, &Message{Kind: ReadRequest, Ballot: ballot, Number: 77, Origin: 2})
	p.idle()
	p.sentNone(ReadProbe)
	confirm := func(number uint64) {
		p.receive(1, &Message{Kind: ReadAck, Ballot: ballot, Number: number})
		if len(p.fx.Reads) > 0 {
			t.Fatalf("serves %+v, confirmed by the leader and one more of five", p.fx.Reads)
		}
		p.receive(3, &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	}
	confirm(first)
	if !reflect.DeepEqual(p.fx.Reads, []ReadReady{{Read: 1, Slot: 0}}) {
		t.Fatalf("serves %+v", p.fx.Reads)
	}
	p.sentNone(ReadReply)
	p.idle()
	second := p.sentOne(ReadProbe, 1).Number
	confirm(second)
	if !reflect.DeepEqual(p.fx.Reads, []ReadReady{{Read: 2, Slot: 1}}) {
		t.Errorf("serves %+v", p.fx.Reads)
	}
	if m := p.sentOne(ReadReply, 2); m.Number != 77 || m.Slot != 1 {
		t.Errorf("answers %+v", m)
	}
}

// In a cluster of three a member's request and the leader are a quorum: it is answered without a round, once the leader has recovered. A request that was relayed, or comes from an incarnation that is no member, says
// nothing about the promise of who sent it.
func TestARequestThatIsAQuorumWithTheLeaderIsAnsweredAtOnce(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	request := func(origin NodeID) *Message {
		return &Message{Kind: ReadRequest, Ballot: ballot, Number: 77, Origin: origin}
	}
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Reports: votesFrom(1, 1, ballotLow)})
	p.receive(2, request(2))
	p.sentNone(ReadReply) // slot 1 may have been chosen before
	p.sync()
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})

	p.receive(2, request(2))
	if m := p.sentOne(ReadReply, 2); m.Number != 77 || m.Slot != 1 {
		t.Errorf("answers %+v", m)
	}
	p.receive(1, request(2))
	p.sentNone(ReadReply)

	p = newLone(t, loneConfig(t, 5, 5))
	ballot = p.lead()
	p.receive(2, request(2))
	p.sentNone(ReadReply)
}

// A member asks whom it has heard to be a candidate: its request is not lost if it comes before the candidate leads.
func TestARequestToACandidateIsAnsweredOnceItLeads(t *testing.T) {
	p := newLone(t, loneConfig(t, 5, 5))
	ballot := p.campaign(Ballot{})
	p.receive(2, &Message{Kind: ReadRequest, Ballot: ballot, Number: 77, Origin: 2})
	p.idle()
	p.sentNone(ReadReply, ReadProbe)
	for _, from := range []NodeID{1, 2} {
		p.receive(from, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	}
	p.idle()
	number := p.sentOne(ReadProbe, 1).Number
	for _, from := range []NodeID{1, 3} {
		p.sentNone(ReadReply)
		p.receive(from, &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	}
	if m := p.sentOne(ReadReply, 2); m.Number != 77 || m.Slot != 0 {
		t.Errorf("answers %+v", m)
	}
}

func TestANewLeaderServesNoReadBeforeItHasRecovered(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.campaign(ballotLow)
	p.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Upto: 1, Flag: true, Reports: votesFrom(1, 1, ballotLow)})
	p.read(1)
	p.sentNone(ReadProbe)
	p.sync()
	p.receive(1, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	p.idle()
	number := p.sentOne(ReadProbe, 1).Number
	p.receive(1, &Message{Kind: ReadAck, Ballot: ballot, Number: number})
	if !reflect.DeepEqual(p.fx.Reads, []ReadReady{{Read: 1, Slot: 1}}) {
		t.Errorf("serves %+v", p.fx.Reads)
	}
}

func TestAnAcceptorAcknowledgesNoProbeBelowItsPromise(t *testing.T) {
	a := acceptorAmong(t, 3)
	probe := func(b Ballot) *Message { return &Message{Kind: ReadProbe, Ballot: b, Number: 1} }
	a.receive(2, probe(ballotMid))
	a.sentOne(ReadAck, 2)
	a.receive(3, &Message{Kind: Prepare, Ballot: ballotHigh, Slot: 1})
	a.receive(2, probe(ballotMid)) // the promise is not durable yet, and may have been given all the same
	a.sentNone(ReadAck)
	a.sentOne(Nack, 2)
	a.receive(3, probe(ballotHigh))
	a.sentOne(ReadAck, 3)
}

// Whoever cannot reach the leader goes through a member that is happy with it.
func TestRequestsGoThroughAMemberThatIsHappyWithTheLeader(t *testing.T) {
	l := newLone(t, loneConfig(t, 1, 3))
	l.heartbeats(2, Message{Seen: ballotHigh, Flag: true}, 2) // node 3 is not heard
	l.propose(1, "x")
	if m := l.sentOne(Forward, 2); m.Ballot != ballotHigh || m.Origin != 1 {
		t.Errorf("forwards %+v", m)
	}

	via := newLone(t, loneConfig(t, 2, 3))
	via.follow(ballotHigh)
	via.heartbeats(1, Message{Ballot: ballotHigh, Seen: ballotHigh, Flag: true}, 1, 3)
	via.receive(1, forward(ballotHigh, 5, "x"))
	if m := via.sentOne(Forward, 3); m.Origin != 1 || m.Number != 5 || m.Hops != 1 {
		t.Errorf("passes on %+v", m)
	}
	via.receive(3, &Message{Kind: Reject, Origin: 1, Hops: 3, Rejected: []Rejection{{ID: 500, Reason: NoLeader}}})
	via.sentOne(Reject, 1)
	via.receive(3, &Message{Kind: ReadReply, Origin: 1, Number: 9, Hops: 3})
	via.sentOne(ReadReply, 1)
	if len(via.fx.Rejected)+len(via.fx.Reads) > 0 {
		t.Error("takes another's answer for its own")
	}
}

// Who is asked to pass a command on does it once, or says once that it did not happen. About a duplicate, which it may have passed on, it says nothing; nor about what its last boot was asked.
func TestARelayPassesACommandOnOnceOrRefusesIt(t *testing.T) {
	via := newLone(t, loneConfig(t, 2, 3))
	via.follow(ballotHigh)
	via.heartbeats(1, Message{Ballot: ballotHigh, Seen: ballotHigh, Flag: true}, 1, 3)
	via.receive(1, forward(ballotHigh, 5, "x"))
	via.sentOne(Forward, 3)
	silent := func(m *Message) {
		t.Helper()
		via.receive(1, m)
		via.sentNone(Forward, Reject)
	}
	silent(forward(ballotHigh, 5, "x"))

	tired := forward(ballotHigh, 6, "x") // relayed as often as may be
	tired.Hops = 3
	via.receive(1, tired)
	via.sentNone(Forward)
	if m := via.sentOne(Reject, 1); !reflect.DeepEqual(m.Rejected, []Rejection{{ID: 600, Reason: NoLeader}}) {
		t.Errorf("refuses %+v", m.Rejected)
	}
	silent(tired)

	astray := forward(ballotHigh, 7, "x")
	astray.Boot = 0
	silent(astray)

	via.heartbeats(5, Message{Seen: ballotHigh}, 1) // the leader is not heard any more
	silent(forward(ballotHigh, 5, "x"))
	via.receive(1, forward(ballotHigh, 8, "x"))
	via.sentNone(Forward)
	via.sentOne(Reject, 1)
}

// A member speaks for itself or for another member. What it says for a stranger would grow the books without end.
func TestARequestOnBehalfOfAStrangerIsDropped(t *testing.T) {
	p := newLone(t, loneConfig(t, 3, 3))
	ballot := p.lead()
	for _, m := range []*Message{
		{Kind: Forward, Ballot: ballot, Number: 5, Origin: 9, Boot: 1, Proposals: []Proposal{{Source: 1, ID: 1, Data: []byte("x")}}},
		{Kind: ReadRequest, Ballot: ballot, Number: 5, Origin: 9},
	} {
		p.receive(1, m)
		p.step(Event{Kind: Idle})
		if !reflect.DeepEqual(p.fx, Effects{}) || p.r.Queued() > 0 {
			t.Errorf("a %v for a stranger has effects: %+v", m.Kind, p.fx)
		}
	}
}
