package sim

import (
	"math/rand/v2"
	"slices"

	"synod.dev/synod/paxos"
)

// workload is the clients, and what they can tell. Each request has a place in the order of all: a write where it is applied, a read after the last slot applied where it is
// served. Linearizable is: that place lies above the places of all requests that were answered before it began.
type workload struct {
	w        *world
	rand     *rand.Rand
	attempts []attempt // by number; 0 is none
	answered place     // the highest place of any request that has been answered
	reads    uint64    // the last one's number
	acked    int64     // writes
	clients  []*client // with sessions
	model    *model    // of these; nil without any
	served   int64     // reads
}

// place is a slot and the number of a command in it: slot << 16 | number. That of a read is the last one of its slot.
type place uint64

func placeOf(slot paxos.Slot, number int) place { return place(slot)<<16 | place(min(number, 0xfffe)) }
func endOf(slot paxos.Slot) place               { return place(slot)<<16 | 0xffff }
func (p place) slot() paxos.Slot                { return paxos.Slot(p >> 16) }

// write is a client's command. It is attempted again, under another number, only if the attempt before certainly did not happen.
type write struct {
	began    int64
	after    place // of what had been answered when it began
	at       place // where it was applied, by anyone; 0 if nobody has
	command  command
	padding  int
	source   uint64
	attempt  uint64       // the latest
	given    paxos.Ballot // the leader's when it was proposed
	forsaken bool         // its member has crashed, or the client has given up
}

// attempt is one proposal of a write.
type attempt struct {
	write    *write
	request  *request // of a session; then there is no write
	at       place    // where it was applied
	rejected bool
}

// readRequest is a client's read.
type readRequest struct {
	number uint64
	after  place
	ready  bool
	slot   paxos.Slot // when ready: it may be served once this is applied
}

// requestsMost bounds what one member's clients wait for at a time.
const requestsMost = 32

func newWorkload(w *world) *workload {
	l := &workload{w: w, rand: derive(w.seed, "workload", 0), attempts: make([]attempt, 1)}
	for range w.cfg.Sessions {
		l.clients, l.model = append(l.clients, &client{}), newModel()
	}
	return l
}

func (l *workload) wait() int64 { return 1 + around(l.rand, l.w.cfg.RequestMean) }

// draw returns the next request.
func (l *workload) draw() Action {
	a := Action{At: l.w.now, Kind: Write, Member: l.rand.IntN(len(l.w.members)), Draw: l.rand.Uint64()}
	if perMille(l.rand, l.w.cfg.ReadShare) {
		a.Kind = Read
	}
	if perMille(l.rand, l.w.cfg.SessionShare) {
		a.Kind = Call
	}
	return a
}

// write begins a client's write at a member.
func (l *workload) write(m *member, draw uint64) *write {
	if !m.serves() || len(m.writes) >= requestsMost {
		return nil
	}
	r := rand.New(rand.NewPCG(draw, 0))
	wr := &write{began: l.w.now, after: l.answered, source: uint64(r.IntN(l.w.cfg.Sources)), padding: r.IntN(l.w.cfg.ValueBytes)}
	wr.command = command{register: uint8(r.IntN(16)), value: draw | 1}
	if oneIn(r, 4) {
		wr.command.expects = m.machine.registers[wr.command.register]
	}
	m.writes = append(m.writes, wr)
	l.propose(m, wr)
	return wr
}

// propose hands a write to its member, as another attempt.
func (l *workload) propose(m *member, wr *write) {
	wr.attempt = uint64(len(l.attempts))
	wr.command.attempt = wr.attempt
	if l.model != nil {
		wr.command.time = m.clock()
	}
	_, wr.given = m.replica.Leader()
	l.attempts = append(l.attempts, attempt{write: wr})
	m.step(paxos.Event{Kind: paxos.Propose, Proposal: paxos.Proposal{Source: wr.source, ID: wr.attempt, Data: wr.command.encode(wr.padding)}})
}

// read begins a client's read at a member.
func (l *workload) read(m *member) bool {
	if !m.serves() || m.bare || len(m.reads) >= requestsMost {
		return false
	}
	l.reads++
	m.reads = append(m.reads, readRequest{number: l.reads, after: l.answered})
	m.step(paxos.Event{Kind: paxos.Read, Read: l.reads})
	return true
}

