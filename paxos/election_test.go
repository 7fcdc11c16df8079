package paxos

import (
	"slices"
	"testing"
)

// Who may try to lead, and who gives way. Ticks are heartbeats here, and the suspicion time is four.

// runs reports whether the last call began phase 1.
func (l *lone) runs() bool { return len(l.sent(Prepare)) > 0 }

// happy is what the replica tells its peers about the leader.
func (l *lone) happy() bool {
	l.t.Helper()
	l.receive(l.peers[0], &Message{Kind: Heartbeat, Number: 1})
	return l.sentOne(HeartbeatReply, l.peers[0]).Flag
}

func TestOnlyWhoHearsAPhase1QuorumOfUnhappyMembersTakesOver(t *testing.T) {
	for _, tc := range []struct {
		name           string
		unhappy, happy []NodeID
		runs           bool
	}{
		{"nobody is heard", nil, nil, false},
		{"a minority is heard", []NodeID{1}, nil, false},
		{"a majority is heard", []NodeID{1, 2}, nil, true},
		{"everybody is heard", []NodeID{1, 2, 3, 4}, nil, true},
		{"one of a majority is happy", []NodeID{1}, []NodeID{2}, false},
		{"one of all is happy", []NodeID{1, 2, 3}, []NodeID{4}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, ran := newLone(t, loneConfig(t, 5, 5)), false
			for range 20 {
				l.fx = Effects{}
				l.step(Event{Kind: Tick})
				for _, peer := range slices.Concat(tc.unhappy, tc.happy) {
					l.step(Event{Kind: Received, From: peer, Incarnation: incarnationOf(peer), Message: &Message{Kind: HeartbeatReply, Number: l.round, Flag: slices.Contains(tc.happy, peer)}})
				}
				ran = ran || l.runs()
			}
			if ran != tc.runs {
				t.Errorf("runs for leader: %v", ran)
			}
		})
	}
}

// The freshness of a log is a priority and no condition: whoever is behind goes later, and goes.
func TestAMemberThatIsBehindTakesOverLater(t *testing.T) {
	rounds := func(self NodeID, theirs Slot) int {
		l := newLone(t, loneConfig(t, self, 3))
		for round := range 40 {
			l.heartbeats(1, Message{Chosen: theirs}, l.peers...)
			if l.runs() {
				return round
			}
		}
		t.Fatalf("node %d never runs", self)
		return 0
	}
	first, second, behind := rounds(3, 0), rounds(2, 0), rounds(3, 5)
	if !(first < second && first < behind) {
		t.Errorf("the highest id runs in round %d, the next in %d, the highest when it is behind in %d", first, second, behind)
	}
}

func TestANewBallotIsAboveEverythingSeen(t *testing.T) {
	for name, reply := range map[string]Message{
		"promised by a peer": {Seen: Ballot{Round: 7, Node: 2, Boot: 1}},
		"owned by a peer":    {Ballot: Ballot{Round: 7, Node: 2, Boot: 1}},
	} {
		l := newLone(t, loneConfig(t, 3, 3))
		for range 20 {
			l.heartbeats(1, reply, 1, 2)
			if l.runs() {
				break
			}
		}
		if m := l.sentOne(Prepare, 1); m.Ballot != (Ballot{Round: 8, Node: 3, Boot: 1}) {
			t.Errorf("a ballot of round 7 was %s; the new one is %v", name, m.Ballot)
		}
	}
}

// The replies alone would make it happy with itself for ever.
func TestACandidateWithoutAPhase1QuorumGivesWayWithinABound(t *testing.T) {
	l := newLone(t, loneConfig(t, 5, 5))
	ballot := l.campaign(Ballot{})
	l.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	for range 3 * 4 {
		l.heartbeats(1, Message{Seen: ballot}, l.peers...)
		if !l.happy() {
			return
		}
	}
	t.Fatalf("after three suspicion times it still waits for promises at %v", ballot)
}

