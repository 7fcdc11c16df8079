package paxos

import (
	"cmp"
	"slices"
)

// retention says what may be forgotten where there are witnesses. A witness votes, and keeps what it has voted for in its log alone: while too few learners hold that, the witness may be the only one beside a disk
// that is about to be lost. So learners say on their heartbeats up to where everything is durable with them, and a slot is released when one more of them holds it than may be lost. Until then nobody trims
// it: neither the witness, nor the learners, from whose logs a witness that was away gets it.
//
// Released is a fact, not an opinion: it is passed on, and never taken back.
type retention struct {
	r        *Replica
	lacking  Slot    // the machine has lost what lies up to here: it holds nothing until that is installed; 0 if it has lost nothing
	claims   []claim // of the members of the configurations that matter
	released Slot    // enough learners hold everything up to here

	secured Slot // this node holds everything up to here, and its log says durably that it is chosen
	noted   Slot // up to here, once the record at notedAt is durable
	notedAt LSN
}

// claim is up to where a member holds everything, in its log or as the state of its machine, durably, and will know after a restart that it does.
type claim struct {
	identity
	held Slot
}

// held returns this node's own claim.
func (rt *retention) held() Slot {
	if rt.r.cfg.NoMachine || rt.lacking > 0 {
		return 0
	}
	if rt.notedAt <= rt.r.gate.durable {
		rt.secured = rt.noted
	}
	return rt.secured
}

// note writes down how far everything is chosen, where others rely on what this node holds. Of the last slots its log has the votes alone: were everybody to restart, after the others have forgotten these
// slots or those who governed them are gone, nobody could tell any more that what they have is chosen.
func (rt *retention) note() {
	delivered, first := rt.r.learner.delivered, rt.r.membership.latest().First
	handsOver := rt.noted+1 < first && first <= delivered+1
	if rt.r.cfg.NoMachine || delivered <= rt.noted || !handsOver && !rt.applies() {
		return
	}
	rt.held()
	rt.noted, rt.notedAt = delivered, rt.r.acceptor.note()
}

// onInstalled takes note that the machine's state holds everything up to a slot.
func (rt *retention) onInstalled(slot Slot) {
	if slot >= rt.lacking {
		rt.lacking = 0
	}
	rt.secured, rt.noted = max(rt.secured, slot), max(rt.noted, slot)
}

// sign puts on a heartbeat what this node holds, and what it knows to be released. Where there is no witness, and nobody was ever a member who is none any more, nobody asks.
func (rt *retention) sign(m *Message) *Message {
	if rt.r.membership.latest().Epoch > 0 {
		m.Slot = rt.held()
	}
	if rt.applies() {
		rt.release()
		m.Slot, m.Upto = rt.held(), rt.released
	}
	return m
}

// applies reports whether there is a witness in a configuration that matters.
func (rt *retention) applies() bool {
	return slices.ContainsFunc(rt.r.governing(), (*Configuration).hasWitness)
}

// hear takes what a member's heartbeat says.
func (rt *retention) hear(from identity, m *Message) {
	if _, member := rt.r.rolesOf(from); !member {
		return
	}
	rt.released = max(rt.released, m.Upto)
	i := slices.IndexFunc(rt.claims, func(c claim) bool { return c.identity == from })
	if i < 0 {
		i, rt.claims = len(rt.claims), append(rt.claims, claim{identity: from})
	}
	rt.claims[i].held = max(rt.claims[i].held, m.Slot)
}

// release raises what is released to what enough learners of each configuration hold.
func (rt *retention) release() {
	slot := rt.r.learner.known()
	for _, config := range rt.r.governing() {
		slot = min(slot, rt.heldBy(config))
	}
	rt.released = max(rt.released, slot)
}

// heldBy returns up to where everything is held by as many learners of a configuration as it takes.
func (rt *retention) heldBy(config *Configuration) Slot {
	var held []Slot
	for _, m := range config.Members {
		if m.Roles&Learner != 0 {
			held = append(held, rt.heldAt(identity{m.ID, m.Incarnation}))
		}
	}
	if len(held) == 0 {
		return 0
	}
	slices.SortFunc(held, func(a, b Slot) int { return cmp.Compare(b, a) })
	return held[config.holders()-1]
}

func (rt *retention) heldAt(who identity) Slot {
	if who == rt.r.identity() {
		return rt.held()
	}
	for _, c := range rt.claims {
		if c.identity == who {
			return c.held
		}
	}
	return 0
}

// onMembership forgets the claims of those who are no members any more.
func (rt *retention) onMembership() {
	rt.claims = slices.DeleteFunc(rt.claims, func(c claim) bool {
		_, member := rt.r.rolesOf(c.identity)
		return !member
	})
}

// limit returns up to which slot this member may trim its log, as far as others are concerned. Who was a witness until the last change keeps what it has voted for until enough of the new learners hold it: they may
// lose a disk, too.
func (rt *retention) limit() Slot {
	switch {
	case rt.applies():
		rt.release()
		return rt.released
	case rt.r.cfg.NoMachine && rt.r.membership.latest().Epoch > 0 && !rt.r.HandedOver():
		return max(rt.released, rt.heldBy(rt.r.membership.latest()))
	}
	return ^Slot(0)
}

// skippable returns up to where a member without a machine, that is behind and finds nobody who has what it lacks, may go on without: a witness, as far as enough learners hold everything, or it was no acceptor
// yet; who has no vote, as far as anybody is.
func (rt *retention) skippable() Slot {
	known := rt.r.learner.known()
	if !rt.r.votes() {
		return known
	}
	configs := rt.r.membership.known
	since := slices.IndexFunc(configs, func(c *Configuration) bool { return c.roles(rt.r.identity())&Acceptor != 0 })
	if since == 0 { // it may have voted in every slot
		return rt.released
	}
	return max(rt.released, min(known, configs[since].First-1))
}
