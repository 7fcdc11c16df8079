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
	open       []Slot // reported on, or below what is, and still without a proposal; ascending
	epoch      uint32 // of the latest configuration of whose acceptors a phase-1 quorum has reported
	preparedAt int64  // tick of the last Prepare

	recovered Slot             // the highest slot that a predecessor can have had chosen: what the quorums of phase 1 have reported
	next      Slot             // the first slot not yet proposed in, above everything reported
	inflight  window[proposal] // above the chosen prefix
	bytes     int              // of the values in flight
	announced Slot             // the chosen prefix as last announced
	pushed    Slot             // what is chosen up to here has been sent to those who learn and do not vote
	movedAt   int64            // tick at which the chosen prefix or phase 1 last moved, or work began

	change admitted // waits to be proposed; without data there is none
	seal   Slot     // below it, from next on, only no-ops are proposed: they lie between a change of this ballot and what it governs
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
	owed   []admitted // commands, without their bytes, of members that have no machine to tell them what has become of them
}

// prepare begins phase 1 of a new ballot for every slot above the chosen prefix.
func (p *proposer) prepare(ballot Ballot) {
	p.rest()
	p.phase, p.ballot, p.movedAt = preparing, ballot, p.r.now
	p.recovery = newRecovery(p.r.undecided() - 1)
	for _, config := range p.r.governing() {
		p.ask(config)
	}
	p.sendPrepare()
}

func (p *proposer) sendPrepare() {
	p.preparedAt = p.r.now
	for i := range p.recovery.reporters {
		if !p.recovery.reporters[i].done {
			p.askOn(i)
		}
	}
}

// askOn asks a reporter for its next chunk.
func (p *proposer) askOn(i int) {
	to := &p.recovery.reporters[i]
	p.r.send(to.node, &Message{Kind: Prepare, Ballot: p.ballot, Slot: to.cursor})
}

// rest gives up the ballot. What was proposed may yet be chosen; what was only queued never will be.
func (p *proposer) rest() {
	if p.phase == resting {
		return
	}
	p.phase = resting
	p.r.election.happy = false
	p.recovery, p.open = recovery{}, nil
	p.inflight.reset(0)
	p.bytes = 0
	p.seal = 0
	p.refuseChange(NoLeader)
	p.r.forwarder.rejectQueued()
	p.r.reader.onRest()
}

// onPromise counts a report of this very ballot (P2c). Reports that come after the quorum can still settle slots whose votes others have lost.
func (p *proposer) onPromise(from identity, m *Message) {
	if p.phase == resting || m.Ballot != p.ballot || !p.recovery.add(from, m, Slot(p.r.cfg.Limits.ReorderingSlots)) {
		return
	}
	if p.phase == preparing {
		p.movedAt = p.r.now
	}
	p.r.learner.onPeerPrefix(from.node, m.Chosen)
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
		p.askOn(p.recovery.reporter(from))
	case p.phase == preparing:
		p.lead()
	default:
		p.widen()
	}
	p.fill()
}

// lead ends phase 1, if a quorum of the configuration in force has reported. Slots above everything reported are free from now on; the ones below, up to what is known to be chosen, are filled.
func (p *proposer) lead() {
	if config := p.r.config(); !p.recovery.complete(config) || config.roles(p.r.identity())&Proposer == 0 {
		return
	}
	p.phase = leading
	p.movedAt = p.r.now
	p.announced = 0
	p.pushed = p.r.learner.prefix
	p.inflight.reset(p.r.learner.prefix + 1)
	p.epoch = p.r.config().Epoch
	p.next = p.recovery.chosen + 1
	p.recovered = p.r.learner.prefix
	p.settle()
	p.widen()
	p.r.tellAll(p.r.election.question())
}

// widen lets this leader act on the slots of the next configuration, too, if a quorum of it has reported: in those, the reports of another configuration's quorum say nothing.
func (p *proposer) widen() {
	next := p.r.membership.latest()
	if p.phase == leading && next.Epoch > p.epoch && next.roles(p.r.identity())&Proposer != 0 && p.recovery.complete(next) {
		p.epoch = next.Epoch
		p.movedAt = p.r.now
		p.settle()
	}
}