// Node 2 had a chosen prefix in memory, told the candidate of it, and has lost it again in a restart: nobody can give the values.
func TestALeaderThatCannotLearnAPredecessorsPrefixGivesWay(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	ballot := l.campaign(Ballot{})
	l.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true, Chosen: 1})
	if !l.leads() {
		t.Fatal("it has a quorum and does not lead")
	}
	for range 3 * 4 {
		l.heartbeats(1, Message{Seen: ballot, Flag: true}, l.peers...)
		for _, o := range l.sent(Learn) {
			l.receive(o.To, &Message{Kind: Learned})
		}
		if !l.leads() {
			return
		}
	}
	t.Fatal("after three suspicion times it still leads, and can serve no read")
}

func TestALeaderWhoseDiskStallsResignsAndStaysOut(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	ballot := l.lead()
	l.propose(1, "v") // never durable here
	answer := func() {
		l.fx = Effects{}
		l.step(Event{Kind: Tick})
		for _, peer := range l.peers {
			l.step(Event{Kind: Received, From: peer, Incarnation: incarnationOf(peer), Message: &Message{Kind: HeartbeatReply, Number: l.round, Seen: ballot}})
		}
	}
	for range 2 * 4 {
		answer()
	}
	if l.leads() || l.happy() {
		t.Fatalf("its disk has stood still for two suspicion times; leads: %v, happy: %v", l.leads(), l.happy())
	}
	for range 10 * 4 {
		if answer(); l.runs() {
			t.Fatal("it runs for leader while its disk stands still")
		}
	}
	l.sync()
	for range 4 * 4 {
		if answer(); l.runs() {
			return
		}
	}
	t.Fatal("its disk is back, all are unhappy, and it does not run")
}

func TestALeaderThatGetsNothingChosenResigns(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	ballot := l.lead()
	l.heartbeats(20, Message{Seen: ballot, Flag: true}, l.peers...)
	if !l.leads() {
		t.Fatal("it resigns though it has nothing to do")
	}
	l.propose(1, "v") // heartbeats are answered, Accepts are not
	l.heartbeats(2*4, Message{Seen: ballot, Flag: true}, l.peers...)
	if l.leads() {
		t.Error("for two suspicion times nothing of its work was chosen, and it still leads")
	}
}

func TestALeaderThatLosesItsQuorumResigns(t *testing.T) {
	l := newLone(t, loneConfig(t, 5, 5))
	ballot := l.lead()
	l.heartbeats(4*4, Message{Seen: ballot, Flag: true}, 1, 2)
	if !l.leads() {
		t.Fatal("it resigns though two of four peers follow")
	}
	l.heartbeats(2*4, Message{Seen: ballot, Flag: true}, 1)
	if l.leads() {
		t.Error("one of four peers is left, and it still leads")
	}
}

// A candidate died when one follower had promised its ballot. The leader cannot get that one's vote any more, until it takes a higher ballot.
func TestAFollowerThatHasSeenAHigherDeadBallotIsBroughtBack(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	ballot := l.lead()
	dead := Ballot{Round: ballot.Round + 5, Node: 2, Boot: 1}
	for range 4 * 4 {
		l.fx = Effects{}
		l.step(Event{Kind: Tick})
		l.step(Event{Kind: Received, From: 1, Incarnation: incarnationOf(1), Message: &Message{Kind: HeartbeatReply, Number: l.round, Seen: dead}})
		if l.runs() {
			break
		}
	}
	if m := l.sentOne(Prepare, 1); !dead.Less(m.Ballot) {
		t.Errorf("it takes over with %v, which is not above %v", m.Ballot, dead)
	}
}

// What was said about another time proves nothing about now.
func TestAnOldHeartbeatReplyDoesNotCount(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	l.ticks(1)
	old := l.round
	l.ticks(20)
	for range 20 {
		l.fx = Effects{}
		for _, number := range []uint64{old, l.round + 1} {
			for _, peer := range l.peers {
				l.step(Event{Kind: Received, From: peer, Incarnation: incarnationOf(peer), Message: &Message{Kind: HeartbeatReply, Number: number}})
			}
		}
		if l.step(Event{Kind: Tick}); l.runs() {
			t.Fatal("it runs on the strength of replies to another round")
		}
	}
}

