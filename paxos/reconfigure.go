package paxos

// How a leader changes the membership: it proposes the change in a slot j, seals the slots that the old configuration still governs with no-ops, asks the acceptors of the new
// one to report on the slots from j + α on, and goes on there; or hands over, if it is no proposer of the new one.

// onChange takes a change that somebody wants. There is one at a time; it is refused at once if it could not come into force.
func (p *proposer) onChange(a admitted) {
	switch reason := p.judgeChange(a); {
	case reason != 0:
		p.r.forwarder.reject(a.origin, []Rejection{{a.ID, reason}})
	case p.change.Data != nil:
		p.r.forwarder.reject(a.origin, []Rejection{{a.ID, Superseded}})
	default:
		p.change = a
	}
}

// judgeChange returns why a change cannot be proposed next, or 0. What predecessors have proposed must be known first: one of them may have begun a change.
func (p *proposer) judgeChange(a admitted) RejectReason {
	if !p.mayServeReads() {
		return NoLeader
	}
	change, err := DecodeChange(a.Data)
	switch {
	case err != nil:
		return Invalid
	case p.next < p.sealed() || p.seal > p.r.membership.latest().First || !p.r.membership.admits(p.next, change):
		return Superseded
	}
	return 0
}

func (p *proposer) refuseChange(reason RejectReason) {
	if p.change.Data != nil {
		p.r.forwarder.reject(p.change.origin, []Rejection{{p.change.ID, reason}})
		p.change = admitted{}
	}
}

// reconfigure proposes the change that waits, and seals behind it. After it, the next slot is one for commands, or none that may be proposed in yet.
func (p *proposer) reconfigure() {
	if p.change.Data != nil && p.mayPropose(p.next) {
		if reason := p.judgeChange(p.change); reason != 0 {
			p.refuseChange(reason)
			return
		}
		change := p.change
		p.change = admitted{}
		p.seal = p.next + p.r.membership.latest().Window
		p.next++
		p.propose(p.next-1, change.Data)
	}
	for p.phase == leading && p.next < p.sealed() && p.mayPropose(p.next) {
		p.next++
		p.propose(p.next-1, nil)
	}
}

// sealed returns the slot below which nothing but no-ops is proposed any more: the first that a change under way governs, this leader's own or one that it has learned of.
func (p *proposer) sealed() Slot { return max(p.seal, p.r.membership.latest().First) }

// onMembership asks the acceptors of a configuration that has become known. Those of the one before have reported on its slots, too.
func (p *proposer) onMembership() {
	if p.phase != resting {
		p.ask(p.r.membership.latest())
		p.sendPrepare()
		p.widen()
	}
}

// ask lets the acceptors of a configuration report, if this node may propose in its slots.
func (p *proposer) ask(config *Configuration) {
	if config.roles(p.r.identity())&Proposer != 0 {
		p.recovery.ask(config, p.r.undecided())
	}
}

// handOver ends the leadership of a proposer that is none in the configuration in force: everything its own configuration governs is chosen and announced, and a member of the new one takes over.
func (p *proposer) handOver() {
	if p.phase == resting || p.r.roles()&Proposer != 0 {
		return
	}
	if to := p.r.election.successor(); p.phase == leading && to != 0 {
		p.r.send(to, &Message{Kind: TakeOver, Ballot: p.ballot, Chosen: p.r.learner.prefix})
	}
	p.rest()
}

// reconfigure takes a change that this node's callers want to the leader.
func (f *forwarder) reconfigure(change *Change) {
	own := *change
	own.Origin = f.r.cfg.Self
	p := Proposal{ID: own.ID, Data: own.Value()}
	if f.r.proposer.phase != resting {
		f.r.proposer.onChange(admitted{p, f.r.cfg.Self})
		return
	}
	to := f.r.election.route()
	if to == 0 {
		f.reject(f.r.cfg.Self, []Rejection{{p.ID, NoLeader}})
		return
	}
	f.number++
	f.r.send(to, &Message{Kind: Forward, Flag: true, Ballot: f.r.election.seen, Number: f.number, Origin: f.r.cfg.Self, Boot: f.r.election.bootOf(to), Proposals: []Proposal{p}})
}

// HandedOver reports whether the latest configuration is in force, this node has delivered all that was chosen before it, and enough of its learners hold that durably: who is no member any more is needed no longer. It is cheap.
func (r *Replica) HandedOver() bool {
	latest := r.membership.latest()
	return latest.Epoch > 0 && r.config() == latest && min(r.learner.delivered, r.retention.heldBy(latest)) >= latest.First-1
}
