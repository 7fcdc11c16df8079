package paxos

import "slices"

// What a replica knows of the membership, and whom it therefore listens to.

// view is the membership as the roles were last told, and this node's place in it.
type view struct {
	latest, inForce uint32 // epochs
	member          bool   // of a configuration that governs slots which may be undecided
	removed         bool   // it was one, and is none any more
}

func (r *Replica) identity() identity { return identity{r.cfg.Self, r.cfg.Incarnation} }

// undecided returns the first slot that may be undecided, as far as this node knows.
func (r *Replica) undecided() Slot { return max(r.learner.prefix, r.membership.settled()) + 1 }

// config is the configuration in force: that of the first slot that may be undecided.
func (r *Replica) config() *Configuration { return r.membership.At(r.undecided()) }

// governing returns the configurations of the slots that may be undecided: the one in force, and the one that waits if there is one.
func (r *Replica) governing() []*Configuration {
	known := r.membership.known
	return known[slices.Index(known, r.config()):]
}

// roles are this node's in the configuration in force.
func (r *Replica) roles() Role { return r.config().roles(r.identity()) }

// votes reports whether this node is an acceptor in a configuration that governs slots which may be undecided.
func (r *Replica) votes() bool {
	roles, _ := r.rolesOf(r.identity())
	return roles&Acceptor != 0
}

// rolesOf returns the roles that somebody has in any configuration that governs slots which may be undecided, and whether he is a member of one.
func (r *Replica) rolesOf(who identity) (roles Role, member bool) {
	for _, config := range r.governing() {
		if i := config.place(who); i >= 0 {
			roles, member = roles|config.Members[i].Roles, true
		}
	}
	return roles, member
}

// incarnation returns in which incarnation a node is a member, first of the configuration in force; 0 if it is none, or merely invited.
func (r *Replica) incarnation(id NodeID) Incarnation {
	for _, config := range r.governing() {
		if i := config.Index(id); i >= 0 && config.Members[i].Incarnation != 0 {
			return config.Members[i].Incarnation
		}
	}
	return 0
}

// others returns the members but this node, of all configurations that matter, those in force first.
func (r *Replica) others() []NodeID {
	var ids []NodeID
	for _, config := range r.governing() {
		for _, m := range config.Members {
			if m.ID != r.cfg.Self && !slices.Contains(ids, m.ID) {
				ids = append(ids, m.ID)
			}
		}
	}
	return ids
}

// hears reports whether this node listens to a message. From anybody in the cluster, be it on another disk than this node knows of, it takes what is true whoever says it, that a slot is chosen, and helps him to catch
// up: while it was away, all others may have become members on other disks, or none. But nobody who is no member can raise a ballot here, or have anything done. Promises, votes and acknowledgements are counted
// by the roles, who know the configuration that they are for, and its disks.
func (r *Replica) hears(from identity, m *Message) bool {
	roles, member := r.rolesOf(from)
	if m.Origin != 0 && r.incarnation(m.Origin) == 0 && m.Origin != r.cfg.Self {
		return false
	}
	switch m.Kind {
	case Prepare, Accept, ReadProbe:
		return roles&Proposer != 0
	case Nack:
		return roles&Acceptor != 0
	case Forward, Reject, Decided, ReadRequest, ReadReply:
		return member
	}
	return true
}

// beginView looks at the membership for the first time. Who was a founder, or is known to have been a member, may have been removed.
func (r *Replica) beginView() {
	r.view.latest, r.view.inForce = r.membership.latest().Epoch, r.config().Epoch
	r.view.member = r.cfg.Founders != nil && r.cfg.Founders.place(r.identity()) >= 0 || r.membership.known[0].place(r.identity()) >= 0
	r.judgeSelf()
}

// refresh tells the roles if another configuration is known, or in force, than when they were last told.
func (r *Replica) refresh() {
	latest, inForce := r.membership.latest().Epoch, r.config().Epoch
	if latest == r.view.latest && inForce == r.view.inForce {
		return
	}
	newer := latest != r.view.latest
	r.view.latest, r.view.inForce = latest, inForce
	r.judgeSelf()
	r.election.onMembership()
	r.learner.onMembership()
	r.retention.onMembership()
	if newer {
		r.proposer.onMembership()
	}
}

// judgeSelf looks whether this node is a member still.
func (r *Replica) judgeSelf() {
	was := r.view.member
	_, r.view.member = r.rolesOf(r.identity())
	if r.view.member == was {
		return
	}
	r.view.removed = was
	if was && !r.restoring() {
		r.fx.Removed = true
	}
}
