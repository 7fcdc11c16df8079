package serverconfig

import (
	"testing"

	"synod.dev/synod/paxos"
)

func TestRolesAreSingleOnesJoinedOrWhatAMemberIsFor(t *testing.T) {
	c, err := Parse("synod", []string{"--name=a", "--initial-advertise-peer-urls=http://a:1",
		"--initial-cluster=a=http://a:1,b=http://b:1,c=http://c:1,d=http://d:1,e=http://e:1,f=http://f:1",
		"--initial-cluster-roles=c=witness,d=replica,e=acceptor+learner,f=proposer+learner", "--initial-phase1-quorum=3", "--initial-phase2-quorum=2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]paxos.Role{"a": paxos.FullMember, "b": paxos.FullMember, "c": paxos.Acceptor, "d": paxos.Learner, "e": paxos.Acceptor | paxos.Learner, "f": paxos.Proposer | paxos.Learner}
	for _, m := range c.Members {
		if m.Roles != want[m.Name] {
			t.Errorf("%s is %v, want %v", m.Name, m.Roles, want[m.Name])
		}
	}
	if c.Self.Roles != paxos.FullMember || c.Phase1 != 3 || c.Phase2 != 2 {
		t.Errorf("this member is %v, quorums %d and %d", c.Self.Roles, c.Phase1, c.Phase2)
	}
}
