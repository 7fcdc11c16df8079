package synod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

// The tests here change who the members are, while others write.

// place makes room for a node that is to join.
func (c *cluster) place(id paxos.NodeID) {
	c.t.Helper()
	listen := freeAddress(c.t)
	l := newLink(c.t, listen)
	c.links, c.listens = append(c.links, l), append(c.listens, listen)
	c.dirs = append(c.dirs, filepath.Join(c.t.TempDir(), fmt.Sprint(id)))
	c.nodes, c.ledgers = append(c.nodes, nil), append(c.ledgers, nil)
	c.joined[len(c.nodes)-1] = Member{ID: id, Address: l.listener.Addr().String()}
}

// invite adds a member and starts its node.
func (c *cluster) invite(ctx context.Context, by *Node, id paxos.NodeID, roles paxos.Role) (i int) {
	c.t.Helper()
	i = len(c.nodes)
	c.place(id)
	if err := insist(ctx, func() error { return by.AddMember(ctx, id, c.joined[i].Address, roles) }); err != nil {
		c.t.Fatalf("adding %x: %v", uint64(id), err)
	}
	c.open(i)
	return i
}

// awaitRoles waits until a node knows that a member plays exactly these roles, and that this is in force.
func awaitRoles(t *testing.T, n *Node, id paxos.NodeID, roles paxos.Role) {
	t.Helper()
	awaitMembership(t, n, fmt.Sprintf("%x is %v", uint64(id), roles), func(m Membership) bool {
		member, ok := m.Member(id)
		return ok && settled(m) && member.Roles == roles && member.Invited == 0
	})
}

// writers are clients that write without end and remember what was acknowledged, and at which place.
type writers struct {
	t      *testing.T
	stop   chan struct{}
	ended  sync.WaitGroup
	mu     sync.Mutex
	nodes  []*Node // who are asked, in turn
	acked  map[uint64]int
	failed map[uint64]bool // said not to have happened
}

func (c *cluster) write(clients int, nodes ...*Node) *writers {
	w := &writers{t: c.t, stop: make(chan struct{}), nodes: nodes, acked: map[uint64]int{}, failed: map[uint64]bool{}}
	for client := range clients {
		w.ended.Go(func() { w.run(client) })
	}
	c.t.Cleanup(w.end)
	return w
}

func (w *writers) run(client int) {
	for i := 0; ; i++ {
		select {
		case <-w.stop:
			return
		default:
		}
		w.mu.Lock()
		node := w.nodes[(client+i)%len(w.nodes)]
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		v := uint64(client)<<32 | uint64(i)
		place, err := node.Propose(ctx, number(v))
		cancel()
		w.mu.Lock()
		if err == nil {
			w.acked[v] = place.(int)
		} else if !errors.Is(err, ErrUnknown) {
			w.failed[v] = true
		}
		w.mu.Unlock()
	}
}

// turnTo has the clients ask these nodes from now on.
func (w *writers) turnTo(nodes ...*Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = nodes
}

func (w *writers) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.ended.Wait()
}

// progress waits until so many more commands have been acknowledged.
func (w *writers) progress(more int) {
	w.t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked)
	}
	was := count()
	await(w.t, fmt.Sprintf("%d more commands are acknowledged", more), func() bool { return count() >= was+more })
}

// check ends the writing and compares what the ledgers of some nodes hold with what was acknowledged: each command once, at its place, the same on all.
func (w *writers) check(c *cluster, nodes ...int) {
	w.t.Helper()
	w.end()
	ctx := within(w.t, 20*time.Second)
	var first []uint64
	for k, i := range nodes {
		if err := c.nodes[i].Read(ctx); err != nil {
			w.t.Fatalf("node %x: %v", uint64(c.nodes[i].cfg.ID), err)
		}
		got := c.ledgers[i].snapshot()
		if k == 0 {
			first = got
		} else if !slices.Equal(first, got) {
			w.t.Fatalf("node %x has applied %d commands, others than the %d of node %x", uint64(c.nodes[i].cfg.ID), len(got), len(first), uint64(c.nodes[nodes[0]].cfg.ID))
		}
	}
	seen := map[uint64]bool{}
	for _, v := range first {
		if seen[v] {
			w.t.Fatalf("command %x is applied twice", v)
		}
		if seen[v] = true; w.failed[v] {
			w.t.Fatalf("command %x is applied, and was said not to have happened", v)
		}
	}
	for v, place := range w.acked {
		if place > len(first) || first[place-1] != v {
			w.t.Fatalf("command %x was acknowledged at place %d of %d, and is not there", v, place, len(first))
		}
	}
}

