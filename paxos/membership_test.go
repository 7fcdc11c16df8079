package paxos

import (
	"strings"
	"testing"
)

// votersAndOthers are n acceptors and, among them, two members that are none.
func votersAndOthers(n int) (members []Member) {
	for i := range n + 2 {
		m := Member{ID: NodeID(i + 1), Incarnation: 1, Roles: FullMember}
		if i == 0 || i == n+1 {
			m.Roles = Proposer | Learner
		}
		members = append(members, m)
	}
	return members
}

// TestQuorumsAlwaysMeet looks at every pair of sets in every configuration of up to 7 acceptors, and takes "meet" from the sets themselves.
func TestQuorumsAlwaysMeet(t *testing.T) {
	for n := 1; n <= 7; n++ {
		members := votersAndOthers(n)
		acceptors := Set(1<<n-1) << 1
		for phase1 := 1; phase1 <= n+1; phase1++ {
			for phase2 := 1; phase2 <= n+1; phase2++ {
				c, err := NewConfiguration(0, members, phase1, phase2)
				if meet := phase1 <= n && phase2 <= n && allMeet(acceptors, phase1, phase2); meet != (err == nil) {
					t.Fatalf("%d acceptors, quorums of %d and %d: all meet: %v, the answer is: %v", n, phase1, phase2, meet, err)
				}
				if err == nil {
					checkQuorums(t, c, acceptors)
				}
			}
		}
	}
}

// allMeet reports whether every set of a acceptors has one in common with every set of b.
func allMeet(acceptors Set, a, b int) bool {
	for s := range subsets(acceptors) {
		for u := range subsets(acceptors) {
			if s.count() == a && u.count() == b && s&u == 0 {
				return false
			}
		}
	}
	return true
}

func checkQuorums(t *testing.T, c *Configuration, acceptors Set) {
	t.Helper()
	everybody := Set(1<<len(c.Members) - 1)
	for s := range subsets(everybody) {
		if got, want := c.IsPhase1Quorum(s), (s&acceptors).count() >= c.Phase1; got != want {
			t.Fatalf("%d acceptors, phase 1 of %d: the set %b is a quorum: %v", acceptors.count(), c.Phase1, s, got)
		}
		if got, want := c.IsPhase2Quorum(s), (s&acceptors).count() >= c.Phase2; got != want {
			t.Fatalf("%d acceptors, phase 2 of %d: the set %b is a quorum: %v", acceptors.count(), c.Phase2, s, got)
		}
		// Who is left over is never a quorum of the other kind: that is what meeting means.
		if c.IsPhase1Quorum(s) && c.IsPhase2Quorum(everybody.minus(s)) {
			t.Fatalf("%d acceptors, quorums of %d and %d: the set %b and its complement are both quorums", acceptors.count(), c.Phase1, c.Phase2, s)
		}
	}
}

// subsets yields every subset of a set.
func subsets(of Set) func(func(Set) bool) {
	return func(yield func(Set) bool) {
		for s := of; ; s = (s - 1) & of {
			if !yield(s) || s == 0 {
				return
			}
		}
	}
}

func TestTheDefaultQuorumsAreMajorities(t *testing.T) {
	for n, want := range []int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		if n == 0 {
			continue
		}
		c, err := NewConfiguration(0, votersAndOthers(n), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if c.Phase1 != want || c.Phase2 != want {
			t.Errorf("%d acceptors: quorums of %d and %d, want %d", n, c.Phase1, c.Phase2, want)
		}
	}
}

func TestAConfigurationThatMakesNoSenseIsRefused(t *testing.T) {
	many := make([]Member, MembersMax+1)
	for i := range many {
		many[i] = Member{ID: NodeID(i + 1), Incarnation: 1, Roles: FullMember}
	}
	for name, members := range map[string][]Member{
		"nobody":                nil,
		"no acceptor":           {{ID: 1, Incarnation: 1, Roles: Proposer | Learner}},
		"no proposer":           {{ID: 1, Incarnation: 1, Roles: Acceptor | Learner}},
		"a role unknown":        {{ID: 1, Incarnation: 1, Roles: FullMember}, {ID: 2, Incarnation: 1, Roles: FullMember + 1}},
		"a role without a disk": {{ID: 1, Incarnation: 1, Roles: FullMember}, {ID: 2, Roles: Learner}},
		"a long address":        {{ID: 1, Incarnation: 1, Roles: FullMember, Address: strings.Repeat("a", AddressBytesMax+1)}},
		"id zero":               {{ID: 1, Incarnation: 1, Roles: FullMember}, {ID: 0, Incarnation: 1, Roles: FullMember}},
		"twice":                 {{ID: 1, Incarnation: 1, Roles: FullMember}, {ID: 1, Incarnation: 2, Roles: FullMember}},
		"too many":              many,
	} {
		if _, err := NewConfiguration(0, members, 0, 0); err == nil {
			t.Errorf("%s: the configuration is accepted", name)
		}
	}
	if _, err := NewConfiguration(0, many[:MembersMax], 0, 0); err != nil {
		t.Errorf("%d members: %v", MembersMax, err)
	}
}

func TestAReplicaThatMakesNoSenseDoesNotStart(t *testing.T) {
	good := loneConfig(t, 1, 3)
	for name, change := range map[string]func(*Config){
		"no configuration":  func(c *Config) { c.Founders = nil },
		"nobody":            func(c *Config) { c.Self = 0 },
		"no window":         func(c *Config) { c.Founders = c.Founders.WithWindow(0) },
		"an endless window": func(c *Config) { c.Founders = c.Founders.WithWindow(WindowMax + 1) },
		"a replaced disk":   func(c *Config) { c.Incarnation++ },
		"no heartbeat":      func(c *Config) { c.HeartbeatTicks = 0 },
		"hasty suspicion":   func(c *Config) { c.SuspectTicks = c.HeartbeatTicks },
		"no time to resend": func(c *Config) { c.ResendTicks = 0 },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg, Stable{}); err == nil {
			t.Errorf("%s: the replica starts", name)
		}
	}
	if _, err := New(good, Stable{}); err != nil {
		t.Error(err)
	}
}
