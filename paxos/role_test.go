package paxos

import (
	"strings"
	"testing"
)

func TestARoleIsWrittenOutByItsNames(t *testing.T) {
	for role, want := range map[Role]string{0: "", Acceptor: "acceptor", Proposer | Learner: "proposer+learner", FullMember: "proposer+acceptor+learner"} {
		if got := role.String(); got != want {
			t.Errorf("%d is %q, want %q", role, got, want)
		}
	}
}

// configurationOf returns a configuration of members 1, 2 and so on in these roles.
func configurationOf(t *testing.T, phase1, phase2 int, roles ...Role) *Configuration {
	t.Helper()
	var members []Member
	for i, role := range roles {
		members = append(members, Member{ID: NodeID(i + 1), Incarnation: Incarnation(101 + i), Roles: role})
	}
	config, err := NewConfiguration(0, members, phase1, phase2)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestAClusterThatCouldNotGoOnIsNotAskedFor(t *testing.T) {
	for _, tc := range []struct {
		says           string
		phase1, phase2 int
		roles          []Role
	}{
		{"", 0, 0, []Role{FullMember}},
		{"", 0, 0, []Role{FullMember, FullMember, Acceptor}},
		{"", 0, 0, []Role{FullMember, Acceptor, Acceptor, Learner}},
		{"", 3, 1, []Role{FullMember, Acceptor, Acceptor}}, // it survives no loss, and says so by its quorums
		{"", 0, 0, []Role{Acceptor | Learner, Acceptor | Learner, Acceptor | Learner, Proposer | Learner}},
		{"nobody could lead", 0, 0, []Role{Acceptor | Learner, Proposer | Acceptor, Learner}},
		{"at least 2 learners", 0, 0, []Role{FullMember, Acceptor, Acceptor}},
		{"at least 3 learners", 0, 0, []Role{FullMember, FullMember, Acceptor, Acceptor, Acceptor}},
		{"at least 3 learners", 1, 3, []Role{FullMember, FullMember, Acceptor}},
	} {
		err := configurationOf(t, tc.phase1, tc.phase2, tc.roles...).CheckRoles()
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v, want %q", tc.roles, err, tc.says)
		}
	}
}

// What those do and do not who are not full members, one rule at a time.

func TestAReplicaIsInNoQuorum(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, FullMember, Learner, Learner)
	ballot := l.campaign(Ballot{})
	for _, replica := range []NodeID{4, 5} {
		l.receive(replica, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	}
	if l.leads() {
		t.Fatal("it leads by the promises of replicas")
	}
	l.receive(2, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	l.propose(7, "a")
	for _, replica := range []NodeID{4, 5} {
		for _, o := range l.sent(Accept) {
			if o.To == replica {
				t.Errorf("an Accept goes to replica %d", replica)
			}
		}
	}
	l.sync()
	for _, replica := range []NodeID{4, 5} {
		l.receive(replica, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	}
	if got := l.r.Status().Chosen; got != 0 {
		t.Fatal("a slot is chosen by the votes of replicas")
	}
	l.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	l.read(9)
	probe := l.sentOne(ReadProbe, 2)
	for _, replica := range []NodeID{4, 5} {
		l.receive(replica, &Message{Kind: ReadAck, Ballot: ballot, Number: probe.Number})
	}
	if len(l.fx.Reads) > 0 {
		t.Fatal("a read is confirmed by replicas")
	}
	l.receive(2, &Message{Kind: ReadAck, Ballot: ballot, Number: probe.Number})
	if len(l.fx.Reads) != 1 {
		t.Fatal("a read is not confirmed by a quorum")
	}
}

func TestReplicasDoNotMakeAMajorityToBeHeard(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, FullMember, Learner, Learner)
	l.heartbeats(40, Message{}, 4, 5)
	if l.runs() {
		t.Error("it runs for leader and hears replicas alone")
	}
}

func TestNeitherAGatewayNorAReplicaNorAWitnessIsNominated(t *testing.T) {
	for _, role := range []Role{Proposer, Proposer | Acceptor, Learner, Acceptor, Acceptor | Learner} {
		l := loneOfRoles(t, 4, FullMember, FullMember, FullMember, role)
		l.heartbeats(60, Message{}, 1, 2, 3)
		if l.runs() {
			t.Errorf("a member that is %v runs for leader", role)
		}
	}
	l := loneOfRoles(t, 4, FullMember, FullMember, FullMember, Proposer|Learner)
	l.heartbeats(60, Message{}, 1, 2, 3)
	if !l.runs() {
		t.Error("a proposer that learns does not run for leader, though nobody leads")
	}
}

// The leader 1 has replicas 4 and 5, of which 5 cannot be heard.
func TestWhatIsChosenIsPushedToThoseWhoLearnWithoutAVote(t *testing.T) {
	cfg := loneConfig(t, 1, 5)
	cfg.Founders = configurationOf(t, 0, 0, FullMember, FullMember, FullMember, Learner, Learner)
	cfg.Limits.ChunkBytes = 1
	l := newLone(t, cfg)
	l.peers = []NodeID{2, 3, 4}
	ballot := l.lead()
	l.propose(7, "a")
	l.sync()
	l.propose(8, "b")
	l.sync()
	l.idle()
	l.sentNone(Learned)
	l.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 2})
	l.idle()
	pushed := l.sent(Learned)
	if len(pushed) != 2 {
		t.Fatalf("two slots are chosen, a message holds one, and %d are sent", len(pushed))
	}
	for i, o := range pushed {
		if slot := Slot(i + 1); o.To != 4 || !o.Message.Flag || len(o.Message.Records) != 1 || o.Message.Records[0].Slot != slot || o.Message.Chosen != slot {
			t.Errorf("to node %d goes %+v", o.To, o.Message)
		}
		if o.Message.Stream() != Replication {
			t.Errorf("it goes by stream %v, behind what can wait", o.Message.Stream())
		}
	}
	l.idle()
	l.sentNone(Learned)
}

