package synod

import (
	"slices"
	"time"

	"synod.dev/synod/paxos"
)

// steward is what a leader does about the membership without being asked: it lets in whoever was invited and has come, gives those who have caught up the roles that they were invited for, and, if it is told to, invites members anew
// whose disks were lost. It belongs to the event loop.
type steward struct {
	l     *eventLoop
	asked *changeWaiter // the change under way; nil if there is none
}

// tick asks for the next change, if there is anything to do.
func (s *steward) tick() {
	if s.asked != nil {
		select {
		case err := <-s.asked.outcome:
			if err != nil {
				s.l.n.logger.Info("a change of membership is tried again if it is still wanted", "error", err)
			}
			s.asked = nil
		default:
			return
		}
	}
	m := s.l.n.Membership()
	if s.l.seen.Leader != s.l.n.cfg.ID || m.Latest != m.InForce {
		return
	}
	members := slices.Clone(m.Latest.Members)
	for i := range members {
		did := s.attend(&members[i])
		if did == "" {
			continue
		}
		c := changeOf(m.Latest, members)
		if err := s.l.n.judgeChange(c); err != nil {
			members[i] = m.Latest.Members[i]
			continue
		}
		s.l.n.logger.Info(did, "peer", hexID(members[i].ID), "roles", members[i].Roles.String(), "invited", members[i].Invited.String())
		s.asked = newChangeWaiter(c)
		s.l.changes.begin(s.asked)
		return
	}
}

// attend changes a member if it should be changed, and says why.
func (s *steward) attend(m *paxos.Member) string {
	switch incarnation := s.arrived(*m); {
	case m.Incarnation == 0 && incarnation != 0:
		m.Incarnation = incarnation
		m.Roles = m.Invited & paxos.Learner // it hears everything as a learner; what it votes for it must know first
		if m.Roles == m.Invited {
			m.Invited = 0
		}
		return "an invited member has come"
	case m.Incarnation != 0 && m.Invited != 0 && s.l.n.judgeLag(*m) == nil:
		m.Roles, m.Invited = m.Invited, 0
		return "a member has caught up"
	case s.l.n.cfg.ReplaceWiped && m.Incarnation != 0 && s.l.n.contacts.isWiped(m.ID) && !s.l.n.hears(m.ID):
		*m = invitedAnew(*m)
		return "a member has lost its disk"
	}
	return ""
}

// arrived returns the incarnation in which an invited node is connected; 0 if it is not, or on the disk that it was a member with before.
func (s *steward) arrived(m paxos.Member) paxos.Incarnation {
	before := s.l.replica.Configurations()[0]
	incarnation := s.l.met[m.ID]
	if i := before.Index(m.ID); i >= 0 && before.Members[i].Incarnation == incarnation {
		return 0
	}
	return incarnation
}

// farewells is for how many election timeouts those who were removed are still answered when they are needed no longer: they may want to see that.
const farewells = 10

// retire ends this node when it has been removed and the others hold everything that was chosen while it was a member. Those who see that forget the removed ones.
func (l *eventLoop) retire() {
	switch {
	case !l.replica.HandedOver():
		l.handedOver = time.Time{}
	case l.n.Membership().Removed:
		l.n.Fail(ErrRemoved)
	case l.handedOver.IsZero():
		l.handedOver = time.Now()
	case time.Since(l.handedOver) > farewells*l.n.cfg.ElectionTimeout:
		l.n.contacts.learn(l.replica.Configurations(), true)
	}
}
