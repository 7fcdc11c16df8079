package synod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

// await waits until a condition holds that the test describes.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// awaitMembership waits until a node knows a membership that the test wants.
func awaitMembership(t *testing.T, n *Node, what string, wanted func(Membership) bool) Membership {
	t.Helper()
	var m Membership
	await(t, fmt.Sprintf("node %x knows that %s", uint64(n.cfg.ID), what), func() bool {
		m = n.Membership()
		if err := n.Err(); err != nil {
			t.Fatalf("node %x has stopped: %v", uint64(n.cfg.ID), err)
		}
		return m.Latest != nil && wanted(m)
	})
	return m
}

// insist makes a change again as long as too few can be heard of those who would vote, which a busy machine is reason enough for: then it did not happen.
func insist(ctx context.Context, change func() error) error {
	for {
		if err := change(); !errors.Is(err, ErrQuorumAtRisk) || ctx.Err() != nil {
			return err
		}
	}
}

func settled(m Membership) bool { return m.Latest == m.InForce }

func TestOfTwoAdministratorsWhoRaceOneWinsAndTheOtherIsTold(t *testing.T) {
	c := newCluster(t, 5)
	ctx := within(t, 30*time.Second)
	for _, n := range c.nodes[:2] {
		await(t, "it hears everybody", func() bool { return len(n.heard()) == 5 })
	}
	for round := range 3 {
		var before Membership
		for _, n := range c.nodes[:2] {
			before = awaitMembership(t, n, "the last change is in force", func(m Membership) bool { return settled(m) && m.Latest.Epoch == uint32(round) })
		}
		outcomes := make(chan error, 2)
		for i, n := range c.nodes[:2] {
			invited := paxos.Member{ID: paxos.NodeID(10*round + 10 + i), Invited: paxos.Learner, Address: "127.0.0.1:1"}
			members := append(slices.Clone(before.Latest.Members), invited)
			go func() {
				outcomes <- insist(ctx, func() error { return n.Reconfigure(ctx, Change{Replaces: before.Latest.Epoch, Members: members}) })
			}()
		}
		first, second := <-outcomes, <-outcomes
		if first != nil {
			first, second = second, first
		}
		if first != nil || !errors.Is(second, ErrSuperseded) {
			t.Fatalf("round %d: the one is told %v, the other %v", round, first, second)
		}
	}
	c.propose(ctx, 2, number(1))
}

func TestAChangeThatCannotBeIsRefusedBeforeItIsAsked(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 30*time.Second)
	if err := c.nodes[0].Read(ctx); err != nil {
		t.Fatal(err)
	}
	latest := awaitMembership(t, c.nodes[0], "the cluster is founded", settled).Latest
	for name, test := range map[string]struct {
		change Change
		want   error
	}{
		"of another epoch":   {Change{Replaces: 7, Members: latest.Members}, ErrSuperseded},
		"without members":    {Change{}, ErrInvalidChange},
		"without an address": {Change{Members: append(slices.Clone(latest.Members), paxos.Member{ID: 9})}, ErrInvalidChange},
		"to one who is not there": {Change{Members: []paxos.Member{
			{ID: 1, Incarnation: latest.Members[0].Incarnation, Roles: paxos.FullMember, Address: "a:1"},
			{ID: 9, Incarnation: 9, Roles: paxos.FullMember, Address: "b:1"}}}, ErrQuorumAtRisk},
	} {
		if err := c.nodes[0].Reconfigure(ctx, test.change); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, got := range map[string]error{
		"removing a stranger":  c.nodes[0].RemoveMember(ctx, 9),
		"replacing a stranger": c.nodes[0].ReplaceMember(ctx, 9),
		"promoting a stranger": c.nodes[0].PromoteMember(ctx, 9),
	} {
		if !errors.Is(got, ErrNoSuchMember) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := c.nodes[0].AddMember(ctx, 2, "a:1", paxos.FullMember); !errors.Is(err, ErrMemberExists) {
		t.Errorf("adding one who is there: %v", err)
	}
	if err := c.nodes[0].PromoteMember(ctx, 2); !errors.Is(err, ErrNotLearner) {
		t.Errorf("promoting a voter: %v", err)
	}
}

func TestARemovalThatLeavesNoLiveQuorumIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 30*time.Second)
	if err := c.nodes[0].Read(ctx); err != nil {
		t.Fatal(err)
	}
	c.close(2)
	await(t, "the third is silent", func() bool { s := c.nodes[0].Status(); return !s.Members[2].Connected && s.Leader != 0 })
	if err := c.nodes[0].RemoveMember(ctx, 2); !errors.Is(err, ErrQuorumAtRisk) {
		t.Errorf("a live one of two: %v", err)
	}
	if err := insist(ctx, func() error { return c.nodes[0].RemoveMember(ctx, 3) }); err != nil {
		t.Errorf("the dead one: %v", err)
	}
}

