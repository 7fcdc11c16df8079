package paxos

import "bytes"

// proposer runs phase 1 once and then proposes in as many slots as the window allows. While it leads it is the distinguished proposer.
//
// Invariant: in one ballot it makes at most one proposal for a slot, and sends that same record however often it sends it.
type proposer struct {
	r      *Replica
	phase  phase
	ballot Ballot

	recovery   recovery
	preparedAt int64 // tick of the last Prepare

	recovered Slot             // the highest slot that a predecessor can have had chosen: what the quorum of phase 1 has reported
	next      Slot             // the first slot not yet proposed in, above everything reported
	inflight  window[proposal] // above the chosen prefix
	bytes     int              // of the values in flight
	announced Slot             // the chosen prefix as last announced
	movedAt   int64            // tick at which the chosen prefix or phase 1 last moved, or work began
}

type phase uint8

const (
	resting   phase = iota
	preparing       // phase 1 under way
	leading         // phase 1 done
)

// proposal is what this leader has proposed in a slot. The zero proposal is none.
type proposal struct {
	record *Record
	votes  Set
	sentAt int64
}

// prepare begins phase 1 of a new ballot for every slot above the chosen prefix.
func (p *proposer) prepare(ballot Ballot) {
	p.rest()
	p.phase, p.ballot, p.movedAt = preparing, ballot, p.r.now
	p.recovery = newRecovery(p.r.config(), p.r.learner.prefix)
	p.sendPrepare()
}

func (p *proposer) sendPrepare() {
	p.preparedAt = p.r.now
	for i, member := range p.recovery.config.Members {
		if member.Roles&Acceptor != 0 && !p.recovery.done.has(i) {
			p.r.send(member.ID, &Message{Kind: Prepare, Ballot: p.ballot, Slot: p.recovery.cursor[i]})
		}
	}
}

// rest gives up the ballot. What was proposed may yet be chosen; what was only queued never will be.
func (p *proposer) rest() {
	if p.phase == resting {
		return
	}
	p.phase = resting
	p.r.election.happy = false
	p.recovery = recovery{}
	p.inflight.reset(0)
	p.bytes = 0
	p.r.forwarder.rejectQueued()
	p.r.reader.onRest()
}

// onPromise counts a report of this very ballot (P2c). Reports that come after the quorum can still settle slots whose votes others have lost.
func (p *proposer) onPromise(i int, m *Message) {
	if p.phase == resting || m.Ballot != p.ballot || !p.recovery.add(i, m, Slot(p.r.cfg.Limits.ReorderingSlots)) {
		return
	}
	if p.phase == preparing {
		p.movedAt = p.r.now
	}
	p.r.learner.onPeerPrefix(i, m.Chosen)
	for _, rep := range m.Reports {
		if rep.State == ReportChosen {
			p.r.learner.choose(rep.Record)
		}
	}
	p.r.learner.advance()
	switch {
	case p.phase == resting:
		return
	case !m.Flag:
		p.r.send(p.recovery.config.Members[i].ID, &Message{Kind: Prepare, Ballot: p.ballot, Slot: p.recovery.cursor[i]})
	case p.phase == preparing && p.recovery.complete():
		p.lead()
	}
	p.fill()
}

// lead ends phase 1. Slots above everything reported are free from now on; the ones below, up to what is known to be chosen, are filled.
func (p *proposer) lead() {
	rc := &p.recovery
	p.phase = leading
	p.movedAt = p.r.now
	p.announced = 0
	p.inflight.reset(p.r.learner.prefix + 1)
	p.recovered = max(rc.high, p.r.learner.prefix) // reports that come later are of votes that can never be chosen
	p.next = p.recovered + 1
	for s := rc.chosen + 1; s < p.next; s++ {
		rc.open = append(rc.open, s)
	}
}

// mayServeReads reports whether every slot that a predecessor can have had chosen is known to be.
func (p *proposer) mayServeReads() bool {
	return p.phase == leading && p.r.learner.prefix >= p.recovered
}

// fill proposes in the slots that phase 1 left open: what was voted for, or a no-op.
func (p *proposer) fill() {
	if p.phase != leading || len(p.recovery.open) == 0 {
		return
	}
	rest := p.recovery.open[:0]
	for _, slot := range p.recovery.open {
		if slot <= p.recovery.chosen || slot <= p.r.learner.prefix || p.r.learner.at(slot) != nil {
			continue // chosen: the learner sees to it
		}
		value, definite := p.recovery.resolve(slot)
		if !definite || !p.inWindow(slot) {
			rest = append(rest, slot)
			continue
		}
		p.propose(slot, value)
	}
	p.recovery.open = rest
}

// inWindow is the α gate: whoever acts on a slot knows everything up to α slots before it.
func (p *proposer) inWindow(slot Slot) bool {
	return slot <= p.r.learner.prefix+Slot(p.r.cfg.Limits.WindowSlots)
}

// cut makes batches of what is queued and proposes them. While one of this node's own records is on its way to the disk it waits, and the batch
// grows, unless there is enough for a full one: no timer decides.
func (p *proposer) cut() {
	q, limits := &p.r.admission, &p.r.cfg.Limits
	for p.phase == leading && q.count > 0 && p.inWindow(p.next) && p.bytes < limits.InflightBytes {
		if p.busy() && q.bytes < limits.BatchBytes {
			return
		}
		p.next++
		p.propose(p.next-1, q.take(limits.BatchBytes))
		p.r.runSelf()
	}
}

