package modelcheck

import (
	"fmt"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// The members of a world are all who may ever take part. The founders are those that do not join later; from then on what is chosen decides. A member whose disk is lost is replaced by another member of the world, which has the same
// node. The one that it replaces is not stopped: that it may take no further step is among all the orders of events, and that it goes on must do no harm either.

// change is of the membership. A client asks for it once; whether it comes to anything depends on what else is chosen.
type change struct {
	replaces uint32 // the epoch
	to       []int  // members, from 1
}

func (m member) joining() member            { m.joins = true; return m }
func (m member) replacing(other int) member { m.joins, m.instead = true, other; return m }
func (m member) changing(replaces uint32, to ...int) member {
	m.changes = append(m.changes[:len(m.changes):len(m.changes)], change{replaces, to})
	return m
}

func (w *World) nodeID(i int) paxos.NodeID {
	if other := w.members[i].instead; other > 0 {
		i = other - 1
	}
	return paxos.NodeID(i + 1)
}

func incarnation(i int) paxos.Incarnation { return paxos.Incarnation(100 + i) }
func acceptor(i int) spec.Acceptor        { return spec.Acceptor(i + 1) }

// nodes returns the members of the world with this node.
func (w *World) nodes(id paxos.NodeID) (nodes []int) {
	for i := range w.members {
		if w.nodeID(i) == id {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

// changes reports whether the membership may.
func (w *World) changing() bool {
	for _, m := range w.members {
		if len(m.changes) > 0 {
			return true
		}
	}
	return false
}

func (w *World) alpha() int {
	if w.window > 0 {
		return w.window
	}
	return w.slots
}

// named returns members as the replicas name them.
func (w *World) named(numbers []int) (members []paxos.Member) {
	for _, n := range numbers {
		members = append(members, paxos.Member{ID: w.nodeID(n - 1), Incarnation: incarnation(n - 1), Roles: w.members[n-1].roles})
	}
	return members
}

func (w *World) founders() (numbers []int) {
	for i, m := range w.members {
		if !m.joins {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// configuration of the founders as the replicas know it.
func (w *World) configuration() *paxos.Configuration {
	c, err := paxos.NewConfiguration(0, w.named(w.founders()), w.phase1, w.phase2)
	if err != nil {
		panic(err)
	}
	return c.WithWindow(w.alpha())
}

// specification of the world as the oracle knows it.
func (w *World) specification() *spec.State {
	founders := w.judged(w.named(w.founders()), w.phase1, w.phase2)
	if !w.changing() {
		return spec.New(founders)
	}
	return spec.NewChanging(founders, spec.Slot(w.alpha()), func(v spec.Value) *spec.Change {
		c, err := paxos.DecodeChange(paxos.Value(v))
		if err != nil {
			return nil
		}
		return &spec.Change{Replaces: c.Replaces, Next: w.judged(c.Members, c.Phase1, c.Phase2)}
	})
}

// judged returns members as the oracle knows them: which sets of acceptors are quorums.
func (w *World) judged(members []paxos.Member, phase1, phase2 int) *spec.Configuration {
	var set spec.Set
	n := 0
	for _, m := range members {
		if m.Roles&paxos.Acceptor != 0 {
			set |= spec.SetOf(acceptor(w.member(m)))
			n++
		}
	}
	if phase1 == 0 {
		phase1, phase2 = n/2+1, n/2+1
	}
	c, err := spec.NewConfiguration(spec.Sized(set, phase1), spec.Sized(set, phase2))
	if err != nil {
		panic(err)
	}
	return c
}

// member returns which member of the world a configuration names.
func (w *World) member(m paxos.Member) int {
	for _, i := range w.nodes(m.ID) {
		if incarnation(i) == m.Incarnation {
			return i
		}
	}
	panic(fmt.Sprintf("modelcheck: world %q has no node %d in incarnation %d", w.Name, m.ID, m.Incarnation))
}

// govern is what it means that somebody knows a configuration.
func (w *World) govern(c *paxos.Configuration) spec.Govern {
	return spec.Govern{Epoch: c.Epoch, First: spec.Slot(c.First), Config: *w.judged(c.Members, c.Phase1, c.Phase2)}
}

// invitations returns those of the members who come with a change.
func (m *model) invitations(rc paxos.Reconfigured, known []*paxos.Configuration) (items []uint32) {
	if rc.Next == nil {
		return nil
	}
	for _, named := range rc.Next.Members {
		if i := m.world.member(named); m.world.members[i].instead > 0 {
			items = append(items, m.invitation(i, known))
		}
	}
	return items
}

// invitation numbers that a member may come, now that it is named, and what it then knows of the membership.
func (m *model) invitation(to int, known []*paxos.Configuration) uint32 {
	return m.intern(fmt.Sprintf("invitation %d %x", to, paxos.AppendConfigurations(nil, known)), func() item {
		return item{to: to, invitation: known, text: "comes"}
	})
}

// come starts a member on an empty disk.
func (s *stepper) come(known []*paxos.Configuration) {
	s.l.known = known
	s.start()
	s.t.goals |= replacementComes
}

// rejected takes note of changes that are refused.
func (s *stepper) rejected(rejections []paxos.Rejection) {
	for _, r := range rejections {
		if r.Reason == paxos.Superseded {
			s.t.goals |= changeIsSuperseded
		}
	}
}

// reconfigured takes note of what has become of changes: what is known of the membership is durable before the machine is given the slots.
func (s *stepper) reconfigured(changes []paxos.Reconfigured) {
	for _, rc := range changes {
		if rc.Next == nil {
			s.t.goals |= changeIsSuperseded
			continue
		}
		s.t.goals |= membershipChanges
		s.keep(s.l.replica.Configurations())
		s.t.items = append(s.t.items, s.m.invitations(rc, s.l.known)...)
	}
}

// keep makes durable what is known of the membership, unless that is the founders' or something newer is.
func (s *stepper) keep(known []*paxos.Configuration) {
	epoch := uint32(0)
	if s.l.known != nil {
		epoch = s.l.known[len(s.l.known)-1].Epoch
	}
	if epoch < known[len(known)-1].Epoch {
		s.l.known = known
	}
}

// claimMembership has what the replica knows of the membership judged, if there is anything new.
func (s *stepper) claimMembership(before uint32) {
	known := s.l.replica.Configurations()
	if known[len(known)-1].Epoch == before {
		return
	}
	for _, c := range known {
		s.claim(s.m.world.govern(c))
	}
}

// noteMembership takes note of what makes a slot that is delivered worth having where the membership changes.
func (s *stepper) noteMembership(slot paxos.Slot) {
	known := s.l.replica.Configurations()
	if latest := known[len(known)-1]; latest.Epoch > 0 && latest.First <= slot {
		s.t.goals |= newMembersChoose
	}
}

// replaces takes note of a vote that takes the place of one for a change.
func (s *stepper) replaces(rec *paxos.Record) {
	if old := lastRecord(s.l.log, rec.Slot); old != nil && old.Value.IsChange() && !rec.Value.IsChange() {
		s.t.goals |= changeIsDropped
	}
}