// applied takes note that a member has applied a command, and what came of it, and answers its client if that waits there.
func (l *workload) applied(m *member, rec *paxos.Record, number int, c command, o outcome) {
	at := placeOf(rec.Slot, number)
	if c.attempt == 0 || c.attempt >= uint64(len(l.attempts)) {
		l.w.violate("only what was asked for happens", "member %d applies attempt %d, which nobody has made", m.id, c.attempt)
		return
	}
	t := &l.attempts[c.attempt]
	switch {
	case t.rejected:
		l.w.violate("what was rejected never happens", "member %d applies attempt %d in slot %d, which was said not to have happened", m.id, c.attempt, rec.Slot)
	case t.at != 0 && t.at != at, t.write != nil && t.write.at != 0 && t.write.at != at:
		l.w.violate("at most once", "member %d applies attempt %d in slot %d, it has been applied in another", m.id, c.attempt, rec.Slot)
	case t.write != nil && at <= t.write.after:
		l.w.violate("linearizable writes", "attempt %d is applied in slot %d, and slot %d had been answered when it began", c.attempt, rec.Slot, t.write.after.slot())
	}
	l.outcome(m, at, c, o)
	if t.request != nil {
		t.at = at
		return
	}
	if t.at == 0 {
		t.at, t.write.at = at, at
		if t.write.forsaken {
			l.w.reach(appliedUnknown)
		}
		if rec.Ballot != t.write.given && rec.Kind == paxos.RecordAccept {
			l.w.reach(commandAdopted)
		}
	}
	l.answer(m, t.write, at)
}

// decided takes note that a member without a machine is told that a command is chosen, and answers its client.
func (l *workload) decided(m *member, number uint64) {
	t := &l.attempts[number]
	if t.write == nil || !slices.Contains(m.writes, t.write) {
		return // told once more
	}
	at, rec := l.w.history.find(number)
	if at == 0 {
		l.w.violate("what is said to be chosen is", "member %d is told that attempt %d is chosen, which nobody has proposed", m.id, number)
		return
	}
	l.w.history.learn(m, rec)
	l.w.reach(gatewayTold)
	l.answer(m, t.write, at)
}

// answer tells a client that its write has happened, if it waits at this member.
func (l *workload) answer(m *member, wr *write, at place) {
	for i, waiting := range m.writes {
		if waiting == wr {
			m.writes = append(m.writes[:i], m.writes[i+1:]...)
			l.answered = max(l.answered, at)
			l.acked++
			return
		}
	}
}

// rejected takes note that a command did not happen. For want of a leader it will be tried again.
func (l *workload) rejected(m *member, rj paxos.Rejection) {
	if rj.ID >= wishBase {
		l.w.membership.rejected(rj)
		return
	}
	t := &l.attempts[rj.ID]
	again := t.rejected // the network may repeat the news
	t.rejected = true
	if t.at != 0 {
		l.w.violate("what was rejected never happens", "attempt %d is said not to have happened and was applied in slot %d", rj.ID, t.at.slot())
	}
	if again {
		return
	}
	if t.request != nil {
		if t.request.attempt == rj.ID { // it is tried again at once
			t.request.at = l.w.now - l.w.cfg.SessionPatience
		}
		return
	}
	for i, waiting := range m.writes {
		if waiting != t.write {
			continue
		}
		if rj.Reason == paxos.NoLeader {
			l.w.reach(rejectedNoLeader)
			m.retries = append(m.retries, t.write)
		} else {
			l.w.reach(rejectedOverloaded)
			t.write.forsaken = true
			m.writes = append(m.writes[:i], m.writes[i+1:]...)
		}
		return
	}
}

// retry proposes again what did not happen, once there may be a leader.
func (l *workload) retry(m *member) {
	if len(m.retries) == 0 || !m.replica.KnowsWay() {
		return
	}
	retries := m.retries
	m.retries = nil
	for _, wr := range retries {
		if m.up() && !wr.forsaken {
			l.propose(m, wr)
		}
	}
}

// giveUp lets clients of a member go that have waited for too long: whether their writes happen they never learn.
func (l *workload) giveUp(m *member) {
	rest := m.writes[:0]
	for _, wr := range m.writes {
		if l.w.now-wr.began > l.w.cfg.Patience {
			wr.forsaken = true
		} else {
			rest = append(rest, wr)
		}
	}
	m.writes = rest
}

// ready takes note of the slot after which a read may be served.
func (l *workload) ready(m *member, rr paxos.ReadReady) {
	for i := range m.reads {
		if m.reads[i].number == rr.Read {
			m.reads[i].ready, m.reads[i].slot = true, rr.Slot
			if rr.Slot < m.reads[i].after.slot() {
				l.w.violate("linearizable reads", "a read at member %d is to be served after slot %d, and slot %d had been answered when it began", m.id, rr.Slot, m.reads[i].after.slot())
			}
		}
	}
	l.serve(m)
}

// serve answers the reads whose slot is applied.
func (l *workload) serve(m *member) {
	rest := m.reads[:0]
	for _, rd := range m.reads {
		if !rd.ready || m.machine.applied < rd.slot {
			rest = append(rest, rd)
			continue
		}
		if m.machine.applied < rd.after.slot() {
			l.w.violate("linearizable reads", "a read at member %d sees slot %d, and slot %d had been answered when it began", m.id, m.machine.applied, rd.after.slot())
		}
		l.answered = max(l.answered, endOf(m.machine.applied))
		l.served++
		if leader, _ := m.replica.Leader(); leader != m.id {
			l.w.reach(readAtFollower)
			if m.roles() == paxos.Learner {
				l.w.reach(readAtReplica)
			}
		}
	}
	m.reads = rest
}
