package paxos

import (
	"strings"
	"testing"
)

func TestARoleIsWrittenOutByItsNames(t *testing.T) {
	for role, want := range map[Role]string{0: "", Acceptor: "acceptor", Proposer | Learner: "proposer+learner", FullMember: "proposer+acceptor+learner"} {
		if got := role.String(); got != want {
			t.Errorf("%d is %q, want %q", role, got, want)
		}
	}
}

// configurationOf returns a configuration of members 1, 2 and so on in these roles.
func configurationOf(t *testing.T, phase1, phase2 int, roles ...Role) *Configuration {
	t.Helper()
	var members []Member
	for i, role := range roles {
		members = append(members, Member{ID: NodeID(i + 1), Incarnation: Incarnation(101 + i), Roles: role})
	}
	config, err := NewConfiguration(0, members, phase1, phase2)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestAClusterThatCouldNotGoOnIsNotAskedFor(t *testing.T) {
	for _, tc := range []struct {
		says           string
		phase1, phase2 int
		roles          []Role
	}{
		{"", 0, 0, []Role{FullMember}},
		{"", 0, 0, []Role{FullMember, FullMember, Acceptor}},
		{"", 0, 0, []Role{FullMember, Acceptor, Acceptor, Learner}},
		{"", 3, 1, []Role{FullMember, Acceptor, Acceptor}}, // it survives no loss, and says so by its quorums
		{"", 0, 0, []Role{Acceptor | Learner, Acceptor | Learner, Acceptor | Learner, Proposer | Learner}},
		{"nobody could lead", 0, 0, []Role{Acceptor | Learner, Proposer | Acceptor, Learner}},
		{"at least 2 learners", 0, 0, []Role{FullMember, Acceptor, Acceptor}},
		{"at least 3 learners", 0, 0, []Role{FullMember, FullMember, Acceptor, Acceptor, Acceptor}},
		{"at least 3 learners", 1, 3, []Role{FullMember, FullMember, Acceptor}},
	} {
		err := configurationOf(t, tc.phase1, tc.phase2, tc.roles...).CheckRoles()
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v, want %q", tc.roles, err, tc.says)
		}
	}
}