// A process that died has broken its connections: two heartbeats are enough to miss it, and a mere hiccup is answered in that time.
func TestABrokenConnectionShortensTheSuspicion(t *testing.T) {
	cfg := loneConfig(t, 2, 2)
	cfg.SuspectTicks = 20
	gone := func(event bool) int {
		l := newLone(t, cfg)
		l.heartbeats(5, Message{Ballot: ballotLow, Seen: ballotLow, Flag: true}, 1)
		l.fx = Effects{}
		if event {
			l.step(Event{Kind: Disconnected, Peer: 1})
		}
		for n := range 100 {
			if !l.r.Status().Peers[0].Alive {
				return n
			}
			l.ticks(1)
		}
		t.Fatal("it is never missed")
		return 0
	}
	if with, without := gone(true), gone(false); with > 3 || without < 15 {
		t.Errorf("missed after %d heartbeats with the connection broken, %d without", with, without)
	}
}

// A leader's word about what is chosen is only as good as its leadership.
func TestOnlyALeadersHeartbeatAnnounces(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	announced := func(reply Message) Ballot {
		l.heartbeats(1, reply, l.peers...)
		return l.sentOne(Heartbeat, 1).Ballot
	}
	if b := announced(Message{}); !b.IsZero() {
		t.Errorf("announces at %v before it has run", b)
	}
	ballot := l.campaign(Ballot{})
	if b := announced(Message{Seen: ballot}); !b.IsZero() {
		t.Errorf("announces at %v while it runs", b)
	}
	l.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	if b := announced(Message{Seen: ballot, Flag: true}); b != ballot {
		t.Errorf("leads at %v and announces at %v", ballot, b)
	}
	l.receive(1, &Message{Kind: Nack, Ballot: ballot, Seen: Ballot{Round: ballot.Round + 1, Node: 2, Boot: 1}})
	if b := announced(Message{Seen: ballot, Flag: true}); !b.IsZero() {
		t.Errorf("announces at %v after it was deposed", b)
	}
}

// What all members say at once settles who takes over without waiting for the next heartbeat; what is missing or speaks against it leaves it to the heartbeats.
func TestTheFirstInOrderTakesOverAsSoonAsAllHaveAnsweredThatNobodyLeads(t *testing.T) {
	for _, tc := range []struct {
		name    string
		self    NodeID
		replies []Message // of nodes 1 and 2, or those of them that are not self
		runs    bool
	}{
		{"all have answered", 3, []Message{{}, {}}, true},
		{"one has not", 3, []Message{{}}, false},
		{"one has a leader", 3, []Message{{}, {Flag: true}}, false},
		{"one knows more", 3, []Message{{}, {Chosen: 7}}, false},
		{"one has just begun", 3, []Message{{}, {Ballot: Ballot{Round: 1, Node: 2, Boot: 1}}}, false},
		{"another comes first", 1, []Message{{}, {}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLone(t, loneConfig(t, tc.self, 3))
			l.ticks(1)
			for i, m := range tc.replies {
				m.Kind, m.Number, m.Boot = HeartbeatReply, l.round, 1
				l.receive(l.peers[i], &m)
			}
			if l.runs() != tc.runs {
				t.Errorf("runs for leader before the next heartbeat: %v", l.runs())
			}
		})
	}
}

// Who has to wait after take-overs that came to nothing waits for its heartbeats: it would otherwise try again as fast as messages go.
func TestWhoBacksOffTakesOverAtAHeartbeatOnly(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	for l.r.election.wait == 0 {
		l.step(Event{Kind: Campaign})
	}
	wait := l.r.election.wait
	l.receive(1, &Message{Kind: Nack, Seen: Ballot{Round: 99, Node: 1, Boot: 1}})
	took := 0
	for ; !l.runs(); took++ {
		l.heartbeats(1, Message{}, 1, 2)
	}
	if took <= wait {
		t.Errorf("it takes over in round %d, and had to wait %d", took, wait)
	}
}

