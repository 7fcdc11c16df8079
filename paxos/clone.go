package paxos

import (
	"maps"
	"slices"
)

// Clone returns a replica in the same state, to be driven apart from r. They share only what never changes: records, messages and configurations. It may be called between
// steps only.
func (r *Replica) Clone() *Replica {
	c := *r
	c.membership.known = slices.Clone(r.membership.known)
	c.acceptor.r, c.acceptor.votes = &c, r.acceptor.votes.clone()
	c.proposer.r, c.proposer.inflight, c.proposer.recovery = &c, r.proposer.inflight.clone(), r.proposer.recovery.clone()
	for i, q := range c.proposer.inflight.items {
		c.proposer.inflight.items[i].owed = slices.Clone(q.owed)
	}
	c.proposer.open = slices.Clone(r.proposer.open)
	c.learner.r, c.learner.chosen, c.learner.peers = &c, r.learner.chosen.clone(), slices.Clone(r.learner.peers)
	c.election.r, c.election.peers = &c, slices.Clone(r.election.peers)
	c.admission = r.admission.clone()
	c.forwarder.r, c.forwarder.outbox = &c, slices.Clone(r.forwarder.outbox)
	c.forwarder.taken, c.forwarder.passed = slices.Clone(r.forwarder.taken), slices.Clone(r.forwarder.passed)
	c.reader = r.reader.clone(&c)
	c.retention.r, c.retention.claims = &c, slices.Clone(r.retention.claims)
	c.gate.held = slices.Clone(r.gate.held)
	c.self = slices.Clone(r.self)
	return &c
}

func (w *window[T]) clone() window[T] { return window[T]{w.base, slices.Clone(w.items)} }

func (rc *recovery) clone() recovery {
	c := *rc
	c.slots = rc.slots.clone()
	for i := range c.slots.items {
		c.slots.items[i].unknown = slices.Clone(c.slots.items[i].unknown)
	}
	c.reporters = slices.Clone(rc.reporters)
	return c
}

func (q *admission) clone() admission {
	c := *q
	c.sources, c.ring = maps.Clone(q.sources), slices.Clone(q.ring)
	for i, s := range c.ring {
		own := *s
		own.queue = slices.Clone(s.queue)
		c.ring[i], c.sources[s.source] = &own, &own
	}
	return c
}

func (rd *reader) clone(r *Replica) reader {
	c := *rd
	c.r = r
	c.waiting, c.reads, c.foreign = slices.Clone(rd.waiting), slices.Clone(rd.reads), slices.Clone(rd.foreign)
	c.round.reads, c.round.foreign = slices.Clone(rd.round.reads), slices.Clone(rd.round.foreign)
	return c
}
