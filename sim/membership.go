package sim

import (
	"math/rand/v2"
	"slices"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// Where a cluster has spare nodes its membership changes. Administrators, who know nothing of each other, ask any member at any time; members lose their disks for good and come back
// in another incarnation, which is another member. What is chosen decides, and the specification works out by itself who governs.

// membership is what a run knows of its configurations.
type membership struct {
	w        *world
	made     []*paxos.Configuration // by epoch: those that anybody has been told of, each found right by the specification
	wishes   []wish                 // by number
	lost     map[paxos.Incarnation]bool
	acceptor map[paxos.Incarnation]spec.Acceptor // incarnations are unique over all nodes
	handed   uint32                              // epochs below this one have been handed over: nobody needs their members any more
}

// wish is a change that somebody has asked for.
type wish struct {
	change  *paxos.Change
	next    *paxos.Configuration // what it would lead to
	refused bool
}

const (
	wishBase = 1 << 62 // wishes are numbered from here, attempts of commands from 1

	incarnationStep = 1 << 50 // between two incarnations of a node: the boots of all lie apart, and those of the later ones are the lower ones but for the founders
	lossesMost      = 40      // of disks, in a run: with the nodes there are, the specification can tell so many acceptors apart
)

func newMembership(w *world) *membership {
	return &membership{w: w, made: []*paxos.Configuration{w.config}, lost: map[paxos.Incarnation]bool{}, acceptor: map[paxos.Incarnation]spec.Acceptor{}}
}

// number returns how the specification knows an acceptor.
func (s *membership) number(who paxos.Incarnation) spec.Acceptor {
	a, ok := s.acceptor[who]
	if !ok {
		a = spec.Acceptor(len(s.acceptor))
		s.acceptor[who] = a
	}
	return a
}

// judged returns a configuration as the specification knows it.
func (s *membership) judged(c *paxos.Configuration) *spec.Configuration {
	var acceptors spec.Set
	for _, m := range c.Members {
		if m.Roles&paxos.Acceptor != 0 {
			acceptors |= spec.SetOf(s.number(m.Incarnation))
		}
	}
	judged, err := spec.NewConfiguration(spec.Sized(acceptors, c.Phase1), spec.Sized(acceptors, c.Phase2))
	if err != nil {
		panic(err)
	}
	return judged
}

// specification returns the specification before anything has happened.
func (s *membership) specification() *spec.State {
	if s.w.cfg.Spares == 0 {
		return spec.New(s.judged(s.w.config))
	}
	return spec.NewChanging(s.judged(s.w.config), spec.Slot(s.w.cfg.Window), func(v spec.Value) *spec.Change {
		if len(v) == 0 || v[0] != paxos.ValueReconfigure {
			return nil
		}
		c, err := paxos.DecodeChange(paxos.Value(v))
		if err != nil {
			return nil
		}
		next, err := paxos.NewConfiguration(c.Replaces+1, c.Members, c.Phase1, c.Phase2)
		if err != nil {
			return nil
		}
		return &spec.Change{Replaces: c.Replaces, Next: s.judged(next)}
	})
}

func (s *membership) latest() *paxos.Configuration { return s.made[len(s.made)-1] }

// claim has what a member knows of the membership judged.
func (s *membership) claim(m *member, known []*paxos.Configuration) {
	for _, c := range known {
		s.w.history.step(m, spec.Govern{Epoch: c.Epoch, First: spec.Slot(c.First), Config: *s.judged(c)})
		if int(c.Epoch) == len(s.made) {
			s.made = append(s.made, c)
			s.probe(c)
		}
	}
}

func (s *membership) probe(next *paxos.Configuration) {
	s.w.reach(membershipChanged)
	was := s.made[len(s.made)-2]
	if !slices.ContainsFunc(next.Members, func(m paxos.Member) bool { return was.Index(m.ID) >= 0 }) {
		s.w.reach(membersDisjoint)
	}
	for _, m := range next.Members {
		if i := was.Index(m.ID); i >= 0 && was.Members[i].Incarnation != m.Incarnation {
			s.w.reach(memberReplaced)
		}
		if len(s.made) > 2 && was.Index(m.ID) < 0 && s.made[len(s.made)-3].Index(m.ID) >= 0 {
			s.w.reach(memberReturns)
		}
	}
}

// ask lets an administrator ask a member for a change.
func (s *membership) ask(m *member, r *rand.Rand) bool {
	known := m.replica.Configurations()
	latest := known[len(known)-1]
	c := &paxos.Change{Replaces: latest.Epoch, Members: s.draw(r, latest), ID: wishBase + uint64(len(s.wishes))}
	if oneIn(r, 8) && c.Replaces > 0 { // of what it has not heard for long
		c.Replaces--
	}
	if n := countAcceptors(c.Members); n > 0 && oneIn(r, 4) {
		c.Phase1 = 1 + r.IntN(n)
		c.Phase2 = n + 1 - c.Phase1
	}
	next, err := paxos.NewConfiguration(c.Replaces+1, c.Members, c.Phase1, c.Phase2)
	if err != nil || next.CheckRoles() != nil || !s.works(next) || slices.ContainsFunc(c.Members, s.isOfThePast) {
		return false
	}
	s.wishes = append(s.wishes, wish{change: c, next: next})
	m.step(paxos.Event{Kind: paxos.Reconfigure, Change: c})
	return true
}

// isOfThePast reports whether somebody has missed a handover: those whom he knows may all be gone.
func (s *membership) isOfThePast(as paxos.Member) bool {
	return s.w.members[as.ID-1].epoch() < s.handed && s.latest().Index(as.ID) < 0
}

// draw returns whom an administrator wants instead of the members that it knows of.
func (s *membership) draw(r *rand.Rand, latest *paxos.Configuration) []paxos.Member {
	var in, out []int
	for i, m := range s.w.members {
		if latest.Index(m.id) >= 0 {
			in = append(in, i)
		} else {
			out = append(out, i)
		}
	}
	r.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	some := out[:min(1, len(out))]
	var to []int
	switch r.IntN(6) {
	case 0:
		to = append(in, some...)
	case 1:
		to = in[1:]
	case 2:
		to = append(in[1:], some...)
	case 3: // without the leader
		to = slices.DeleteFunc(append(in, some...), func(i int) bool { return i == s.w.leader() })
	case 4:
		to = out
	default: // the same ones, with the disks that they have now
		to = in
	}
	var members []paxos.Member
	for _, i := range to {
		members = append(members, s.member(r, i, latest))
	}
	return members
}

// member returns a node as a member, here and there with other roles than all.
func (s *membership) member(r *rand.Rand, i int, latest *paxos.Configuration) paxos.Member {
	m := s.w.members[i]
	as := paxos.Member{ID: m.id, Incarnation: m.incarnation, Roles: full}
	if k := latest.Index(m.id); k >= 0 && latest.Members[k].Roles != 0 {
		as.Roles = latest.Members[k].Roles
	}
	if oneIn(r, 12) {
		as.Roles = pick(r, full, full, paxos.Learner, paxos.Proposer|paxos.Learner, paxos.Acceptor, 0)
	}
	if m.bare && as.Roles&paxos.Learner != 0 {
		as.Roles = pick(r, paxos.Acceptor, paxos.Acceptor, paxos.Proposer, paxos.Proposer|paxos.Acceptor)
	}
	return as
}

// rejected takes note that a change did not happen.
func (s *membership) rejected(rj paxos.Rejection) {
	s.wishes[rj.ID-wishBase].refused = true
	if rj.Reason == paxos.Superseded {
		s.w.reach(changeSuperseded)
	}
}

// reconfigured takes note of what has become of changes. What is known of the membership is durable before the machine is given the slots.
func (m *member) reconfigured(changes []paxos.Reconfigured) {
	if len(changes) == 0 {
		return
	}
	m.keep(m.replica.Configurations())
	for _, rc := range changes {
		if s := m.w.membership; rc.Change.ID < wishBase || rc.Change.ID >= wishBase+uint64(len(s.wishes)) || s.wishes[rc.Change.ID-wishBase].refused {
			m.w.violate("what was rejected never happens", "member %d is told that change %d is chosen in slot %d, which nobody wants, or was said not to have happened", m.id, rc.Change.ID, rc.Slot)
		}
		if rc.Next == nil {
			m.w.reach(changeSuperseded)
		}
	}
}

// keep makes durable what is known of the membership, unless something newer is.
func (m *member) keep(known []*paxos.Configuration) {
	epoch := known[len(known)-1].Epoch
	have := m.epoch()
	if epoch <= have {
		return
	}
	if epoch > have+1 {
		m.w.reach(changesMissed)
	}
	m.known = known
	m.w.membership.claim(m, known)
}

// epoch returns that of the latest configuration of which the disk knows.
func (m *member) epoch() uint32 {
	if m.known == nil {
		return 0
	}
	return m.known[len(m.known)-1].Epoch
}

// lose takes a member's disk for good, if everybody can do without.
func (m *member) lose(r *rand.Rand) bool {
	s := m.w.membership
	if m.dead || m.newcomer || len(s.lost) == lossesMost {
		return false
	}
	s.lost[m.incarnation] = true
	if !s.mayLose() {
		delete(s.lost, m.incarnation)
		return false
	}
	if m.up() {
		m.powerFails(r)
	}
	m.renew()
	return true
}

// renew gives a node a new disk, in another incarnation.
func (m *member) renew() {
	m.loseDisk()
	m.newcomer = true
	m.incarnation -= incarnationStep
}

// retire ends a node that has been removed as soon as the others hold all that was chosen while it was a member, and takes its disk: it is needed no longer. An administrator who wants it back on that disk comes first.
func (m *member) retire() {
	_, latest, removed := m.replica.Membership()
	if m.wiped || !removed || !m.replica.HandedOver() || m.w.cfg.Faults[Lose] == 0 {
		return
	}
	s := m.w.membership
	handed := s.handed
	if latest == s.latest() && len(s.open()) == 0 && s.hearEachOther() {
		s.handed = latest.Epoch
	}
	s.lost[m.incarnation] = true
	if len(s.lost) > lossesMost || !s.mayLose() {
		delete(s.lost, m.incarnation)
		s.handed = handed
		return
	}
	m.w.reach(memberRetired)
	m.kill(m.rand)
	m.renew()
}

// hearEachOther reports whether no member of the latest configuration knows, or will come by in the log, another disk of one of the others: it would not listen to that one.
func (s *membership) hearEachOther() bool {
	latest := s.latest()
	for _, as := range latest.Members {
		for _, c := range s.made[max(s.w.members[as.ID-1].epoch(), 1)-1:] { // it knows two
			for _, other := range latest.Members {
				if i := c.Index(other.ID); i >= 0 && c.Members[i].Incarnation != other.Incarnation {
					return false
				}
			}
		}
	}
	return true
}

// roles are the member's in the latest configuration.
func (m *member) roles() paxos.Role {
	latest := m.w.membership.latest()
	if i := latest.Index(m.id); i >= 0 {
		return latest.Members[i].Roles
	}
	return 0
}

// meet lets a node with a new disk ask the others what it has to know of the membership. It reports whether there is anything.
func (m *member) meet() bool {
	for _, other := range m.w.members {
		if other.up() && (m.known == nil || other.epoch() > m.epoch()) && other.known != nil {
			m.known = other.known
		}
	}
	return m.known != nil
}

// replaced reports whether what a node knows names it in another incarnation.
func (m *member) replaced() bool {
	if m.known == nil {
		return false
	}
	latest := m.known[len(m.known)-1]
	i := latest.Index(m.id)
	return i >= 0 && latest.Members[i].Incarnation != m.incarnation
}

// works reports whether no more members of a configuration have lost their disks than may, and the others are enough.
func (s *membership) works(c *paxos.Configuration) bool {
	return s.enough(c, func(who paxos.Member) bool { return !s.lost[who.Incarnation] })
}

func countAcceptors(members []paxos.Member) (n int) {
	for _, m := range members {
		if m.Roles&paxos.Acceptor != 0 {
			n++
		}
	}
	return n
}

// mayBeLost returns how many disks of a configuration's members may be lost for good.
func mayBeLost(c *paxos.Configuration) int { return countAcceptors(c.Members) - c.Phase1 }

func hasWitness(c *paxos.Configuration) bool {
	return slices.ContainsFunc(c.Members, func(m paxos.Member) bool { return m.Roles.IsWitness() })
}

func (s *membership) enough(c *paxos.Configuration, has func(paxos.Member) bool) bool {
	var those []paxos.Member
	leaders := 0
	for _, m := range c.Members {
		if !has(m) {
			continue
		}
		those = append(those, m)
		if m.Roles.MayLead() {
			leaders++
		}
	}
	return countAcceptors(those) >= max(c.Phase1, c.Phase2) && leaders > 0 && len(c.Members)-len(those) <= mayBeLost(c)
}

// mayLose reports whether every configuration that may still be needed works: those of all slots that some member of the latest one may have to learn, and those that may follow.
func (s *membership) mayLose() bool {
	low := paxos.Slot(slotsMost)
	for _, as := range s.latest().Members {
		if m := s.w.members[as.ID-1]; !s.lost[as.Incarnation] {
			low = min(low, m.holds())
		}
	}
	for i, c := range s.made {
		if last := i == len(s.made)-1; c.Epoch >= s.handed && (last || s.made[i+1].First > low+1) && !s.works(c) {
			return false
		}
	}
	return !slices.ContainsFunc(s.open(), func(c *paxos.Configuration) bool { return !s.works(c) })
}

// open returns the configurations that may yet follow the latest that anybody was told of, of wishes that may yet come true.
func (s *membership) open() (open []*paxos.Configuration) {
	for _, w := range s.wishes {
		if !w.refused && w.change.Replaces >= s.latest().Epoch {
			open = append(open, w.next)
		}
	}
	return open
}

// isMember reports whether a node is one in the latest configuration.
func (s *membership) isMember(m *member) bool {
	i := s.latest().Index(m.id)
	return i >= 0 && s.latest().Members[i].Incarnation == m.incarnation
}

// drawCore chooses who has to get everything done in the end. As long as members of the latest configuration have yet to learn what earlier ones have chosen, or it may be changed once more, all are needed;
// else a part of them that is enough.
func (s *membership) drawCore(r *rand.Rand) (core uint64) {
	latest := s.latest()
	knows := func(as paxos.Member) bool {
		m := s.w.members[as.ID-1]
		return s.isMember(m) && !m.newcomer && m.saved.applied+1 >= latest.First
	}
	if len(s.open()) > 0 || slices.ContainsFunc(s.made, hasWitness) || !s.enough(latest, knows) || oneIn(r, 2) {
		return 1<<len(s.w.members) - 1
	}
	s.w.reach(membersAlone)
	var in []paxos.Member
	for _, as := range latest.Members {
		if knows(as) {
			in = append(in, as)
		}
	}
	for _, k := range r.Perm(len(in)) {
		less := func(as paxos.Member) bool { return as != in[k] && slices.Contains(in, as) }
		if s.enough(latest, less) && oneIn(r, 2) {
			in = slices.DeleteFunc(slices.Clone(in), func(as paxos.Member) bool { return !less(as) })
			break
		}
	}
	for _, as := range in {
		core |= 1 << (as.ID - 1)
	}
	return core
}
