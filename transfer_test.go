package synod

import (
	"context"
	"errors"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

// leader waits until a node leads and is followed by all, and returns its index.
func (c *cluster) leader() int {
	c.t.Helper()
	ctx := within(c.t, 20*time.Second)
	for ticker := time.NewTicker(5 * time.Millisecond); ; {
		first, _ := c.nodes[0].Leader()
		agreed := first != 0
		for _, n := range c.nodes {
			leader, _ := n.Leader()
			agreed = agreed && leader == first
		}
		if agreed {
			return int(first) - 1
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			c.t.Fatal("no leader that everybody follows")
		}
	}
}

// newSteadyCluster starts three nodes of which the leader stays one though a disk or the scheduler keeps it waiting.
func newSteadyCluster(t *testing.T) *cluster {
	return newClusterOf(t, 3, func(_ int, cfg *Config) { cfg.ElectionTimeout = 5 * time.Second })
}

func TestLeadershipMovesToWhoeverIsChosenAndNothingIsLost(t *testing.T) {
	c := newSteadyCluster(t)
	ctx, cancel := context.WithCancel(within(t, 60*time.Second))
	acked := make(chan []uint64)
	go func() {
		var mine []uint64
		for v := uint64(1); ctx.Err() == nil; v++ {
			if _, err := c.nodes[int(v)%3].Propose(ctx, number(v)); err == nil {
				mine = append(mine, v)
			}
		}
		acked <- mine
	}()
	for range 6 {
		from := c.leader()
		to := paxos.NodeID((from+1)%3 + 1)
		if err := c.nodes[from].MoveLeader(ctx, to); err != nil {
			t.Fatal(err)
		}
		if got := c.leader(); got != int(to)-1 {
			t.Fatalf("node %d leads, not %d", got+1, to)
		}
	}
	cancel()
	mine := <-acked
	if err := c.nodes[0].Read(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	applied := map[uint64]int{}
	for _, v := range c.ledgers[0].snapshot() {
		applied[v]++
	}
	for _, v := range mine {
		if applied[v] != 1 {
			t.Errorf("command %d was acknowledged and is applied %d times", v, applied[v])
		}
	}
	if len(mine) == 0 {
		t.Error("nothing was acknowledged")
	}
}

func TestLeadershipIsNotMovedByOrToWhoCannot(t *testing.T) {
	c := newSteadyCluster(t)
	leader := c.leader()
	ctx := within(t, 20*time.Second)
	if err := c.nodes[(leader+1)%3].MoveLeader(ctx, 1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower moves leadership: %v", err)
	}
	if err := c.nodes[leader].MoveLeader(ctx, 99); !errors.Is(err, ErrBadSuccessor) {
		t.Errorf("to a stranger: %v", err)
	}
	if err := c.nodes[leader].MoveLeader(ctx, paxos.NodeID(leader+1)); err != nil {
		t.Errorf("to itself: %v", err)
	}
	away := (leader + 2) % 3
	c.close(away)
	if err := c.nodes[leader].MoveLeader(ctx, paxos.NodeID(away+1)); !errors.Is(err, ErrBadSuccessor) {
		t.Errorf("to a member that is not there: %v", err)
	}
}
