package paxos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lone is one replica under test. Its peers exist only as the messages that a test writes for them, and its disk syncs when the test says so.
type lone struct {
	t     *testing.T
	r     *Replica
	peers []NodeID
	fx    Effects // of the last call
	log   []*Record
	round uint64 // of the last heartbeat sent
}

// loneConfig is the configuration of node self among n full members, in quick ticks: a heartbeat each.
func loneConfig(t *testing.T, self NodeID, n int) Config {
	t.Helper()
	var members []Member
	for i := range n {
		members = append(members, Member{ID: NodeID(i + 1), Incarnation: incarnationOf(NodeID(i + 1)), Roles: FullMember})
	}
	founders, err := NewConfiguration(0, members, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Self: self, Incarnation: incarnationOf(self), Boot: 1, Founders: founders, HeartbeatTicks: 1, SuspectTicks: 4, ResendTicks: 3}
}

func incarnationOf(id NodeID) Incarnation { return Incarnation(100 + id) }

func newLone(t *testing.T, cfg Config, log ...*Record) *lone {
	t.Helper()
	l := &lone{t: t, log: log}
	for _, m := range cfg.Founders.Members {
		if m.ID != cfg.Self {
			l.peers = append(l.peers, m.ID)
		}
	}
	stable := Stable{Last: LSN(len(log))}
	for _, rec := range log {
		stable.Promised = maxBallot(stable.Promised, rec.Ballot)
	}
	r, err := New(cfg, stable)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range log {
		r.Restore(LSN(i+1), rec)
	}
	l.r = r
	return l
}

// acceptorAmong returns node 1 of n, which no test here lets become a leader.
func acceptorAmong(t *testing.T, n int) *lone {
	t.Helper()
	return newLone(t, loneConfig(t, 1, n))
}

// step adds to the effects; the calls below begin with none.
func (l *lone) step(ev Event) {
	records := len(l.fx.Records)
	l.r.Step(ev, &l.fx)
	l.log = append(l.log, l.fx.Records[records:]...)
	for _, out := range l.fx.Messages {
		if out.Message.Kind == Heartbeat {
			l.round = out.Message.Number
		}
	}
}

func (l *lone) receive(from NodeID, m *Message) {
	l.fx = Effects{}
	l.step(Event{Kind: Received, From: from, Incarnation: incarnationOf(from), Message: m})
}

func (l *lone) accept(from NodeID, rec *Record) {
	l.receive(from, &Message{Kind: Accept, Record: rec})
}

func (l *lone) sync() {
	l.fx = Effects{}
	l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
}

func (l *lone) idle() {
	l.fx = Effects{}
	l.step(Event{Kind: Idle})
}

func (l *lone) propose(id uint64, command string) {
	l.fx = Effects{}
	l.step(Event{Kind: Propose, Proposal: Proposal{Source: 1, ID: id, Data: []byte(command)}})
	l.step(Event{Kind: Idle})
}

func (l *lone) read(read uint64) {
	l.fx = Effects{}
	l.step(Event{Kind: Read, Read: read})
	l.step(Event{Kind: Idle})
}

// ticks lets time pass while nobody answers.
func (l *lone) ticks(n int) {
	l.fx = Effects{}
	for range n {
		l.step(Event{Kind: Tick})
		l.step(Event{Kind: Idle})
	}
}

// heartbeats lets time pass while the peers answer each heartbeat with reply; the disk syncs every time.
func (l *lone) heartbeats(n int, reply Message, peers ...NodeID) {
	l.fx = Effects{}
	for range n {
		l.step(Event{Kind: Tick})
		for _, peer := range peers {
			answer := reply
			answer.Kind, answer.Number, answer.Boot = HeartbeatReply, l.round, max(reply.Boot, 1)
			l.step(Event{Kind: Received, From: peer, Incarnation: incarnationOf(peer), Message: &answer})
		}
		l.step(Event{Kind: Idle})
		l.step(Event{Kind: Durable, LSN: LSN(len(l.log))})
	}
}

