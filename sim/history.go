package sim

import (
	"math/bits"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// history is what an omniscient observer sees: each proposal ever made, each promise and vote when it becomes durable, whatever members say of these. It tells all of it to the
// specification, which refuses what Paxos does not allow, and keeps what the probes and the comparison of states need.
//
// A promise or a vote happens when its record is durable. What a crash takes before that was never said to anyone.
type history struct {
	w      *world
	spec   *spec.State
	phase2 int
	slots  []slotHistory // of slot i+1
	said   []announcement
	owners map[paxos.Ballot]owner // of the ballots that have said anything
}

// owner is the process that has begun a ballot.
type owner struct {
	id          paxos.NodeID
	incarnation paxos.Incarnation
	boot        uint32
}

type slotHistory struct {
	ballots []ballotHistory // in the order in which they proposed
	applied bool            // some state machine has applied it,
	digest  uint64          // and was in this state after it
}

// ballotHistory is what was proposed in a slot at one ballot.
type ballotHistory struct {
	ballot paxos.Ballot
	value  spec.Value
	votes  uint64 // members, by bit
}

// announcement is a chosen prefix that a member has said and the specification has accepted.
type announcement struct {
	ballot paxos.Ballot
	chosen paxos.Slot
}

func newHistory(w *world) *history {
	return &history{w: w, spec: w.membership.specification(), phase2: w.config.Phase2, said: make([]announcement, w.cfg.nodes()), owners: map[paxos.Ballot]owner{}}
}

// step tells the specification what a member has done.
func (h *history) step(m *member, a spec.Action) {
	if err := h.spec.Step(a); err != nil {
		h.w.violate("specification", "member %d: %v", m.id, err)
	}
}

func specBallot(b paxos.Ballot) spec.Ballot {
	return spec.Ballot{b.Round, uint64(b.Node), uint64(b.Boot)}
}

func (m *member) acceptor() spec.Acceptor { return m.w.membership.number(m.incarnation) }

// slotsMost bounds the log: a slot beyond it cannot come from the requests of a run.
const slotsMost = 1 << 20

// at returns the history of a slot.
func (h *history) at(slot paxos.Slot) *slotHistory {
	if slot == 0 || slot > slotsMost {
		h.w.violate("slots are dense", "slot %d is spoken of", slot)
		slot = 1
	}
	for int(slot) > len(h.slots) {
		h.slots = append(h.slots, slotHistory{})
	}
	return &h.slots[slot-1]
}

func (s *slotHistory) at(ballot paxos.Ballot) *ballotHistory {
	for i := range s.ballots {
		if s.ballots[i].ballot == ballot {
			return &s.ballots[i]
		}
	}
	return nil
}

// value returns rec's value as the specification has it, without a copy if it has it.
func (s *slotHistory) value(rec *paxos.Record) spec.Value {
	for i := range s.ballots {
		if string(s.ballots[i].value) == string(rec.Value) {
			return s.ballots[i].value
		}
	}
	return spec.Value(rec.Value)
}

// begin takes note of records that a member appends, before anything of them is durable or sent: those of its own ballot begin it, or propose.
func (h *history) begin(m *member, records []*paxos.Record) {
	for _, rec := range records {
		if rec.Ballot.Node != m.id {
			continue
		}
		switch rec.Kind {
		case paxos.RecordPromise:
			h.step(m, spec.Prepare{Ballot: specBallot(rec.Ballot)})
		case paxos.RecordAccept:
			h.propose(m, rec)
		}
	}
}

// propose takes note of a proposal each time it is sent.
func (h *history) propose(m *member, rec *paxos.Record) {
	h.own(m, rec.Ballot)
	s := h.at(rec.Slot)
	b := s.at(rec.Ballot)
	if b != nil && string(b.value) == string(rec.Value) {
		return
	}
	value := s.value(rec)
	h.step(m, spec.Propose{Ballot: specBallot(rec.Ballot), Slot: spec.Slot(rec.Slot), Value: value})
	if b == nil {
		h.probeProposal(s, rec)
		s.ballots = append(s.ballots, ballotHistory{ballot: rec.Ballot, value: value})
	}
}

// own takes note of whose ballot it is: one process's, of one disk.
func (h *history) own(m *member, ballot paxos.Ballot) {
	is := owner{m.id, m.incarnation, m.boot}
	was, ok := h.owners[ballot]
	if ok && was != is || ballot.Node != m.id {
		h.w.violate("a ballot has one proposer", "member %d in incarnation %d and boot %d uses ballot %v, which is of %+v", m.id, m.incarnation, m.boot, ballot, was)
	}
	if !ok {
		h.owners[ballot] = is
	}
}

// durable takes note of a record that has become durable at a member: a promise, a vote, or a learned value.
func (h *history) durable(m *member, rec *paxos.Record) {
	switch rec.Kind {
	case paxos.RecordPromise:
		if !rec.Ballot.IsZero() { // else it says how far everything is chosen, and nothing was promised yet
			h.step(m, spec.Promise{Acceptor: m.acceptor(), Ballot: specBallot(rec.Ballot)})
		}
	case paxos.RecordChosen:
		h.learn(m, rec)
	case paxos.RecordAccept:
		s := h.at(rec.Slot)
		h.step(m, spec.Vote{Acceptor: m.acceptor(), Ballot: specBallot(rec.Ballot), Slot: spec.Slot(rec.Slot), Value: s.value(rec)})
		if b := s.at(rec.Ballot); b != nil {
			b.votes |= 1 << m.acceptor()
			h.probeVote(m, s, b)
		}
	}
}

// learn takes note of a value that a member takes for chosen.
func (h *history) learn(m *member, rec *paxos.Record) {
	h.step(m, spec.Learn{Slot: spec.Slot(rec.Slot), Value: h.at(rec.Slot).value(rec)})
}

// state compares the states of machines after the same slot.
func (h *history) state(m *member, slot paxos.Slot, digest uint64) {
	s := h.at(slot)
	if s.applied && s.digest != digest {
		h.w.violate("equal state at equal slot", "member %d is in state %x after slot %d, another was in %x", m.id, digest, slot, s.digest)
	}
	s.applied, s.digest = true, digest
}

// say takes note of a message when it leaves a member.
func (h *history) say(m *member, msg *paxos.Message) {
	switch msg.Kind {
	case paxos.Prepare:
		h.own(m, msg.Ballot)
		h.step(m, spec.Prepare{Ballot: specBallot(msg.Ballot)})
	case paxos.Promise:
		h.report(m, msg)
	case paxos.Nack:
		h.step(m, spec.Refuse{Acceptor: m.acceptor(), Ballot: specBallot(msg.Ballot), Promised: specBallot(msg.Seen)})
	case paxos.Accept:
		h.propose(m, msg.Record)
		h.announce(m, msg.Record.Ballot, msg.Record.Chosen)
	case paxos.Accepted:
		h.step(m, spec.Accepted{Acceptor: m.acceptor(), Ballot: specBallot(msg.Ballot), First: spec.Slot(msg.Slot), Last: spec.Slot(msg.Upto)})
	case paxos.Commit, paxos.Heartbeat:
		h.announce(m, msg.Ballot, msg.Chosen)
	case paxos.HeartbeatReply:
		h.announce(m, paxos.Ballot{}, msg.Chosen)
	case paxos.Learned:
		h.announce(m, paxos.Ballot{}, msg.Chosen)
		for _, rec := range msg.Records {
			h.learn(m, rec)
		}
	}
}

// announce asks about a chosen prefix, unless the member has just said the same.
func (h *history) announce(m *member, ballot paxos.Ballot, chosen paxos.Slot) {
	last := &h.said[m.index]
	if last.chosen == chosen && (last.ballot == ballot || ballot.IsZero()) {
		return
	}
	h.step(m, spec.Announce{Ballot: specBallot(ballot), Upto: spec.Slot(chosen)})
	*last = announcement{ballot, chosen}
}

func (h *history) report(m *member, msg *paxos.Message) {
	r := spec.Report{Acceptor: m.acceptor(), Ballot: specBallot(msg.Ballot), First: spec.Slot(msg.Slot), Last: spec.Slot(msg.Upto), Chosen: spec.Slot(msg.Chosen)}
	if msg.Flag {
		r.Last = spec.EverySlot
	}
	for _, rep := range msg.Reports {
		v := spec.ReportedVote{Slot: spec.Slot(rep.Slot), Ballot: specBallot(rep.Ballot), Lost: rep.State == paxos.ReportUnknown, Chosen: rep.State == paxos.ReportChosen}
		if rep.Record != nil {
			v.Value = h.at(rep.Slot).value(rep.Record)
		}
		if rep.State == paxos.Voted && rep.Ballot == msg.Ballot {
			h.reportOwn(m, rep)
			v.Lost = true
		}
		r.Votes = append(r.Votes, v)
	}
	h.step(m, r)
}

// reportOwn takes note of a vote that is told to its own proposer in answer to a Prepare repeated. It need not be durable, and of what
// it has overwritten it says no more than a lost vote does.
func (h *history) reportOwn(m *member, rep paxos.Report) {
	if b := h.at(rep.Slot).at(rep.Ballot); b == nil || string(b.value) != string(rep.Record.Value) {
		h.w.violate("a reported vote is for a proposal", "member %d reports a vote at %v in slot %d for what nobody has proposed", m.id, rep.Ballot, rep.Slot)
	}
}

// restart takes note of what an acceptor promises when it boots: what its records say, or its vital state, which is written before them.
func (h *history) restart(m *member, promised paxos.Ballot) {
	h.step(m, spec.Recover{Acceptor: m.acceptor(), Promised: specBallot(promised)})
	if !promised.IsZero() {
		h.step(m, spec.Promise{Acceptor: m.acceptor(), Ballot: specBallot(promised)})
	}
}

// find returns where a command was proposed, and in what record; the zero place if it never was.
func (h *history) find(attempt uint64) (place, *paxos.Record) {
	for slot := len(h.slots); slot > 0; slot-- {
		for _, b := range h.slots[slot-1].ballots {
			number, at := 0, place(0)
			rec := &paxos.Record{Kind: paxos.RecordAccept, Slot: paxos.Slot(slot), Ballot: b.ballot, Value: paxos.Value(b.value)}
			err := rec.Value.Commands(func(bytes []byte) {
				if c, err := decodeCommand(bytes); err == nil && c.attempt == attempt {
					at = placeOf(rec.Slot, number)
				}
				number++
			})
			if err == nil && at != 0 {
				return at, rec
			}
		}
	}
	return 0, nil
}

// isChosen reports whether the votes for a value in a slot are enough.
func (h *history) isChosen(b *ballotHistory) bool { return bits.OnesCount64(b.votes) >= h.phase2 }