func TestWhoCannotBeHeardIsGivenTheTimeOfAnElection(t *testing.T) {
	const shortly, never = time.Millisecond, time.Hour
	over, cancel := context.WithCancel(t.Context())
	cancel()
	open, closed := make(chan struct{}), make(chan struct{})
	close(closed)
	for name, test := range map[string]struct {
		ctx       context.Context
		done      chan struct{} // of the node
		heartbeat time.Duration
		answers   []error // the last one again and again
		want      error
		calls     int
	}{
		"heard at once":              {t.Context(), open, shortly, []error{nil}, nil, 1},
		"heard at last":              {t.Context(), open, shortly, []error{ErrQuorumAtRisk, ErrNotCaughtUp, nil}, nil, 3},
		"never heard":                {t.Context(), open, shortly, []error{ErrQuorumAtRisk}, ErrQuorumAtRisk, 11},
		"refused for another reason": {t.Context(), open, shortly, []error{ErrQuorumAtRisk, ErrSuperseded}, ErrSuperseded, 2},
		"the caller has left":        {over, open, never, []error{ErrQuorumAtRisk}, ErrQuorumAtRisk, 1},
		"the node ends meanwhile":    {t.Context(), closed, never, []error{ErrQuorumAtRisk}, ErrClosed, 1},
	} {
		n := &Node{cfg: Config{Heartbeat: test.heartbeat, ElectionTimeout: 10 * test.heartbeat}, done: test.done}
		calls := 0
		err := n.patiently(test.ctx, func() error {
			calls++
			return test.answers[min(calls, len(test.answers))-1]
		})
		if err != test.want || calls != test.calls {
			t.Errorf("%s: %v after %d calls, want %v after %d", name, err, calls, test.want, test.calls)
		}
	}
}

// TestAChangeIsJudgedByWhatAnybodyWasTold asks one node for what another one has just made possible, before it can have heard of that.
func TestAChangeIsJudgedByWhatAnybodyWasTold(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 2*time.Minute)
	for _, n := range c.nodes {
		await(t, "it hears everybody", func() bool { return len(n.heard()) == 3 })
	}
	const late = 50 * time.Millisecond
	for round := range 4 {
		leader := c.leads()
		second, third := (leader+1+round%2)%3, (leader+2-round%2)%3
		a, b, d := c.nodes[leader], c.nodes[second], c.nodes[third]
		id := paxos.NodeID(100 + round)
		c.links[second].hold(late)
		if err := insist(ctx, func() error { return a.AddMember(ctx, id, "127.0.0.1:1", paxos.Learner) }); err != nil {
			t.Fatal(err)
		}
		if err := insist(ctx, func() error { return b.UpdateMember(ctx, id, "127.0.0.1:2") }); err != nil {
			t.Fatalf("round %d: a change of whom another node has added: %v", round, err)
		}
		latest := awaitMembership(t, a, "the member has another address, and that is in force", func(m Membership) bool {
			member, _ := m.Member(id)
			return settled(m) && member.Address == "127.0.0.1:2"
		}).Latest
		members := slices.DeleteFunc(slices.Clone(latest.Members), func(m paxos.Member) bool { return m.ID == id })
		c.links[third].hold(late)
		if err := insist(ctx, func() error { return a.Reconfigure(ctx, changeOf(latest, members)) }); err != nil {
			t.Fatal(err)
		}
		latest = awaitMembership(t, a, "the member is gone, and that is in force", func(m Membership) bool { _, there := m.Member(id); return settled(m) && !there }).Latest
		back := changeOf(latest, append(slices.Clone(latest.Members), paxos.Member{ID: id, Invited: paxos.Learner, Address: "127.0.0.1:1"}))
		if err := insist(ctx, func() error { return d.Reconfigure(ctx, back) }); err != nil {
			t.Errorf("round %d: a change that was made from what another node knows: %v", round, err)
		}
		if err := insist(ctx, func() error { return b.RemoveMember(ctx, id) }); err != nil {
			t.Errorf("round %d: the removal of whom another node has added: %v", round, err)
		}
	}
}