// settle fixes what a quorum has reported: reports that come later are of votes that can never be chosen.
func (p *proposer) settle() {
	high := max(p.recovery.high, p.r.learner.prefix)
	for s := p.next; s <= high; s++ {
		p.open = append(p.open, s)
	}
	p.next = max(p.next, high+1)
	p.recovered = max(p.recovered, high)
}

// mayServeReads reports whether every slot that a predecessor can have had chosen is known to be.
func (p *proposer) mayServeReads() bool {
	return p.phase == leading && p.r.learner.prefix >= p.recovered && p.r.config().Epoch <= p.epoch
}

// fill proposes in the slots that phase 1 left open: what was voted for, or a no-op.
func (p *proposer) fill() {
	if p.phase != leading || len(p.open) == 0 {
		return
	}
	rest := p.open[:0]
	for _, slot := range p.open {
		if slot <= p.recovery.chosen || slot <= p.r.learner.prefix || p.r.learner.at(slot) != nil {
			continue // chosen: the learner sees to it
		}
		if !p.mayPropose(slot) {
			rest = append(rest, slot)
			continue
		}
		value, definite := p.recovery.resolve(slot, p.r.membership.At(slot))
		if !definite {
			rest = append(rest, slot)
			continue
		}
		p.propose(slot, value)
	}
	p.open = rest
}

// mayPropose is the α gate: whoever acts on a slot knows everything up to α slots before it, and so its configuration, and has the reports of a phase-1 quorum of that one.
func (p *proposer) mayPropose(slot Slot) bool {
	return slot <= p.r.learner.prefix+p.r.membership.latest().Window && p.r.membership.At(slot).Epoch <= p.epoch
}

// cut makes batches of what is queued and proposes them. While one of this node's own records is on its way to the disk it waits, and the batch
// grows, unless there is enough for a full one: no timer decides.
func (p *proposer) cut() {
	p.reconfigure()
	q, limits := &p.r.admission, &p.r.cfg.Limits
	for p.phase == leading && q.count > 0 && p.mayPropose(p.next) && p.bytes < limits.InflightBytes {
		if p.busy() && q.bytes < limits.BatchBytes {
			return
		}
		p.next++
		var owed []admitted
		batch := q.take(limits.BatchBytes, func(a *admitted) {
			if p.isBlind(a.origin) {
				owed = append(owed, admitted{Proposal{ID: a.ID}, a.origin})
			}
		})
		p.propose(p.next-1, batch)
		p.inflight.at(p.next - 1).owed = owed
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
	p.r.broadcast(p.r.membership.At(slot), Acceptor, &Message{Kind: Accept, Record: rec})
}

// onAccepted counts votes of this very ballot, once for each acceptor of the slot's configuration (P2 rests on it).
func (p *proposer) onAccepted(from identity, m *Message) {
	if p.phase != leading || m.Ballot != p.ballot {
		return
	}
	for s := max(m.Slot, p.inflight.base); s <= m.Upto && s < p.inflight.end(); s++ {
		q := p.inflight.get(s)
		config := p.r.membership.At(s)
		i := config.place(from)
		if q.record == nil || i < 0 {
			continue
		}
		q.votes = q.votes.with(i)
		if config.IsPhase2Quorum(q.votes) {
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
			p.r.forwarder.decide(q.owed)
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

// announce tells everybody the chosen prefix if no Accept has, and those who get no Accepts what is chosen.
func (p *proposer) announce() {
	p.push()
	if p.phase == leading && p.announced < p.r.learner.prefix {
		p.announced = p.r.learner.prefix
		p.r.tellAll(&Message{Kind: Commit, Ballot: p.ballot, Chosen: p.announced})
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
		if waits := len(p.open) > 0 || p.epoch < p.r.membership.latest().Epoch; waits && p.r.now-p.preparedAt >= int64(p.r.cfg.ResendTicks) {
			p.sendPrepare() // slots whose votes are lost wait for further reports, and so does what the next configuration governs
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
