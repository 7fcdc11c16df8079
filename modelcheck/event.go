package modelcheck

import (
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// cause is what happens to a node: one of the events of its world.
type cause struct {
	kind causeKind
	arg  int
}

type causeKind uint8

const (
	delivery causeKind = iota // of the item arg
	takeOver
	command
	read
	sync   // of arg records
	crash  // with arg of the unsynced records kept
	losing // the record at arg in the log, in a crash
	asked  // by the member arg
	gather // the items of the sequence arg
	trim   // the log, up to what is delivered
	wish   // for the next change of the membership
)

// events returns what a node in this state may do by itself.
func (m *model) events(id uint32) []transition {
	l := m.locals[id]
	if l.opened || l.replica == nil {
		return l.own
	}
	var own []transition
	add := func(c cause, do func(*stepper)) {
		if t := m.take(id, c, do); t != nil {
			own = append(own, *t)
		}
	}
	m.clients(l, add)
	m.disk(l, add)
	m.peers(l, add)
	l.own, l.opened = own, true
	return own
}

// clients propose and read, and somebody lets the node take over.
func (m *model) clients(l *local, add func(cause, func(*stepper))) {
	may := &m.world.members[l.node]
	if may.roles&paxos.Proposer == 0 {
		return
	}
	add(cause{kind: takeOver}, func(s *stepper) {
		if s.beyond = int(s.l.replica.Delivered()) >= m.world.slots; s.beyond {
			return // there is nothing left to decide
		}
		s.step(paxos.Event{Kind: paxos.Campaign})
		if !slices.Contains(may.rounds, s.l.replica.Status().Ballot.Round) {
			s.beyond = true
		}
	})
	if l.leads && int(l.commands) < may.commands {
		add(cause{kind: command}, func(s *stepper) {
			s.l.commands++
			s.step(paxos.Event{Kind: paxos.Propose, Proposal: paxos.Proposal{Source: 1, ID: uint64(s.l.commands), Data: l.command()}})
		})
	}
	if l.leads && int(l.wishes) < len(may.changes) {
		add(cause{kind: wish}, func(s *stepper) {
			wanted := may.changes[l.wishes]
			s.l.wishes++
			s.step(paxos.Event{Kind: paxos.Reconfigure, Change: &paxos.Change{Replaces: wanted.replaces, Members: m.world.named(wanted.to), ID: uint64(s.l.wishes)}})
		})
	}
	if int(l.reads) < may.reads {
		add(cause{kind: read}, func(s *stepper) {
			s.l.reads++
			s.t.reads = &readBegan{node: l.node, read: uint64(s.l.reads)}
			s.step(paxos.Event{Kind: paxos.Read, Read: uint64(s.l.reads)})
		})
	}
}

// disk syncs any part of what was appended, or the node dies and its disk keeps any part.
func (m *model) disk(l *local, add func(cause, func(*stepper))) {
	for upto := l.durable + 1; upto <= len(l.log); upto++ {
		add(cause{sync, upto - l.durable}, func(s *stepper) { s.sync(upto) })
	}
	if !m.mayCrash(l) {
		return
	}
	if m.world.snapshots && l.trimmed < l.replica.Delivered() {
		add(cause{kind: trim}, func(s *stepper) { s.l.trimmed = s.l.replica.Delivered() })
	}
	for kept := l.durable; kept <= len(l.log); kept++ {
		add(cause{crash, kept - l.durable}, func(s *stepper) { s.crash(kept, 0) })
	}
	if int(l.losses) >= m.world.members[l.node].losses {
		return
	}
	for i, rec := range l.log[:l.durable] {
		if rec.Kind != paxos.RecordPromise && lastRecord(l.log[:l.durable], rec.Slot) == rec {
			add(cause{losing, i}, func(s *stepper) { s.crash(l.durable, paxos.LSN(i+1)) })
		}
	}
}

// peers ask for what is chosen. Who asks, and when, depends on time alone, so it may be anybody at any time.
func (m *model) peers(l *local, add func(cause, func(*stepper))) {
	if !m.world.members[l.node].serves || l.replica.Delivered() == 0 {
		return
	}
	for i := range m.world.members {
		if i != l.node {
			add(cause{asked, i}, func(s *stepper) { s.receive(i, &paxos.Message{Kind: paxos.Learn, Slot: 1}) })
		}
	}
}

// deliver returns what a message does to a node in this state; nil if nothing.
func (m *model) deliver(id, it uint32) *transition {
	l := m.locals[id]
	if int(it) < len(l.deliver) && l.deliver[it] != nil || l.inert.has(it) {
		return l.deliver[it]
	}
	for len(l.deliver) <= int(it) {
		l.deliver = append(l.deliver, nil)
	}
	from, body, snapshot, known, invitation := m.items[it].from, m.items[it].message, m.items[it].snapshot, m.items[it].known, m.items[it].invitation
	var t *transition
	switch {
	case (invitation == nil) == (l.replica == nil):
		// who has not come is deaf, and nobody comes twice
	case invitation != nil:
		t = m.take(id, cause{delivery, int(it)}, func(s *stepper) { s.come(invitation) })
	case snapshot != 0:
		t = m.take(id, cause{delivery, int(it)}, func(s *stepper) { s.install(snapshot, known) })
	case m.world.late || !m.tooLate(l, body):
		t = m.take(id, cause{delivery, int(it)}, func(s *stepper) { s.receive(from, body) })
	}
	l.deliver[it] = t
	if t == nil {
		l.inert.add(it)
	}
	return t
}

// tooLate reports whether a message comes too late to matter. Where the membership changes promises to who leads do not: it has yet to hear of the next configuration's acceptors.
func (m *model) tooLate(l *local, msg *paxos.Message) bool {
	return msg.Kind == paxos.Promise && l.leads && !m.changing || msg.Kind == paxos.Prepare && msg.Ballot == l.replica.Status().Promised
}

// command is the next that this node's clients propose.
func (l *local) command() []byte { return fmt.Appendf(nil, "%d%c", l.node+1, 'a'+l.commands) }

// happen returns what comes of a cause; nil if nothing, or if it is impossible.
func (m *model) happen(id uint32, c cause) *transition {
	if c.kind == delivery {
		return m.deliver(id, uint32(c.arg))
	}
	if c.kind == gather {
		return m.gather(id, c.arg)
	}
	own := m.events(id)
	for i := range own {
		if own[i].cause == c {
			return &own[i]
		}
	}
	return nil
}

// known returns the transitions of a state that have been asked for.
func (m *model) known(id uint32) (known []*transition) {
	l := m.locals[id]
	for i := range l.own {
		known = append(known, &l.own[i])
	}
	for _, t := range l.deliver {
		if t != nil {
			known = append(known, t)
		}
	}
	for _, t := range l.gathered {
		known = append(known, t)
	}
	return known
}
