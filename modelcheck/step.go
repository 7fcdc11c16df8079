package modelcheck

import (
	"errors"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// stepper drives a node through one event of the world, with the real code, and writes down what comes of it.
type stepper struct {
	m       *model
	l       *local
	t       transition
	beyond  bool // outside of the world's bounds
	applied paxos.Slot
}

// take returns the transition of an event, or nil if the world's bounds do not let it happen or nothing comes of it.
func (m *model) take(from uint32, c cause, do func(s *stepper)) *transition {
	s := stepper{m: m, l: m.locals[from].clone()}
	s.t.cause = c
	s.l.born, s.l.before, s.l.how = true, from, c
	if s.l.replica != nil {
		s.applied = s.l.replica.Delivered()
	}
	s.run(do)
	if s.beyond {
		return nil
	}
	if s.t.wrong == "" {
		s.t.to = m.number(s.l)
	}
	if s.t.to == from && len(s.t.items) == 0 && s.t.reads == nil && s.t.wrong == "" {
		return nil
	}
	return &s.t
}

// run makes a violation that the core notices itself part of the transition.
func (s *stepper) run(do func(s *stepper)) {
	defer func() {
		if r := recover(); r != nil {
			v, ok := r.(paxos.ViolationError)
			if !ok {
				panic(r)
			}
			s.t.wrong = v.Error()
		}
	}()
	do(s)
}

// step gives the replica an event and tells it that no more is at hand. Where the disk is quick, it syncs what was written; and so it does where no crash can tell the difference any more.
func (s *stepper) step(ev paxos.Event) {
	s.stepOnce(ev)
	s.stepOnce(paxos.Event{Kind: paxos.Idle})
	for (s.m.world.disk == atOnce || !s.m.mayCrash(s.l)) && s.l.durable < len(s.l.log) {
		s.sync(len(s.l.log))
	}
}

func (s *stepper) sync(upto int) {
	for _, rec := range s.l.log[s.l.durable:upto] {
		s.durable(rec)
	}
	s.l.durable = upto
	s.stepOnce(paxos.Event{Kind: paxos.Durable, LSN: paxos.LSN(upto)})
	s.stepOnce(paxos.Event{Kind: paxos.Idle})
}

func (s *stepper) durable(rec *paxos.Record) {
	if rec.Kind == paxos.RecordChosen {
		return // judged when it was appended
	}
	s.t.items = append(s.t.items, s.m.record(s.l.node, rec))
}

func (s *stepper) claim(a spec.Action) { s.t.said = append(s.t.said, saying{action: a}) }

func (s *stepper) stepOnce(ev paxos.Event) {
	var fx paxos.Effects
	before := s.l.replica.Status()
	s.l.replica.Step(ev, &fx)
	if len(fx.Fetches) > 0 {
		panic("modelcheck: a replica wants records that it should still have in memory")
	}
	for _, rec := range fx.Records {
		s.replaces(rec)
		s.l.log = append(s.l.log, rec)
		if rec.Kind == paxos.RecordChosen {
			s.claim(learn(rec))
		}
	}
	s.claimMembership(before.Latest)
	for _, out := range fx.Messages {
		if s.m.isBeyond(out.Message) {
			s.beyond = true
			return
		}
		s.send(out)
	}
	s.reconfigured(fx.Reconfigured)
	s.rejected(fx.Rejected)
	for _, rec := range fx.Chosen {
		s.deliver(rec)
	}
	for _, r := range fx.Reads {
		s.t.said = append(s.t.said, saying{served: &readServed{s.l.node, r.Read, r.Slot}})
		s.t.goals |= readIsServed
	}
	if before.Leads && !s.l.replica.Status().Leads {
		s.t.goals |= leaderIsDeposed
	}
}

func (s *stepper) send(out paxos.Outgoing) {
	m := out.Message
	if m.Kind == paxos.Heartbeat {
		return // whoever may lead does so at any time: a world needs no election, and what is chosen is announced by Commit as well
	}
	if m.Kind == paxos.Accept {
		s.proposed(m.Record)
	}
	for _, kind := range s.m.world.lost {
		if m.Kind == kind {
			s.t.said = append(s.t.said, sent(s.l.node, m)...)
			return
		}
	}
	for _, to := range s.m.world.nodes(out.To) {
		if to != s.l.node {
			s.t.items = append(s.t.items, s.m.message(s.l.node, to, m))
		}
	}
}

// isBeyond reports whether a message is about a slot above the world's.
func (m *model) isBeyond(msg *paxos.Message) bool {
	return msg.Kind == paxos.Accept && int(msg.Record.Slot) > m.world.slots
}

// proposed takes note of what makes a proposal worth having in a world.
func (s *stepper) proposed(rec *paxos.Record) {
	switch {
	case rec.Value.IsNoop():
		s.t.goals |= holeIsFilled
	case author(rec.Value) != s.m.world.nodeID(s.l.node):
		s.t.goals |= valueIsAdopted
	}
}

// deliver is the state machine: it takes slots in order, each durable in the node's own log.
func (s *stepper) deliver(rec *paxos.Record) {
	if rec.Slot != s.applied+1 {
		panic(paxos.Violation("slot %d is delivered after slot %d", rec.Slot, s.applied))
	}
	s.applied = rec.Slot
	if s.m.world.snapshots {
		s.offer(rec.Slot)
	}
	if rec.Slot <= s.l.trimmed {
		return // the snapshot had it
	}
	if last := lastRecord(s.l.log[:s.l.durable], rec.Slot); last == nil || string(last.Value) != string(rec.Value) {
		panic(paxos.Violation("slot %d is delivered and its value is not the last one durable in the log", rec.Slot))
	}
	s.claim(learn(rec))
	s.noteMembership(rec.Slot)
	if st := s.l.replica.Status(); st.Leads && st.Ballot.Round > 1 {
		s.t.goals |= chosenLater
	}
	if s.m.reads {
		s.t.items = append(s.t.items, s.m.acknowledged(rec.Slot))
	}
}

// start boots the node from its log, and applies what the log says is chosen.
func (s *stepper) start() {
	s.m.boot(s.l)
	s.claimMembership(0)
	for slot := s.l.trimmed + 1; slot <= s.l.replica.Delivered(); slot++ {
		rec := lastRecord(s.l.log, slot)
		if rec == nil {
			panic(paxos.Violation("slot %d is restored as chosen and not in the log", slot))
		}
		s.claim(learn(rec))
	}
	if s.m.world.acquainted {
		for i := range s.m.world.members {
			if i != s.l.node {
				number := uint64(s.l.crashes+1) << 32
				s.receive(i, &paxos.Message{Kind: paxos.HeartbeatReply, Number: number, Boot: 1})
			}
		}
	}
}

func (s *stepper) receive(from int, m *paxos.Message) {
	s.step(paxos.Event{Kind: paxos.Received, From: s.m.world.nodeID(from), Incarnation: incarnation(from), Message: m})
}

// crash ends the node with this much of its log on the disk, and starts it again.
func (s *stepper) crash(kept int, lost paxos.LSN) {
	for _, rec := range s.l.log[kept:] {
		switch rec.Kind {
		case paxos.RecordAccept:
			s.t.goals |= voteIsLost
		case paxos.RecordPromise:
			s.t.goals |= promiseIsLost
		}
	}
	s.t.crash = true
	if s.l.trimmed > 0 {
		s.t.goals |= trimmedRestarts
	}
	s.l.crashes++
	if lost != 0 {
		s.l.losses++
		s.l.lost = lost
		s.t.goals |= recordIsLost
	}
	for _, rec := range s.l.log[s.l.durable:kept] {
		s.durable(rec)
	}
	s.l.log = s.l.log[:kept:kept]
	s.start()
	s.applied = s.l.replica.Delivered()
	promised := ballotOf(s.l.replica.Status().Promised)
	s.claim(spec.Recover{Acceptor: acceptor(s.l.node), Promised: promised})
}

var errUnknownAuthor = errors.New("modelcheck: a value that no member of this world has proposed")

// author returns the node of the member whose command, or wish for a change, a value holds.
func author(v paxos.Value) (node paxos.NodeID) {
	if c, err := paxos.DecodeChange(v); err == nil {
		return c.Origin
	}
	if err := v.Commands(func(command []byte) { node = paxos.NodeID(command[0] - '0') }); err != nil || node == 0 {
		panic(errUnknownAuthor)
	}
	return node
}
