package synod

import (
	"context"
	"errors"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

const member3 = 3 // the one that is no full member, beside three that are

func TestAReplicaReadsWhatWasAcknowledgedAnywhere(t *testing.T) {
	c := newClusterOfRoles(t, 0, 0, nil, full, full, full, replica)
	ctx := within(t, time.Minute)
	for i := range 100 {
		place := c.propose(ctx, i%3, number(uint64(i))).(int)
		if err := c.nodes[member3].Read(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(c.ledgers[member3].snapshot()); got < place {
			t.Fatalf("a command is acknowledged at place %d, and the replica has read %d", place, got)
		}
	}
	if place := c.propose(ctx, member3, number(100)).(int); c.ledgers[member3].snapshot()[place-1] != 100 {
		t.Errorf("a command through the replica is said to be at place %d, where another one is", place)
	}
}

func TestAReplicaCountsInNoQuorum(t *testing.T) {
	t.Parallel()
	c := newClusterOfRoles(t, 0, 0, nil, full, full, full, replica, replica)
	ctx := within(t, time.Minute)
	c.propose(ctx, 0, number(1))
	leader := c.leads()
	c.close((leader + 1) % 3)
	c.close((leader + 2) % 3)
	short := within(t, time.Second)
	if _, err := c.nodes[leader].Propose(short, number(2)); err == nil {
		t.Fatal("a command is acknowledged that one of three voters holds")
	}
	if err := c.nodes[member3].Read(within(t, time.Second)); err == nil {
		t.Fatal("a read is confirmed by one of three voters")
	}
	c.open((leader + 1) % 3)
	if err := c.nodes[member3].Read(ctx); err != nil {
		t.Errorf("two of three are back: %v", err)
	}
}

// A replica that nobody can hear reads no more, but what may be old it reads as long as it may be that old.
func TestAStaleReadIsNoOlderThanItMayBe(t *testing.T) {
	c := newClusterOfRoles(t, 0, 0, nil, full, full, full, replica)
	n := c.nodes[member3]
	if err := n.ReadStale(within(t, time.Minute), time.Hour); err != nil {
		t.Fatal(err) // the first one has to ask
	}
	for i := range 3 {
		c.close(i)
	}
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.ReadStale(expired, time.Hour); err != nil {
		t.Errorf("a read that may be an hour old: %v", err)
	}
	if err := n.ReadStale(expired, time.Nanosecond); !errors.Is(err, ErrReadTimeout) {
		t.Errorf("a read that may be a nanosecond old, while nobody is heard: %v", err)
	}
	c.close(member3)
	if err := n.ReadStale(context.Background(), time.Hour); !errors.Is(err, ErrClosed) {
		t.Errorf("a read after the end: %v", err)
	}
}

func TestAGatewayForwardsAndKeepsNothing(t *testing.T) {
	t.Parallel()
	c := newClusterOfRoles(t, 0, 0, nil, full, full, full, gateway)
	ctx := within(t, 5*time.Minute)
	g := c.nodes[member3]
	const commands = paxos.WindowDefault + 200
	for i := range commands {
		if result := c.propose(ctx, member3, number(uint64(i))); result != nil {
			t.Fatalf("command %d: %v", i, result)
		}
	}
	for i := range 3 {
		if err := c.nodes[i].Read(ctx); err != nil {
			t.Fatal(err)
		}
		if got := c.ledgers[i].snapshot(); len(got) < commands || got[len(got)-1] != commands-1 {
			t.Fatalf("node %d has %d commands of %d", i+1, len(got), commands)
		}
	}
	await(t, "the gateway has kept up with the membership", func() bool { return g.Status().Trimmed > 0 })
	if got := g.log.Durable(); got != 0 {
		t.Errorf("the gateway has written %d records", got)
	}
	if err := g.Read(ctx); !errors.Is(err, ErrNoMachine) {
		t.Errorf("a read: %v", err)
	}
}

func TestAGatewayNeverLeadsAndFindsTheNextLeader(t *testing.T) {
	c := newClusterOfRoles(t, 0, 0, func(_ int, cfg *Config) { cfg.ElectionTimeout = 5 * time.Second }, full, full, full, gateway)
	ctx := within(t, time.Minute)
	for round := range 3 {
		c.propose(ctx, member3, number(uint64(round)))
		leader := c.leads()
		if leader == member3 {
			t.Fatal("the gateway leads")
		}
		if err := c.nodes[leader].MoveLeader(ctx, member3+1); !errors.Is(err, ErrBadSuccessor) {
			t.Fatalf("leadership is handed to the gateway: %v", err)
		}
		c.close(leader)
		await(t, "the gateway knows another leader", func() bool {
			id, _ := c.nodes[member3].Leader()
			return id != 0 && id != paxos.NodeID(leader+1)
		})
		c.open(leader)
	}
}