// campaign lets every peer be heard, all of them without a leader, until the replica runs for it, and returns its ballot. Its promise to itself is durable.
func (l *lone) campaign(seen Ballot) Ballot {
	l.t.Helper()
	for range 40 {
		l.heartbeats(1, Message{Seen: seen}, l.peers...)
		if prepares := l.sent(Prepare); len(prepares) > 0 {
			return prepares[0].Message.Ballot
		}
	}
	l.t.Fatal("no Prepare within 40 heartbeats")
	return Ballot{}
}

// lead makes the replica leader with a quorum of empty promises.
func (l *lone) lead() Ballot {
	l.t.Helper()
	ballot := l.campaign(Ballot{})
	for _, peer := range l.peers {
		if l.leads() {
			break
		}
		l.receive(peer, &Message{Kind: Promise, Ballot: ballot, Slot: 1, Flag: true})
	}
	if !l.leads() {
		l.t.Fatal("a quorum has promised and the candidate does not lead")
	}
	return ballot
}

func (l *lone) leads() bool { return l.r.Status().Leads }

// sent returns the messages of one kind among the effects of the last call.
func (l *lone) sent(kind MessageKind) (out []Outgoing) {
	for _, o := range l.fx.Messages {
		if o.Message.Kind == kind {
			out = append(out, o)
		}
	}
	return out
}

// sentOne returns the message of one kind that the last call must have sent to a node.
func (l *lone) sentOne(kind MessageKind, to NodeID) *Message {
	l.t.Helper()
	var found *Message
	for _, o := range l.sent(kind) {
		if o.To == to {
			if found != nil {
				l.t.Fatalf("two messages %v to node %d", kind, to)
			}
			found = o.Message
		}
	}
	if found == nil {
		l.t.Fatalf("no %v to node %d among %v", kind, to, kinds(l.fx.Messages))
	}
	return found
}

func (l *lone) sentNone(kinds ...MessageKind) {
	l.t.Helper()
	for _, o := range l.fx.Messages {
		if slices.Contains(kinds, o.Message.Kind) {
			l.t.Fatalf("unexpected %v to node %d: %+v", o.Message.Kind, o.To, *o.Message)
		}
	}
}

func kinds(messages []Outgoing) (names []string) {
	for _, o := range messages {
		names = append(names, o.Message.Kind.String())
	}
	return names
}

// proposals returns slot → value of the Accepts sent by the last call.
func (l *lone) proposals() map[Slot]string {
	proposed := map[Slot]string{}
	for _, o := range l.sent(Accept) {
		proposed[o.Message.Record.Slot] = text(o.Message.Record.Value)
	}
	return proposed
}

func (l *lone) violates(what string, fn func()) {
	l.t.Helper()
	defer func() {
		l.t.Helper()
		if _, ok := recover().(ViolationError); !ok {
			l.t.Fatalf("%s: no violation is reported", what)
		}
	}()
	fn()
}

// command is the value that holds one command.
func command(s string) Value { return AppendCommand(nil, []byte(s)) }

// text is what a value says, "no-op" for none.
func text(v Value) string {
	if v.IsNoop() {
		return "no-op"
	}
	s := ""
	if c, err := DecodeChange(v); err == nil {
		return fmt.Sprintf("members %s instead of epoch %d", membersText(c.Members), c.Replaces)
	}
	if err := v.Commands(func(c []byte) {
		if s != "" {
			s += "+"
		}
		s += string(c)
	}); err != nil {
		return err.Error()
	}
	return s
}

// membersText lists members by node.
func membersText(members []Member) string {
	var ids []string
	for _, m := range members {
		ids = append(ids, fmt.Sprint(m.ID))
	}
	return strings.Join(ids, " ")
}

func voteFor(ballot Ballot, slot Slot, value string) *Record {
	rec := &Record{Kind: RecordAccept, Slot: slot, Ballot: ballot, Value: command(value)}
	rec.Seal()
	return rec
}

func voted(ballot Ballot, slot Slot, value string) Report {
	return Report{Slot: slot, State: Voted, Ballot: ballot, Record: voteFor(ballot, slot, value)}
}

func chosenRecord(slot Slot, value string) *Record {
	rec := &Record{Kind: RecordChosen, Slot: slot, Value: command(value)}
	rec.Seal()
	return rec
}
