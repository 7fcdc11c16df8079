package paxos

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Member is one member of a configuration: a node in one incarnation. A node whose disk was wiped is another member.
type Member struct {
	ID          NodeID
	Incarnation Incarnation // 0 is nobody yet: a member that was invited and has not come. It has no roles
	Roles       Role
	Invited     Role   // what it is to play once it holds nearly everything; 0 if it plays all that it is meant to. Nothing here depends on it
	Address     string // where others find it; opaque here, at most AddressBytesMax
}

// identity is who speaks: a node in one incarnation.
type identity struct {
	node        NodeID
	incarnation Incarnation
}

const (
	MembersMax      = 64   // the most members a configuration may have: votes are kept as bits
	AddressBytesMax = 1024 // the longest address of a member
	WindowDefault   = 1024 // α of a cluster whose founders have not said otherwise, in slots
	WindowMax       = 1 << 20
)

// Set is a set of members, by their index in a Configuration.
type Set uint64

func (s Set) has(i int) bool  { return s>>i&1 == 1 }
func (s Set) with(i int) Set  { return s | 1<<i }
func (s Set) count() int      { return bits.OnesCount64(uint64(s)) }
func (s Set) minus(t Set) Set { return s &^ t }
func (s Set) both(t Set) Set  { return s & t }
func single(i int) Set        { return 1 << i }

// Configuration is who takes part in the slots that it governs, and how many of them make a quorum.
// It is immutable. Any two members that act on a slot use the same one.
type Configuration struct {
	Epoch   uint32 // 0 for the founders', and one more with each change
	First   Slot   // it governs the slots from here on, up to the first of the next one
	Window  Slot   // α: what is chosen in a slot decides about the configuration of the slot this far above. Fixed by the founders
	Members []Member
	// Phase1 and Phase2 are the least number of acceptors in a phase-1 and a phase-2 quorum. Every quorum of the one kind
	// meets every quorum of the other (Howard et al., "Flexible Paxos", 2016): Phase1 + Phase2 > acceptors.
	Phase1, Phase2 int

	acceptors Set
}

// NewConfiguration checks and completes a configuration that governs from the first slot on, with the default window. Quorum sizes of 0 stand for majorities.
func NewConfiguration(epoch uint32, members []Member, phase1, phase2 int) (*Configuration, error) {
	c := &Configuration{Epoch: epoch, First: 1, Window: WindowDefault, Members: members, Phase1: phase1, Phase2: phase2}
	if len(members) > MembersMax {
		return nil, fmt.Errorf("paxos: %d members, at most %d are possible", len(members), MembersMax)
	}
	for i, m := range members {
		if err := c.checkMember(i, m); err != nil {
			return nil, err
		}
		if m.Roles&Acceptor != 0 {
			c.acceptors = c.acceptors.with(i)
		}
	}
	return c, c.checkQuorums()
}

func (c *Configuration) checkMember(i int, m Member) error {
	switch {
	case m.ID == 0:
		return errors.New("paxos: a member needs an id other than 0")
	case c.Index(m.ID) != i:
		return fmt.Errorf("paxos: member %x is listed twice", uint64(m.ID))
	case (m.Roles|m.Invited)&^FullMember != 0:
		return fmt.Errorf("paxos: member %x has roles that this version does not know", uint64(m.ID))
	case m.Incarnation == 0 && m.Roles != 0:
		return fmt.Errorf("paxos: member %x has a role and no incarnation: it must have come before it can play one", uint64(m.ID))
	case len(m.Address) > AddressBytesMax:
		return fmt.Errorf("paxos: member %x has an address of %d bytes, at most %d are possible", uint64(m.ID), len(m.Address), AddressBytesMax)
	}
	return nil
}

func (c *Configuration) checkQuorums() error {
	n := c.acceptors.count()
	if n == 0 {
		return errors.New("paxos: a configuration needs at least one acceptor")
	}
	if !slices.ContainsFunc(c.Members, func(m Member) bool { return m.Roles&Proposer != 0 }) {
		return errors.New("paxos: a configuration needs at least one proposer: nobody else could ever change it")
	}
	if c.Phase1 == 0 && c.Phase2 == 0 {
		c.Phase1, c.Phase2 = n/2+1, n/2+1
	}
	if c.Phase1 < 1 || c.Phase2 < 1 || c.Phase1 > n || c.Phase2 > n || c.Phase1+c.Phase2 <= n {
		return fmt.Errorf("paxos: quorums of %d and %d among %d acceptors do not always meet: their sum must be above %d and neither above %d",
			c.Phase1, c.Phase2, n, n, n)
	}
	return nil
}

// WithWindow returns the founders' configuration with another window than the default: 1 to WindowMax slots, or New refuses it.
func (c *Configuration) WithWindow(slots int) *Configuration {
	with := *c
	with.Window = Slot(slots)
	return &with
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

// place returns the index of a member, or -1: a node in another incarnation is none.
func (c *Configuration) place(who identity) int {
	if i := c.Index(who.node); i >= 0 && c.Members[i].Incarnation == who.incarnation {
		return i
	}
	return -1
}

// roles returns the roles that somebody plays; none, if he is no member.
func (c *Configuration) roles(who identity) Role {
	if i := c.place(who); i >= 0 {
		return c.Members[i].Roles
	}
	return 0
}

// Membership says which configuration governs which slot: the configuration of slot i is a function of the values chosen up to slot i - α ("Paxos Made Simple" §3).
//
// Each configuration in it is a fact, so to know more of them than this node's chosen prefix tells is harmless; to know less is not. The latest and the one before it are enough:
// that there is a latest shows that everything up to α slots before it is chosen, and the one before it was in force there.
type Membership struct {
	known []*Configuration // one or two, ascending; replaced as a whole
}

func (m *Membership) latest() *Configuration { return m.known[len(m.known)-1] }

// At returns the configuration that governs a slot, if anything can be undecided there and the slot is at most α above the chosen prefix.
func (m *Membership) At(slot Slot) *Configuration {
	for i := len(m.known) - 1; i > 0; i-- {
		if m.known[i].First <= slot {
			return m.known[i]
		}
	}
	return m.known[0]
}

// settled returns the slot in which the latest change was chosen: everything up to there is.
func (m *Membership) settled() Slot {
	if l := m.latest(); l.First > l.Window {
		return l.First - l.Window
	}
	return 0
}

// pass takes the change that is chosen in a slot. It is none if it names another epoch than that of the latest configuration, or that one is not in force yet.
func (m *Membership) pass(slot Slot, change *Change) {
	latest := m.latest()
	if slot <= m.settled() || !m.admits(slot, change) {
		return
	}
	next := change.configuration()
	next.First, next.Window = slot+latest.Window, latest.Window
	m.known = []*Configuration{latest, next}
}

// made returns the configuration that the change chosen in a slot has led to; nil if none, or if it is history.
func (m *Membership) made(slot Slot, change *Change) *Configuration {
	for _, c := range m.known {
		if c.Epoch == change.Replaces+1 && c.First == slot+c.Window {
			return c
		}
	}
	return nil
}

// admits reports whether a change would be one in a slot above the last that was passed.
func (m *Membership) admits(slot Slot, change *Change) bool {
	return change.Replaces == m.latest().Epoch && m.latest().First <= slot
}

// adopt takes the configurations that somebody else knows, if they are newer.
func (m *Membership) adopt(known []*Configuration) {
	if len(known) > 0 && known[len(known)-1].Epoch > m.latest().Epoch {
		m.known = known
	}
}
