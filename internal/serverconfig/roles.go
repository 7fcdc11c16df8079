package serverconfig

import (
	"fmt"
	"slices"
	"strings"

	"synod.dev/synod/paxos"
)

// roleNames are the words of --initial-cluster-roles: what a member is for, or single roles, joined by a plus.
var roleNames = map[string]paxos.Role{
	"full":     paxos.FullMember,
	"witness":  paxos.Acceptor,
	"replica":  paxos.Learner,
	"proposer": paxos.Proposer,
	"acceptor": paxos.Acceptor,
	"learner":  paxos.Learner,
}

// assignRoles gives the members the roles that name=role,name=role+role says; those not named are full members.
func assignRoles(members []Member, text string) error {
	for i := range members {
		members[i].Roles = 0
	}
	for _, entry := range list(text) {
		name, words, found := strings.Cut(entry, "=")
		i := slices.IndexFunc(members, func(m Member) bool { return m.Name == name })
		switch {
		case !found || name == "" || words == "":
			return fmt.Errorf("%q is not of the form name=role", entry)
		case i < 0:
			return fmt.Errorf("--initial-cluster does not name %q", name)
		case members[i].Roles != 0:
			return fmt.Errorf("%s is listed twice; join its roles by a plus", name)
		}
		for word := range strings.SplitSeq(words, "+") {
			role, known := roleNames[word]
			if !known {
				return fmt.Errorf("%q is no role; use full, witness, replica, or any of proposer, acceptor and learner joined by a plus", word)
			}
			members[i].Roles |= role
		}
		if members[i].Roles == paxos.Proposer {
			return fmt.Errorf("%s would be a proposer alone, which has no store to serve clients from: give it another role, or leave it out; synod gateway relays clients without being a member", name)
		}
	}
	for i := range members {
		if members[i].Roles == 0 {
			members[i].Roles = paxos.FullMember
		}
	}
	return nil
}

// checkRoles lets the roles take effect, and refuses members and quorums that make no cluster.
func (c *Config) checkRoles() error {
	if err := assignRoles(c.Members, c.initialRoles); err != nil {
		return fmt.Errorf("--initial-cluster-roles %q: %w", c.initialRoles, err)
	}
	var members []paxos.Member
	for _, m := range c.Members {
		members = append(members, paxos.Member{ID: paxos.NodeID(m.ID), Incarnation: 1, Roles: m.Roles})
	}
	config, err := paxos.NewConfiguration(0, members, c.Phase1, c.Phase2)
	if err == nil {
		err = config.CheckRoles()
	}
	if err != nil {
		return fmt.Errorf("--initial-cluster-roles, --initial-phase1-quorum, --initial-phase2-quorum: %s", strings.TrimPrefix(err.Error(), "paxos: "))
	}
	return nil
}
