package synod

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

const (
	full    = paxos.FullMember
	witness = paxos.Acceptor
	replica = paxos.Learner
	gateway = paxos.Proposer
)

// newClusterOfRoles starts a node for each of the roles; those that do not learn have no machine.
func newClusterOfRoles(t *testing.T, phase1, phase2 int, configure func(i int, cfg *Config), roles ...paxos.Role) *cluster {
	return newClusterOf(t, len(roles), func(i int, cfg *Config) {
		for k, role := range roles {
			cfg.Members[k].Roles = role
		}
		cfg.Phase1, cfg.Phase2 = phase1, phase2
		if configure != nil {
			configure(i, cfg)
		}
		if roles[i]&paxos.Learner == 0 {
			cfg.Machine = nil
		}
	})
}

// leads waits for one of the nodes to lead and returns its index.
func (c *cluster) leads() (leader int) {
	c.t.Helper()
	await(c.t, "a node leads", func() bool {
		for i, n := range c.nodes {
			if n != nil {
				if id, _ := n.Leader(); id == n.cfg.ID {
					leader = i
					return true
				}
			}
		}
		return false
	})
	return leader
}

func TestFoundersWhoMakeNoClusterAreRefused(t *testing.T) {
	for _, tc := range []struct {
		says           string
		phase1, phase2 int
		roles          []paxos.Role
	}{
		{"do not always meet", 2, 2, []paxos.Role{full, full, full, full}},
		{"do not always meet", 1, 0, []paxos.Role{full}},
		{"do not always meet", 4, 1, []paxos.Role{full, full, full}},
		{"do not always meet", 2, 1, []paxos.Role{full, full, full, replica}},
		{"at least one acceptor", 0, 0, []paxos.Role{full &^ paxos.Acceptor, replica}},
		{"nobody could lead", 0, 0, []paxos.Role{gateway | witness, witness, replica}},
		{"at least 2 learners", 0, 0, []paxos.Role{full, witness, witness}},
		{"at least 3 learners", 1, 3, []paxos.Role{full, full, witness}},
		{"roles that this version does not know", 0, 0, []paxos.Role{full, 8}},
	} {
		t.Run(tc.says, func(t *testing.T) {
			cfg := Config{ID: 1, Dir: filepath.Join(t.TempDir(), "log"), Machine: &ledger{}, Phase1: tc.phase1, Phase2: tc.phase2, Logger: slog.New(slog.DiscardHandler)}
			for i, role := range tc.roles {
				cfg.Members = append(cfg.Members, Member{ID: paxos.NodeID(i + 1), Address: "127.0.0.1:1", Roles: role})
			}
			if tc.roles[0]&paxos.Learner == 0 {
				cfg.Machine = nil
			}
			_, err := Open(cfg)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("opened, or refused with %v", err)
			}
		})
	}
}

func TestAMachineIsForLearnersAlone(t *testing.T) {
	for _, tc := range []struct {
		says    string
		role    paxos.Role
		machine StateMachine
	}{
		{"Machine is nil", replica, nil},
		{"Machine is given", witness, &ledger{}},
	} {
		cfg := Config{ID: 2, Dir: filepath.Join(t.TempDir(), "log"), Machine: tc.machine, Members: []Member{{ID: 1, Address: "127.0.0.1:1"}, {ID: 2, Address: "127.0.0.1:1", Roles: tc.role},
			{ID: 3, Address: "127.0.0.1:1"}}}
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v", tc.role, err)
		}
	}
}

func TestFoundersWhoAreToldDifferentThingsFoundNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		says   string
		change func(*Config)
	}{
		"roles":   {"the configuration says", func(cfg *Config) { cfg.Members[2].Roles = replica }},
		"quorums": {"founded with quorums", func(cfg *Config) { cfg.Phase1, cfg.Phase2 = 3, 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClusterOf(t, 3, func(i int, cfg *Config) {
				cfg.Members = append([]Member(nil), cfg.Members...)
				if i == 2 {
					tc.change(cfg)
				}
			})
			await(t, "a node says why", func() bool {
				for _, n := range c.nodes {
					if err := n.Err(); err != nil && strings.Contains(err.Error(), tc.says) {
						return true
					}
				}
				return false
			})
			if n := c.nodes[2]; n.view.Load() != nil {
				t.Error("the odd one takes part")
			}
		})
	}
}

// With four voters, phase-1 quorums of three and phase-2 quorums of two, the leader needs one other to go on, and two others to begin.
func TestQuorumsOfTheirOwnSizesDecideWhatItTakes(t *testing.T) {
	t.Parallel()
	patient := func(_ int, cfg *Config) { cfg.ElectionTimeout = 10 * time.Second } // a leader that gives up cannot come back while two are away
	c := newClusterOfRoles(t, 3, 2, patient, full, full, full, full)
	ctx := within(t, time.Minute)
	last := c.propose(ctx, 0, number(1))
	leader := c.leads()
	a, b := (leader+1)%4, (leader+2)%4
	c.close(a)
	c.close(b)
	for i := range uint64(20) {
		place, err := c.nodes[leader].Propose(ctx, number(2+i))
		if err != nil {
			t.Fatalf("two of four are enough to go on: %v", err)
		}
		last = place
	}
	c.close(leader)
	c.open(a)
	rest := (leader + 3) % 4 // with a that is two: not enough to begin
	short := within(t, 2*time.Second)
	if err := c.nodes[rest].Read(short); err == nil {
		t.Fatal("two of four have begun to lead: they need not have met a vote of the one that is gone")
	}
	c.open(b)
	for _, i := range []int{rest, a, b} {
		if err := c.nodes[i].Read(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(c.ledgers[i].snapshot()); got != last {
			t.Errorf("node %d has %d commands, want %d", i+1, got, last)
		}
	}
}

// A directory remembers what its cluster was founded with.
func TestADirectoryIsNotOpenedWithOtherRolesOrQuorums(t *testing.T) {
	c := newClusterOfRoles(t, 2, 2, nil, full, full, full)
	if err := c.nodes[0].Read(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.close(0)
	for says, change := range map[string]func(*Config){
		"founded with member 3 as proposer+acceptor+learner": func(cfg *Config) { cfg.Members[2].Roles = witness },
		"founded with quorums of 2 and 2":                    func(cfg *Config) { cfg.Phase1, cfg.Phase2 = 3, 2 },
	} {
		cfg := c.config(0)
		cfg.Members = append([]Member(nil), cfg.Members...)
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
}
