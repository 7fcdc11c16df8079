package sim

import (
	"fmt"
	"io"

	"synod.dev/synod/paxos"
)

// trace prints one line an event: the time in microseconds, a column for each member, in which the one that the event happens to has a letter, and what happens. A nil trace prints nothing.
type trace struct {
	w  *world
	to io.Writer
}

func newTrace(w *world, to io.Writer) *trace {
	if to == nil {
		return nil
	}
	return &trace{w, to}
}

// event prints what happens to a member.
func (t *trace) event(m *member, letter byte, format string, args ...any) {
	if t == nil {
		return
	}
	columns := make([]byte, len(t.w.members))
	for i, other := range t.w.members {
		switch {
		case other == m:
			columns[i] = letter
		case other.up():
			columns[i] = '|'
		default:
			columns[i] = ' '
		}
	}
	fmt.Fprintf(t.to, "%10d %s  %s\n", t.w.now, columns, fmt.Sprintf(format, args...))
}

// letters stand for messages in a trace: those of the classical ones are Lamport's phases.
var letters = [...]byte{paxos.Prepare: 'p', paxos.Promise: 'P', paxos.Nack: 'n', paxos.Accept: 'a', paxos.Accepted: 'A', paxos.Commit: 'c', paxos.Heartbeat: 'h', paxos.HeartbeatReply: 'H',
	paxos.Forward: 'f', paxos.Reject: 'F', paxos.ReadRequest: 'r', paxos.ReadReply: 'R', paxos.ReadProbe: 'q', paxos.ReadAck: 'Q', paxos.Learn: 'l', paxos.Learned: 'L'}

func (t *trace) message(m *member, p *packet, msg *paxos.Message) {
	if t == nil {
		return
	}
	letter := byte('?')
	if int(msg.Kind) < len(letters) {
		letter = letters[msg.Kind]
	}
	if rec := msg.Record; rec != nil {
		t.event(m, letter, "%d→%d %v %v slot %d chosen %d, %d bytes", p.from+1, p.to+1, msg.Kind, rec.Ballot, rec.Slot, rec.Chosen, len(rec.Value))
		return
	}
	t.event(m, letter, "%d→%d %v %v seen %v slot %d upto %d chosen %d number %d flag %v, %d records, %d reports, %d proposals", p.from+1, p.to+1, msg.Kind, msg.Ballot, msg.Seen,
		msg.Slot, msg.Upto, msg.Chosen, msg.Number, msg.Flag, len(msg.Records), len(msg.Reports), len(msg.Proposals))
}

func (t *trace) action(a Action) {
	if t != nil {
		t.event(t.w.members[a.Member], '*', "%v of member %d (%d)", a.Kind, a.Member+1, a.Arg)
	}
}

func (t *trace) violation() {
	if t != nil {
		fmt.Fprintf(t.to, "%10d %v\n", t.w.now, t.w.violation)
	}
}