// A new leader says at once that it leads, and a member that hears of it asks it at once, and follows: nobody waits for a heartbeat.
func TestANewLeaderIsFollowedWithinARoundTrip(t *testing.T) {
	leader := newLone(t, loneConfig(t, 3, 3))
	ballot := leader.campaign(Ballot{})
	leader.receive(1, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	told := leader.sentOne(Heartbeat, 2)
	if told.Ballot != ballot {
		t.Fatalf("it leads at %v and says %v", ballot, told.Ballot)
	}

	follower := newLone(t, loneConfig(t, 2, 3))
	follower.ticks(1)
	follower.receive(3, &Message{Kind: Prepare, Ballot: ballot, Slot: 1})
	follower.receive(3, told)
	asked := follower.sentOne(Heartbeat, 3)
	leader.receive(2, asked)
	follower.receive(3, leader.sentOne(HeartbeatReply, 2))
	if id := follower.r.Status().Leader; id != 3 {
		t.Errorf("it follows %v", id)
	}
}

// Whatever a member knows when a new leader says that it leads, it asks it once, and is not without a leader at its next heartbeat.
func TestANewLeaderIsAskedWhoeverWasFollowedBefore(t *testing.T) {
	before, ballot := Ballot{Round: 1, Node: 1, Boot: 1}, Ballot{Round: 2, Node: 3, Boot: 1}
	prepare := &Message{Kind: Prepare, Ballot: ballot, Slot: 1}
	content := func(l *lone) {
		l.heartbeats(1, Message{Seen: before, Flag: true}, 3)
		l.heartbeats(1, Message{Ballot: before, Seen: before, Flag: true}, 1)
	}
	for name, was := range map[string]func(l *lone){
		"a member without a leader, whom no Prepare reaches": func(l *lone) { l.heartbeats(1, Message{}, 3) },
		"one that follows another, whom no Prepare reaches":  content,
		"one that follows another":                           func(l *lone) { content(l); l.receive(3, prepare) },
		"one that has asked it already as one that is back": func(l *lone) {
			l.ticks(1)
			l.receive(3, &Message{Kind: Heartbeat, Number: 1})
			l.receive(3, &Message{Kind: HeartbeatReply, Number: l.round, Boot: 1})
			l.receive(3, prepare)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLone(t, loneConfig(t, 2, 3))
			was(l)
			leads := &Message{Kind: Heartbeat, Number: 1, Ballot: ballot}
			l.receive(3, leads)
			asked := l.sentOne(Heartbeat, 3)
			l.receive(3, leads)
			l.sentNone(Heartbeat)
			l.receive(3, &Message{Kind: HeartbeatReply, Number: asked.Number, Ballot: ballot, Seen: ballot, Flag: true, Boot: 1})
			if l.ticks(1); l.r.Status().Leader != 3 {
				t.Errorf("it follows %v", l.r.Status().Leader)
			}
			l.receive(3, leads)
			l.sentNone(Heartbeat)
			l.receive(1, &Message{Kind: HeartbeatReply, Number: l.round, Boot: 1})
			l.receive(1, &Message{Kind: Heartbeat, Number: 1, Ballot: before})
			l.sentNone(Heartbeat) // it is deposed
		})
	}
}

// Whoever is back is asked at once, and once in a round only: between two that hear each other's questions and not the answers, question would follow upon question.
func TestAMemberThatIsBackIsAskedAtOnceAndOnce(t *testing.T) {
	l := newLone(t, loneConfig(t, 3, 3))
	l.ticks(1)
	asked := func() (n int) {
		for range 5 {
			l.receive(1, &Message{Kind: Heartbeat, Number: 1})
			n += len(l.sent(Heartbeat))
		}
		return n
	}
	if n := asked(); n != 1 {
		t.Errorf("a member that has never answered is asked %d times in a round", n)
	}
	l.heartbeats(1, Message{Flag: true}, 1)
	if n := asked(); n != 0 {
		t.Errorf("a member that answers is asked %d times out of turn", n)
	}
	l.fx = Effects{}
	if l.step(Event{Kind: Connected, Peer: 2}); len(l.sent(Heartbeat)) != 1 {
		t.Error("a member that can be reached again is not asked")
	}
}
