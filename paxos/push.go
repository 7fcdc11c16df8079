package paxos

import "slices"

// push sends what is newly chosen to those who learn and do not vote: no Accept brings it to them. What gets lost, or was chosen before this leader began, they ask for as everybody does.
func (p *proposer) push() {
	l := &p.r.learner
	if p.phase != leading || p.pushed >= l.prefix {
		return
	}
	from := max(p.pushed+1, l.chosen.base)
	p.pushed = l.prefix
	to := p.audience()
	for len(to) > 0 && from <= l.prefix {
		m := &Message{Kind: Learned, Flag: true}
		for size := 0; from <= l.prefix; from++ {
			rec := l.at(from)
			if size += rec.Size(); len(m.Records) > 0 && size > p.r.cfg.Limits.ChunkBytes {
				break
			}
			m.Records = append(m.Records, rec)
			m.Chosen = from
		}
		for _, id := range to {
			p.r.send(id, m)
		}
	}
}

// audience returns those who learn without a vote, and can be heard.
func (p *proposer) audience() (to []NodeID) {
	for _, config := range p.r.governing() {
		for _, m := range config.Members {
			if m.Roles&Learner != 0 && m.Roles&Acceptor == 0 && p.r.election.connected(m.ID) && !slices.Contains(to, m.ID) {
				to = append(to, m.ID)
			}
		}
	}
	return to
}

// isBlind reports whether a member does not learn what becomes of its commands.
func (p *proposer) isBlind(origin NodeID) bool {
	if origin == p.r.cfg.Self {
		return false
	}
	config := p.r.config()
	i := config.Index(origin)
	return i >= 0 && config.Members[i].Roles&Learner == 0
}

// decide tells members that have no machine which of their commands are chosen. If the message is lost, or the leader changes before, they never know.
func (f *forwarder) decide(owed []admitted) {
	for len(owed) > 0 {
		origin := owed[0].origin
		m := &Message{Kind: Decided, Origin: origin}
		rest := owed[:0:0]
		for _, a := range owed {
			if a.origin == origin {
				m.Proposals = append(m.Proposals, Proposal{ID: a.ID})
			} else {
				rest = append(rest, a)
			}
		}
		f.r.election.sendTowards(origin, m)
		owed = rest
	}
}

// onDecided takes the leader's word where there is no machine. One that has a machine is told as well while the configuration in force does not say yet that it learns: it waits for its machine's own answer.
func (f *forwarder) onDecided(m *Message) {
	if m.Origin != f.r.cfg.Self {
		f.r.election.passOn(m)
		return
	}
	if !f.r.cfg.NoMachine {
		return
	}
	for _, p := range m.Proposals {
		f.r.fx.Decided = append(f.r.fx.Decided, p.ID)
	}
}