// busy reports whether a batch should wait for company: this node's disk is at work on the last one, or everybody else's is if this node has no vote.
func (p *proposer) busy() bool {
	return p.r.appended > p.r.gate.durable || p.r.roles()&Acceptor == 0 && p.bytes > 0
}

// propose makes the one proposal of this ballot for a slot ("2a").
func (p *proposer) propose(slot Slot, value Value) {
	if q := p.inflight.at(slot); q.record != nil {
		panic(Violation("ballot %v proposes twice in slot %d", p.ballot, slot))
	}
	if p.bytes == 0 {
		p.movedAt = p.r.now
	}
	rec := &Record{Kind: RecordAccept, Slot: slot, Ballot: p.ballot, Epoch: p.r.membership.At(slot).Epoch, Chosen: p.r.learner.prefix, Value: value}
	*p.inflight.at(slot) = proposal{record: rec, sentAt: p.r.now}
	p.bytes += rec.Size()
	p.announced = max(p.announced, rec.Chosen)
	p.r.broadcast(Acceptor, &Message{Kind: Accept, Record: rec})
}

// onAccepted counts votes of this very ballot, once for each acceptor of the slot's configuration (P2 rests on it).
func (p *proposer) onAccepted(i int, m *Message) {
	if p.phase != leading || m.Ballot != p.ballot {
		return
	}
	for s := max(m.Slot, p.inflight.base); s <= m.Upto && s < p.inflight.end(); s++ {
		q := p.inflight.get(s)
		if q.record == nil {
			continue
		}
		q.votes = q.votes.with(i)
		if p.r.membership.At(s).IsPhase2Quorum(q.votes) {
			p.r.learner.choose(q.record)
		}
	}
	p.r.learner.advance()
}

// onPrefix forgets proposals that are chosen, and goes on filling.
func (p *proposer) onPrefix() {
	if p.phase != leading {
		return
	}
	p.movedAt = p.r.now
	for p.inflight.base <= p.r.learner.prefix {
		if q := p.inflight.get(p.inflight.base); q != nil && q.record != nil {
			p.bytes -= q.record.Size()
		}
		p.inflight.dropBelow(p.inflight.base + 1)
	}
	p.fill()
}

// onChoice resigns if the choice shows that another leader has been at work: its value is not the one this leader proposed in the slot, or this leader has not come that far.
// It must, before it announces anything: a follower takes a slot up to the announced prefix for chosen with the value that this ballot proposed there.
func (p *proposer) onChoice(rec *Record) {
	if p.phase != leading {
		return
	}
	q := p.inflight.get(rec.Slot)
	proposed := q != nil && q.record != nil
	if proposed && !bytes.Equal(q.record.Value, rec.Value) || !proposed && rec.Slot >= p.next {
		p.rest()
	}
}

// onNack learns that a higher ballot is about.
func (p *proposer) onNack(m *Message) { p.r.election.observe(m.Seen) }

// announce tells everybody the chosen prefix if no Accept has.
func (p *proposer) announce() {
	if p.phase == leading && p.announced < p.r.learner.prefix {
		p.announced = p.r.learner.prefix
		for _, member := range p.r.config().Members {
			if member.ID != p.r.cfg.Self {
				p.r.send(member.ID, &Message{Kind: Commit, Ballot: p.ballot, Chosen: p.announced})
			}
		}
	}
}

// stuck reports whether this proposer has got nowhere for the suspicion time: no phase-1 quorum answers, or nothing is chosen of what is in flight, or what its predecessors
// chose cannot be learned. Another ballot, of whoever can, may find an end to it.
func (p *proposer) stuck() bool {
	owing := p.phase == preparing || p.phase == leading && (p.bytes > 0 || !p.mayServeReads())
	return owing && p.r.now-p.movedAt > int64(p.r.cfg.SuspectTicks)
}

// tick sends again what has not been answered.
func (p *proposer) tick() {
	switch p.phase {
	case preparing:
		if p.r.now-p.preparedAt >= int64(p.r.cfg.ResendTicks) {
			p.sendPrepare()
		}
	case leading:
		p.resend()
		if len(p.recovery.open) > 0 && p.r.now-p.preparedAt >= int64(p.r.cfg.ResendTicks) {
			p.sendPrepare() // slots whose votes are lost wait for further reports
		}
	}
}

func (p *proposer) resend() {
	size := 0
	for s := p.inflight.base; s < p.inflight.end() && size < p.r.cfg.Limits.ChunkBytes; s++ {
		q := p.inflight.get(s)
		if q.record == nil || p.r.learner.at(s) != nil || p.r.now-q.sentAt < int64(p.r.cfg.ResendTicks) {
			continue
		}
		q.sentAt = p.r.now
		size += q.record.Size()
		for i, member := range p.r.membership.At(s).Members {
			if member.Roles&Acceptor != 0 && !q.votes.has(i) && member.ID != p.r.cfg.Self {
				p.r.send(member.ID, &Message{Kind: Accept, Record: q.record})
			}
		}
	}
}
