package paxos

import (
	"errors"
	"fmt"
	"slices"
)

// Role is a set of Paxos roles. A member plays any subset.
type Role uint8

const (
	Proposer Role = 1 << iota // brings commands to the leader; may lead, if it learns as well
	Acceptor                  // promises and votes
	Learner                   // learns what is chosen and feeds a state machine

	FullMember = Proposer | Acceptor | Learner
)

var roleNames = [...]string{"proposer", "acceptor", "learner"}

// String returns the names of the roles, joined by a plus.
func (r Role) String() (names string) {
	for i, name := range roleNames {
		if r>>i&1 == 0 {
			continue
		}
		if names != "" {
			names += "+"
		}
		names += name
	}
	return names
}

// MayLead reports whether a member with these roles can be the leader that others need: one that has what was chosen, to repeat it and to answer reads.
func (r Role) MayLead() bool { return r&Proposer != 0 && r&Learner != 0 }

// IsWitness reports whether a member with these roles votes and has no state machine to keep what its votes have chosen.
func (r Role) IsWitness() bool { return r&Acceptor != 0 && r&Learner == 0 }

// count returns how many members have a role.
func (c *Configuration) count(role Role) (n int) {
	for _, m := range c.Members {
		if m.Roles&role != 0 {
			n++
		}
	}
	return n
}

// hasWitness reports whether a member votes without learning.
func (c *Configuration) hasWitness() bool {
	return slices.ContainsFunc(c.Members, func(m Member) bool { return m.Roles.IsWitness() })
}

// faults returns how many disks may be lost for good: with as many acceptors gone there is a phase-1 quorum still.
func (c *Configuration) faults() int { return c.acceptors.count() - c.Phase1 }

// holders returns how many learners must hold a slot before a witness may forget it: with one more than may be lost, one is left.
func (c *Configuration) holders() int { return min(c.faults()+1, c.count(Learner)) }

// nominates reports whether the election lets somebody take over: a proposer that learns; any proposer where none does.
func (c *Configuration) nominates(who identity) bool {
	roles := c.roles(who)
	return roles.MayLead() || roles&Proposer != 0 && !slices.ContainsFunc(c.Members, func(m Member) bool { return m.Roles.MayLead() })
}

// CheckRoles says why a cluster of these members could not go on, though its quorums meet: nobody could lead, or what is chosen could be lost together with fewer members than
// the quorums promise to survive. A configuration that somebody asks for is checked; one that is chosen already is what it is.
func (c *Configuration) CheckRoles() error {
	if !slices.ContainsFunc(c.Members, func(m Member) bool { return m.Roles.MayLead() }) {
		return errors.New("paxos: nobody could lead: at least one member must be both proposer and learner")
	}
	if learners := c.count(Learner); c.hasWitness() && learners <= c.faults() {
		return fmt.Errorf("paxos: %d acceptors with phase-1 quorums of %d may lose %d members, but only %d learn what is chosen: with a witness it takes at least %d learners",
			c.acceptors.count(), c.Phase1, c.faults(), learners, c.faults()+1)
	}
	return nil
}