func TestAReplicaTakesWhatIsPushedAndAsksForTheRestOnly(t *testing.T) {
	l := loneOfRoles(t, 4, FullMember, FullMember, FullMember, Learner)
	push := func(slot Slot) {
		l.receive(1, &Message{Kind: Learned, Flag: true, Records: []*Record{chosenRecord(slot, "a")}, Chosen: slot})
	}
	l.receive(1, &Message{Kind: Heartbeat, Number: 1, Chosen: 3}) // what is on its way
	push(1)
	l.sentNone(Learn)
	push(3)
	l.sentNone(Learn)
	if got := l.r.Status().Chosen; got != 1 {
		t.Fatalf("slot %d is known to be chosen, want 1: the push of slot 2 was lost", got)
	}
	l.ticks(5)
	if m := l.sent(Learn); len(m) == 0 || m[0].Message.Slot != 2 {
		t.Fatalf("it does not ask for slot 2: %v", kinds(l.fx.Messages))
	}
	l.receive(1, &Message{Kind: Learned, Records: []*Record{chosenRecord(2, "b")}, Chosen: 3})
	l.sync()
	if got := l.r.Status().Delivered; got != 3 {
		t.Errorf("slot %d is delivered, want 3", got)
	}
}

func TestAMemberWithoutAMachineIsToldThatItsCommandIsChosen(t *testing.T) {
	l := loneOfRoles(t, 1, FullMember, FullMember, FullMember, Proposer)
	ballot := l.lead()
	fromOthers := func(origin NodeID, number uint64, ids ...uint64) {
		m := &Message{Kind: Forward, Ballot: ballot, Number: number, Origin: origin, Boot: l.r.boot}
		for _, id := range ids {
			m.Proposals = append(m.Proposals, Proposal{ID: id, Data: []byte("x")})
		}
		l.receive(origin, m)
	}
	fromOthers(4, 1, 71, 72)
	fromOthers(2, 1, 73)
	l.idle()
	l.sync()
	l.sentNone(Decided)
	l.receive(2, &Message{Kind: Accepted, Ballot: ballot, Slot: 1, Upto: 1})
	m := l.sentOne(Decided, 4)
	if len(l.sent(Decided)) != 1 || len(m.Proposals) != 2 || m.Proposals[0].ID != 71 || m.Proposals[1].ID != 72 {
		t.Fatalf("it is told %+v", l.sent(Decided))
	}

	g := loneOfRoles(t, 4, FullMember, FullMember, FullMember, Proposer)
	g.receive(1, m)
	if got := g.fx.Decided; len(got) != 2 || got[0] != 71 || got[1] != 72 {
		t.Errorf("its callers are told %v", got)
	}
	g = newLone(t, loneConfig(t, 4, 4))
	g.receive(1, m)
	if got := g.fx.Decided; len(got) > 0 {
		t.Errorf("callers of a member with a machine, which is to answer them, are told %v", got)
	}
}