// awaitRemoved waits until a node has stopped because it is no member any more.
func awaitRemoved(t *testing.T, n *Node) {
	t.Helper()
	await(t, fmt.Sprintf("node %x stops", uint64(n.cfg.ID)), func() bool {
		select {
		case <-n.Done():
			return true
		default:
			return false
		}
	})
	if err := n.Err(); !errors.Is(err, ErrRemoved) {
		t.Fatalf("node %x has stopped because %v", uint64(n.cfg.ID), err)
	}
}

func TestAFourthMemberComesAndGoesUnderLoad(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	w := c.write(4, c.nodes...)
	w.progress(50)
	fourth := c.invite(ctx, c.nodes[0], 4, paxos.FullMember)
	awaitRoles(t, c.nodes[fourth], 4, paxos.FullMember)
	w.turnTo(c.nodes[fourth])
	w.progress(50)
	w.turnTo(c.nodes[:3]...)
	if err := insist(ctx, func() error { return c.nodes[0].RemoveMember(ctx, 4) }); err != nil {
		t.Fatal(err)
	}
	awaitRemoved(t, c.nodes[fourth])
	w.progress(50)
	w.check(c, 0, 1, 2)
	if _, err := c.nodes[fourth].Propose(ctx, number(1)); !errors.Is(err, ErrFailed) && !errors.Is(err, ErrRemoved) {
		t.Errorf("the removed member takes a command: %v", err)
	}
}

// All members are replaced, one after the other, by others at other addresses; at the end nobody is left of those who founded the cluster.
func TestAllMembersAreReplacedOneByOneUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx := within(t, 100*time.Second)
	w := c.write(4, c.nodes...)
	w.progress(50)
	alive := []int{0, 1, 2}
	for round := range 3 {
		fresh := c.invite(ctx, c.nodes[alive[1]], paxos.NodeID(4+round), paxos.FullMember)
		awaitRoles(t, c.nodes[fresh], paxos.NodeID(4+round), paxos.FullMember)
		alive = append(alive, fresh)
		old := alive[0]
		alive = alive[1:]
		w.turnTo(c.nodes[alive[0]], c.nodes[alive[1]], c.nodes[alive[2]])
		if err := insist(ctx, func() error { return c.nodes[fresh].RemoveMember(ctx, paxos.NodeID(old+1)) }); err != nil {
			t.Fatal(err)
		}
		awaitRemoved(t, c.nodes[old])
		w.progress(30)
	}
	w.check(c, alive...)
	// A restart goes by what is on disk: Config.Members names three who are gone.
	for _, i := range alive {
		c.close(i)
	}
	for _, i := range alive {
		c.open(i)
	}
	for _, i := range alive {
		c.propose(ctx, i, number(uint64(1<<60+i)))
	}
}

func TestALeaderRemovesItself(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	w := c.write(4, c.nodes...)
	w.progress(50)
	leader := c.leads()
	var rest []int
	var others []*Node
	for i, n := range c.nodes {
		if i != leader {
			rest, others = append(rest, i), append(others, n)
		}
	}
	if err := insist(ctx, func() error { return c.nodes[leader].RemoveMember(ctx, c.nodes[leader].cfg.ID) }); err != nil {
		t.Fatal(err)
	}
	w.turnTo(others...)
	awaitRemoved(t, c.nodes[leader])
	w.progress(50)
	w.check(c, rest...)
}

