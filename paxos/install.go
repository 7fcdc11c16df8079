package paxos

// How a member goes on whose peers have trimmed what it needs: the shell fetches a snapshot of a peer's machine and installs it, and the core skips what it covers.

// onTrimmed takes note that somebody has trimmed what was asked for, and asks the next one: somebody may have it still.
func (l *learner) onTrimmed(p *supplier) {
	p.trimmed = true
	l.ask()
}

// transfer asks the shell for a snapshot from a member that has trimmed what is missing, each in turn, and ends the round. The shell may be at it already: the next round asks again, until the prefix moves.
func (l *learner) transfer() {
	for range l.peers {
		donor := l.peers[l.donorNext%len(l.peers)]
		l.donorNext = l.donorNext%len(l.peers) + 1
		if donor.trimmed {
			l.transferFrom(donor.node)
			break
		}
	}
	l.forgetTried()
	l.asked, l.askedAt = true, l.r.now
}

// transferFrom asks for a snapshot; or, without a machine, for leave to skip what nobody has.
func (l *learner) transferFrom(donor NodeID) {
	tr := Transfer{Peer: donor}
	if l.r.cfg.NoMachine {
		if tr.Skip = l.r.retention.skippable(); tr.Skip <= l.prefix {
			return
		}
	}
	l.r.fx.Transfers = append(l.r.fx.Transfers, tr)
}

// onInstalled skips everything up to slot: it is chosen, and the machine has it. Votes above it, and the promise, are as valid as ever: an acceptor that forgot them could let
// two values be chosen.
//
// What has been chosen up to there decides who governs the slots above. A snapshot that does not say so is of no use: this node would count promises and votes of the wrong members.
func (l *learner) onInstalled(slot Slot, known []*Configuration) {
	if !follow(known) {
		panic(Violation("a snapshot of slot %d was installed without the configurations that go with it", slot))
	}
	l.r.membership.adopt(known)
	l.r.retention.onInstalled(slot)
	if slot <= l.prefix {
		l.r.refresh()
		return
	}
	l.r.proposer.onSkipped(slot)
	for s := l.chosen.base; s <= slot && s < l.chosen.end(); s++ {
		if rec := l.at(s); rec != nil {
			l.kept -= rec.Size()
		}
	}
	l.chosen.dropBelow(slot + 1)
	l.r.acceptor.votes.dropBelow(slot + 1)
	l.prefix, l.delivered = slot, slot
	l.moved()
	l.r.refresh()
	l.r.proposer.onPrefix()
	l.advance()
}

// onSkipped resigns if a slot up to the given one may have been chosen with a value of another leader: one that this leader has proposed in without knowing the choice, or that it has
// not come to. It must, before it announces anything, as in onChoice.
func (p *proposer) onSkipped(slot Slot) {
	if p.phase != leading {
		return
	}
	foreign := slot >= p.next
	for s := p.r.learner.prefix + 1; s <= slot && s < p.inflight.end(); s++ {
		if q := p.inflight.get(s); q != nil && q.record != nil && p.r.learner.at(s) == nil {
			foreign = true
		}
	}
	if foreign {
		p.rest()
	}
}
