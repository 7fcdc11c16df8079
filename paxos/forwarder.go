package paxos

import "slices"

// forwarder brings this node's commands to the leader, and other nodes' commands into its own queue while it is the leader.
//
// A command is handed over once, to the leader of one ballot, under a number; that leader takes it only while its ballot is that one, and takes each number of an
// origin once. So however often the network repeats it, it goes into the log at most once. And a node rejects only what it never put into a record, and never will.
type forwarder struct {
	r      *Replica
	number uint64 // of this node's last Forward
	outbox []Proposal
	taken  []mark // of what was taken as leader, or refused
	passed []mark // of what was passed on to a leader, or refused
}

// mark is the last Forward of a boot of an origin that this node has dealt with. What is not above it is perhaps a duplicate, and gets no answer.
//
// Each boot has a mark of its own: those of a later disk may have lower numbers than those of an earlier one.
type mark struct {
	origin NodeID
	ballot Ballot // of ours, for which it was meant; zero when passing on
	number uint64 // the upper half says which boot's it is
}

// marksMax bounds the boots of an origin whose Forwards are remembered: nothing of older ones is on its way any more.
const marksMax = 64

func newForwarder(r *Replica) forwarder { return forwarder{r: r, number: r.firstNumber()} }

// propose takes a command of this node's callers.
func (f *forwarder) propose(p Proposal) {
	if f.r.proposer.phase != resting {
		f.admit(admitted{p, f.r.cfg.Self})
		return
	}
	f.outbox = append(f.outbox, p)
}

func (f *forwarder) admit(a admitted) {
	f.r.admission.add(a, func(dropped admitted) {
		f.reject(dropped.origin, []Rejection{{dropped.ID, Overloaded}})
	})
}

// flush sends what has gathered to the leader.
func (f *forwarder) flush() {
	if len(f.outbox) == 0 {
		return
	}
	if f.r.proposer.phase != resting {
		for _, p := range f.outbox {
			f.admit(admitted{p, f.r.cfg.Self})
		}
		f.clear()
		return
	}
	to := f.r.election.route()
	if to == 0 {
		for _, p := range f.outbox {
			f.r.fx.Rejected = append(f.r.fx.Rejected, Rejection{p.ID, NoLeader})
		}
		f.clear()
		return
	}
	for rest := f.outbox; len(rest) > 0; {
		n, size := 1, len(rest[0].Data)
		for n < len(rest) && size+len(rest[n].Data) <= f.r.cfg.Limits.ChunkBytes {
			size += len(rest[n].Data)
			n++
		}
		f.number++
		f.r.send(to, &Message{Kind: Forward, Ballot: f.r.election.seen, Number: f.number, Origin: f.r.cfg.Self, Boot: f.r.election.bootOf(to), Proposals: append([]Proposal(nil), rest[:n]...)})
		rest = rest[n:]
	}
	f.clear()
}

func (f *forwarder) clear() {
	clear(f.outbox)
	f.outbox = f.outbox[:0]
}

// onForward takes commands if this node leads at the ballot they are meant for, and passes them on if it can reach the one who does.
func (f *forwarder) onForward(from NodeID, m *Message) {
	if m.Ballot.Node != f.r.cfg.Self {
		f.passOn(m)
		return
	}
	if m.Ballot.Boot != f.r.boot {
		return // taken or not by an earlier boot: who knows
	}
	mark := markOf(&f.taken, m)
	if c := m.Ballot.Compare(mark.ballot); c < 0 || c == 0 && m.Number <= mark.number {
		return // perhaps a duplicate of what was taken: no word about it
	}
	mark.ballot, mark.number = m.Ballot, m.Number
	if f.r.proposer.phase == resting || f.r.proposer.ballot != m.Ballot {
		f.reject(m.Origin, refusals(m.Proposals, NoLeader))
		return
	}
	for _, p := range m.Proposals {
		if m.Flag {
			f.r.proposer.onChange(admitted{p, m.Origin})
		} else {
			f.admit(admitted{p, m.Origin})
		}
	}
}

// passOn relays commands to the leader they are meant for, or says that it cannot; once. What was sent to an earlier boot of this node may have been passed on by it: no word about that.
func (f *forwarder) passOn(m *Message) {
	mark := markOf(&f.passed, m)
	if m.Boot != f.r.boot || m.Number <= mark.number {
		return
	}
	mark.number = m.Number
	if m.Hops >= uint8(f.r.cfg.Limits.HopsMax) || !f.r.election.connected(m.Ballot.Node) {
		f.reject(m.Origin, refusals(m.Proposals, NoLeader))
		return
	}
	on := *m
	on.Hops++
	on.Boot = f.r.election.bootOf(m.Ballot.Node)
	f.r.send(m.Ballot.Node, &on)
}

// onUnsent says at once what did not happen, since nobody else can have seen it.
func (f *forwarder) onUnsent(m *Message) { f.reject(m.Origin, refusals(m.Proposals, NoLeader)) }

func markOf(marks *[]mark, m *Message) *mark {
	boots, oldest := 0, 0
	for i := range *marks {
		k := &(*marks)[i]
		if k.origin != m.Origin {
			continue
		}
		if k.number>>32 == m.Number>>32 {
			return k
		}
		if boots++; boots == 1 {
			oldest = i
		}
	}
	if boots == marksMax {
		*marks = slices.Delete(*marks, oldest, oldest+1)
	}
	*marks = append(*marks, mark{origin: m.Origin, number: m.Number >> 32 << 32})
	return &(*marks)[len(*marks)-1]
}

func refusals(proposals []Proposal, reason RejectReason) []Rejection {
	rejected := make([]Rejection, len(proposals))
	for i, p := range proposals {
		rejected[i] = Rejection{p.ID, reason}
	}
	return rejected
}

// rejectQueued gives back everything in the admission queue: none of it has been proposed, and never will be.
func (f *forwarder) rejectQueued() {
	var origins []NodeID
	var rejected [][]Rejection // by index in origins
	f.r.admission.drain(func(a admitted) {
		i := slices.Index(origins, a.origin)
		if i < 0 {
			i, origins, rejected = len(origins), append(origins, a.origin), append(rejected, nil)
		}
		rejected[i] = append(rejected[i], Rejection{a.ID, NoLeader})
	})
	for i, origin := range origins {
		f.reject(origin, rejected[i])
	}
}

// reject tells the origin what did not happen.
func (f *forwarder) reject(origin NodeID, rejected []Rejection) {
	if origin == f.r.cfg.Self {
		f.r.fx.Rejected = append(f.r.fx.Rejected, rejected...)
		return
	}
	f.r.election.sendTowards(origin, &Message{Kind: Reject, Origin: origin, Rejected: rejected})
}

func (f *forwarder) onReject(m *Message) {
	if m.Origin == f.r.cfg.Self {
		f.r.fx.Rejected = append(f.r.fx.Rejected, m.Rejected...)
		return
	}
	f.r.election.passOn(m)
}