// Three learners take the place of three members in one step.
func TestDisjointMembersTakeOverInOneStep(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	w := c.write(4, c.nodes...)
	w.progress(50)
	for id := paxos.NodeID(4); id <= 6; id++ {
		fresh := c.invite(ctx, c.nodes[0], id, paxos.Learner)
		awaitRoles(t, c.nodes[fresh], id, paxos.Learner)
	}
	latest := awaitMembership(t, c.nodes[0], "the last learner is there", func(m Membership) bool { return settled(m) && len(m.Latest.Members) == 6 }).Latest
	await(t, "the first node hears the learners", func() bool { return len(c.nodes[0].heard()) == 6 })
	next := Change{Replaces: latest.Epoch}
	for _, m := range latest.Members[3:] {
		m.Roles = paxos.FullMember
		next.Members = append(next.Members, m)
	}
	if err := insist(ctx, func() error { return c.nodes[0].Reconfigure(ctx, next) }); err != nil {
		t.Fatal(err)
	}
	w.turnTo(c.nodes[3:]...)
	for _, n := range c.nodes[:3] {
		awaitRemoved(t, n)
	}
	w.progress(50)
	w.check(c, 3, 4, 5)
}

func TestALearnerIsPromotedOnRequestOnly(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	await(t, "the first node hears everybody", func() bool { return len(c.nodes[0].heard()) == 3 })
	if err := insist(ctx, func() error { return c.nodes[0].AddMember(ctx, 9, "127.0.0.1:1", paxos.Learner) }); err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[0].PromoteMember(ctx, 9); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("one who has not come: %v", err)
	}
	learner := c.invite(ctx, c.nodes[0], 4, paxos.Learner)
	awaitRoles(t, c.nodes[learner], 4, paxos.Learner)
	await(t, "the learner has caught up", func() bool {
		err := c.nodes[0].PromoteMember(ctx, 4)
		if err != nil && !errors.Is(err, ErrNotCaughtUp) && !errors.Is(err, ErrQuorumAtRisk) {
			t.Fatal(err)
		}
		return err == nil
	})
	awaitRoles(t, c.nodes[learner], 4, paxos.FullMember)
	if err := c.nodes[0].PromoteMember(ctx, 4); !errors.Is(err, ErrNotLearner) {
		t.Errorf("one who votes: %v", err)
	}
}

// wipe removes a node's disk.
func (c *cluster) wipe(i int) {
	c.t.Helper()
	c.close(i)
	if err := os.RemoveAll(c.dirs[i]); err != nil {
		c.t.Fatal(err)
	}
}

func TestAWipedDiskIsReplacedByOneCall(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	w := c.write(4, c.nodes[:2]...)
	w.progress(50)
	c.wipe(2)
	if err := insist(ctx, func() error { return c.nodes[0].ReplaceMember(ctx, 3) }); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes[:2] {
		awaitMembership(t, n, "the third is invited", func(m Membership) bool { third, _ := m.Member(3); return third.Incarnation == 0 })
	}
	c.open(2) // as a founder that it was: the invitation tells it better
	awaitRoles(t, c.nodes[2], 3, paxos.FullMember)
	w.turnTo(c.nodes...)
	w.progress(50)
	w.check(c, 0, 1, 2)
	c.close(2)
	c.open(2)
	if err := c.nodes[2].Read(ctx); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestAWipedDiskIsReplacedWithoutACallIfThatIsWanted(t *testing.T) {
	c := newClusterOf(t, 3, func(_ int, cfg *Config) { cfg.ReplaceWiped = true })
	w := c.write(4, c.nodes[:2]...)
	w.progress(50)
	before := awaitMembership(t, c.nodes[0], "the cluster is founded", settled).Latest.Members[2]
	c.wipe(2)
	c.open(2)
	awaitMembership(t, c.nodes[0], "the third votes on another disk", func(m Membership) bool {
		third, _ := m.Member(3)
		return settled(m) && third.Roles == paxos.FullMember && third.Incarnation != before.Incarnation
	})
	w.turnTo(c.nodes...)
	w.progress(50)
	w.check(c, 0, 1, 2)
}
