package paxos

import (
	"errors"
	"fmt"
	"math/bits"
)

// Role is a set of Paxos roles. A member plays any subset.
type Role uint8

const (
	Proposer Role = 1 << iota // may lead
	Acceptor                  // promises and votes
	Learner                   // learns what is chosen and feeds a state machine

	FullMember = Proposer | Acceptor | Learner
)

// Member is one member of a configuration: a node in one incarnation. A node whose disk was wiped is another member.
type Member struct {
	ID          NodeID
	Incarnation Incarnation
	Roles       Role
}

// MembersMax is the most members a configuration may have: votes are kept as bits.
const MembersMax = 64

// Set is a set of members, by their index in a Configuration.
type Set uint64

func (s Set) has(i int) bool  { return s>>i&1 == 1 }
func (s Set) with(i int) Set  { return s | 1<<i }
func (s Set) count() int      { return bits.OnesCount64(uint64(s)) }
func (s Set) minus(t Set) Set { return s &^ t }
func (s Set) both(t Set) Set  { return s & t }
func single(i int) Set        { return 1 << i }

// Configuration is who takes part in the slots that it governs, and how many of them make a quorum.
// It is immutable. Any two members that count votes for a slot use the same one.
type Configuration struct {
	Epoch   uint32 // 0 for the founders'
	Members []Member
	// Phase1 and Phase2 are the least number of acceptors in a phase-1 and a phase-2 quorum. Every quorum of the one kind
	// meets every quorum of the other (Howard et al., "Flexible Paxos", 2016): Phase1 + Phase2 > acceptors.
	Phase1, Phase2 int

	acceptors Set
}

// NewConfiguration checks and completes a configuration. Quorum sizes of 0 stand for majorities.
func NewConfiguration(epoch uint32, members []Member, phase1, phase2 int) (*Configuration, error) {
	c := &Configuration{Epoch: epoch, Members: members, Phase1: phase1, Phase2: phase2}
	if len(members) > MembersMax {
		return nil, fmt.Errorf("paxos: %d members, at most %d are possible", len(members), MembersMax)
	}
	for i, m := range members {
		if m.ID == 0 {
			return nil, errors.New("paxos: a member needs an id other than 0")
		}
		if c.Index(m.ID) != i {
			return nil, fmt.Errorf("paxos: member %x is listed twice", uint64(m.ID))
		}
		if m.Roles&Acceptor != 0 {
			c.acceptors = c.acceptors.with(i)
		}
	}
	n := c.acceptors.count()
	if n == 0 {
		return nil, errors.New("paxos: a configuration needs at least one acceptor")
	}
	if c.Phase1 == 0 && c.Phase2 == 0 {
		c.Phase1, c.Phase2 = n/2+1, n/2+1
	}
	if c.Phase1 < 1 || c.Phase2 < 1 || c.Phase1 > n || c.Phase2 > n || c.Phase1+c.Phase2 <= n {
		return nil, fmt.Errorf("paxos: quorums of %d and %d among %d acceptors do not always meet: their sum must be above %d and neither above %d",
			c.Phase1, c.Phase2, n, n, n)
	}
	return c, nil
}

// Index returns the index of a member by its node, or -1.
func (c *Configuration) Index(id NodeID) int {
	for i := range c.Members {
		if c.Members[i].ID == id {
			return i
		}
	}
	return -1
}

// IsPhase1Quorum reports whether the acceptors in s are enough to learn of any vote ever cast below a ballot they promised.
func (c *Configuration) IsPhase1Quorum(s Set) bool { return s.both(c.acceptors).count() >= c.Phase1 }

// IsPhase2Quorum reports whether the votes of the acceptors in s choose a value.
func (c *Configuration) IsPhase2Quorum(s Set) bool { return s.both(c.acceptors).count() >= c.Phase2 }

// Membership says which configuration governs which slot.
type Membership struct {
	founders *Configuration
}

// At returns the configuration that governs slot.
func (m *Membership) At(Slot) *Configuration { return m.founders }
