package paxos

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A cluster of real replicas under a scheduler that draws everything from one seed: which message is delivered when, twice or never; when a disk syncs; who
// crashes and what of his unsynced log survives. The checks look at every effect.

type testCluster struct {
	t      *testing.T
	rng    *rand.Rand
	nodes  []*testNode
	net    []testMessage
	config *Configuration
	faults testFaults

	chosen  map[Slot]string // the omniscient log
	where   map[uint64]Slot // command → the slot it was applied in
	refused map[uint64]bool // attempts that were said not to have happened
	acked   Slot            // the highest slot whose command has been answered to its proposer
	lastID  uint64
	reads   map[uint64]Slot // read → what had been answered when it began
	done    int             // reads served
	fetched int             // snapshots installed

	epochs  map[uint32]string // the members of each configuration, as anybody has known it
	named   map[identity]bool // in any change that was asked for
	changes int               // that came into force
	removed int               // nodes that found themselves removed
}

type testFaults struct {
	loss, duplication, crash float64
	trim                     bool // logs are trimmed to what machines have saved
	cut                      func(from, to NodeID) bool
}

type testNode struct {
	id        NodeID
	inc       Incarnation
	boot      uint32
	up        bool
	lost      bool // for good
	noMachine bool
	r         *Replica
	fx        Effects
	log       []*Record        // log[i] has LSN i+1
	known     []*Configuration // durable, beside the machine
	durable   int
	applied   Slot // of the state machine; durable with the machine's own state
	saved     Slot
	trimmed   Slot             // of the log; never above saved
	source    NodeID           // whose snapshot is being fetched; 0 if none
	wanted    Slot             // without a machine: what is to be skipped then
	released  Slot             // as it was when the log was last trimmed
	installed Slot             // the machine has not applied what lies up to here, and holds its effects
	skipped   Slot             // installed in machine and log, and the core not yet told; 0 if there is none
	brought   []*Configuration // with the last snapshot
	pending   map[uint64]bool
}

type testMessage struct {
	from, to NodeID
	inc      Incarnation // of the sender
	m        *Message
}

func newTestCluster(t *testing.T, seed uint64, n int) *testCluster {
	return newTestClusterOf(t, seed, slices.Repeat([]Role{FullMember}, n)...)
}

func newTestClusterOf(t *testing.T, seed uint64, roles ...Role) *testCluster {
	c := &testCluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), chosen: map[Slot]string{}, where: map[uint64]Slot{}, refused: map[uint64]bool{}, reads: map[uint64]Slot{}, epochs: map[uint32]string{}, named: map[identity]bool{}}
	var members []Member
	for i, role := range roles {
		members = append(members, Member{ID: NodeID(i + 1), Incarnation: Incarnation(100 + i), Roles: role})
	}
	config, err := NewConfiguration(0, members, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.config = config.WithWindow(8)
	for i, role := range roles {
		c.nodes = append(c.nodes, &testNode{id: NodeID(i + 1), inc: Incarnation(100 + i), noMachine: role&Learner == 0})
		c.start(c.nodes[i])
	}
	return c
}

func testLimits() Limits {
	return Limits{ChunkBytes: 200, CacheBytes: 1000, BatchBytes: 200, AdmissionCount: 64}
}

func (c *testCluster) start(n *testNode) {
	n.boot++
	n.up = true
	n.pending = map[uint64]bool{}
	n.applied, n.installed, n.source, n.skipped = n.saved, 0, 0, 0
	if n.noMachine {
		n.applied, n.saved = n.trimmed, n.trimmed
	}
	stable := Stable{Applied: n.applied, Released: n.released, Last: LSN(len(n.log)), Configurations: n.known}
	for _, rec := range n.log {
		stable.Promised = maxBallot(stable.Promised, rec.Ballot)
	}
	r, err := New(Config{Self: n.id, Incarnation: n.inc, Boot: n.boot, Founders: c.config, Seed: uint64(n.id),
		HeartbeatTicks: 10, SuspectTicks: 40, ResendTicks: 15, Limits: testLimits(), NoMachine: n.noMachine}, stable)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, rec := range n.log {
		if rec.Slot == 0 || rec.Slot > n.applied {
			r.Restore(LSN(i+1), rec)
		}
	}
	n.r = r
	n.keep(r.Configurations())
	for s := n.applied + 1; s <= r.Delivered() && !n.noMachine; s++ {
		c.apply(n, lastRecord(n.log, s))
	}
}

// lastRecord is what a log answers when asked for a slot.
func lastRecord(log []*Record, slot Slot) *Record {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].Slot == slot && log[i].Kind != RecordPromise {
			return log[i]
		}
	}
	return nil
}

func (c *testCluster) step(n *testNode, ev Event) {
	n.fx.Reset()
	n.r.Step(ev, &n.fx)
	for _, rec := range n.fx.Records {
		n.log = append(n.log, rec)
	}
	for _, out := range n.fx.Messages {
		c.transmit(n.id, out)
	}
	for _, rc := range n.fx.Reconfigured {
		c.reconfigured(n, rc)
	}
	if n.fx.Removed {
		c.removed++
	}
	for _, rec := range n.fx.Chosen {
		if n.durable < len(n.log) && lastRecord(n.log[:n.durable], rec.Slot) == nil {
			c.t.Fatalf("node %d delivers slot %d, which is not durable in its log", n.id, rec.Slot)
		}
		if rec.Slot > n.installed && !n.noMachine {
			c.apply(n, rec)
		}
	}
	for _, rj := range n.fx.Rejected {
		if s, ok := c.where[rj.ID]; ok {
			c.t.Fatalf("command %d was rejected and is applied in slot %d", rj.ID, s)
		}
		c.refused[rj.ID] = true
		delete(n.pending, rj.ID)
	}
	for _, rr := range n.fx.Reads {
		if before := c.reads[rr.Read]; rr.Slot < before {
			c.t.Fatalf("read %d may be served at slot %d, but slot %d was acknowledged before it began", rr.Read, rr.Slot, before)
		}
		delete(c.reads, rr.Read)
		c.done++
	}
	for _, f := range append([]Fetch(nil), n.fx.Fetches...) {
		c.fetch(n, f)
	}
	for _, tr := range n.fx.Transfers {
		n.source, n.wanted = tr.Peer, tr.Skip
	}
}

func (c *testCluster) fetch(n *testNode, f Fetch) {
	var records []*Record
	for s := max(f.Slot, n.trimmed+1); s <= f.Upto && len(records) < 3 && f.Slot > n.trimmed; s++ {
		rec := lastRecord(n.log, s)
		if rec == nil {
			break
		}
		records = append(records, rec)
	}
	c.step(n, Event{Kind: Fetched, Peer: f.Peer, Records: records, Slot: min(n.trimmed, f.Upto)})
}

// install gives a node the machine of the one that it fetches a snapshot from, if that is ahead, durably, and trims its log. The core is told later, or never.
func (c *testCluster) install(n *testNode) {
	from := c.node(n.source)
	n.source = 0
	if n.noMachine {
		if from.up && from.applied >= n.wanted && n.wanted > n.trimmed {
			n.released = n.r.Status().Released
			n.trimmed, n.skipped, n.brought = n.wanted, n.wanted, from.r.Configurations()
			n.keep(n.brought)
		}
		return
	}
	if !from.up || from.applied <= n.applied {
		return
	}
	n.applied, n.saved, n.trimmed, n.skipped, n.installed = from.applied, from.applied, from.applied, from.applied, from.applied
	n.brought = from.r.Configurations()
	n.keep(n.brought)
	clear(n.pending)
	c.fetched++
}

// trim forgets what the machine has saved, as far as others do not need it.
func (c *testCluster) trim(n *testNode) {
	st, own := n.r.Status(), n.saved
	if n.noMachine {
		own = st.Delivered
	}
	n.released = st.Released
	n.trimmed = max(n.trimmed, min(own, st.TrimLimit))
}

// skip tells the core of an installation.
func (c *testCluster) skip(n *testNode) {
	slot := n.skipped
	n.skipped = 0
	c.step(n, Event{Kind: Installed, Slot: slot, Configurations: n.brought})
}

func (c *testCluster) transmit(from NodeID, out Outgoing) {
	if c.faults.cut != nil && c.faults.cut(from, out.To) {
		return
	}
	wire := bytes.Join(AppendMessage(nil, out.Message), nil)
	m, err := DecodeMessage(wire)
	if err != nil {
		c.t.Fatalf("%v does not survive its encoding: %v", out.Message.Kind, err)
	}
	c.net = append(c.net, testMessage{from, out.To, c.node(from).inc, m})
}

func (c *testCluster) apply(n *testNode, rec *Record) {
	if rec == nil || rec.Slot != n.applied+1 {
		c.t.Fatalf("node %d applies %+v after slot %d", n.id, rec, n.applied)
	}
	n.applied = rec.Slot
	if c.rng.IntN(4) == 0 {
		n.saved = n.applied
	}
	value := string(rec.Value)
	if was, ok := c.chosen[rec.Slot]; ok && was != value {
		c.t.Fatalf("slot %d: node %d applies %x, another applied %x", rec.Slot, n.id, value, was)
	}
	c.chosen[rec.Slot] = value
	err := rec.Value.Commands(func(cmd []byte) {
		id := binary.LittleEndian.Uint64(cmd)
		if s, ok := c.where[id]; ok && s != rec.Slot {
			c.t.Fatalf("command %d is applied in slots %d and %d", id, s, rec.Slot)
		}
		if c.refused[id] {
			c.t.Fatalf("command %d is applied in slot %d, and was said not to have happened", id, rec.Slot)
		}
		c.where[id] = rec.Slot
		if n.pending[id] {
			delete(n.pending, id)
			c.acked = max(c.acked, rec.Slot)
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) propose(n *testNode) {
	c.lastID++
	n.pending[c.lastID] = true
	cmd := binary.LittleEndian.AppendUint64(make([]byte, 0, 64), c.lastID)
	cmd = append(cmd, make([]byte, c.rng.IntN(50))...)
	c.step(n, Event{Kind: Propose, Proposal: Proposal{Source: c.rng.Uint64() % 3, ID: c.lastID, Data: cmd}})
}

func (c *testCluster) read(n *testNode) {
	c.lastID++
	c.reads[c.lastID] = c.acked
	c.step(n, Event{Kind: Read, Read: c.lastID})
}

func (c *testCluster) sync(n *testNode) {
	if n.durable < len(n.log) {
		n.durable = len(n.log)
		c.step(n, Event{Kind: Durable, LSN: LSN(n.durable)})
	}
}

// crash loses what was not synced, but for a part that the disk happened to keep.
func (c *testCluster) crash(n *testNode) {
	n.up = false
	keep := n.durable + c.rng.IntN(len(n.log)-n.durable+1)
	n.log = n.log[:keep:keep]
	n.durable = keep
}

func (c *testCluster) node(id NodeID) *testNode { return c.nodes[id-1] }

// deliverOne hands over one message, not necessarily the oldest.
func (c *testCluster) deliverOne() {
	if len(c.net) == 0 {
		return
	}
	i := c.rng.IntN(min(len(c.net), 20))
	msg := c.net[i]
	if c.rng.Float64() >= c.faults.duplication {
		c.net = append(c.net[:i], c.net[i+1:]...)
	}
	if to := c.node(msg.to); to.up && c.rng.Float64() >= c.faults.loss {
		c.step(to, Event{Kind: Received, From: msg.from, Incarnation: msg.inc, Message: msg.m})
	}
}

func (c *testCluster) random() {
	n := c.nodes[c.rng.IntN(len(c.nodes))]
	x := c.rng.Float64()
	switch {
	case !n.up:
		if x < 0.02 && !n.lost {
			c.start(n)
		}
	case x < c.faults.crash:
		c.crash(n)
	case x < 0.25:
		c.step(n, Event{Kind: Tick})
	case x < 0.35:
		c.sync(n)
	case x < 0.45:
		c.step(n, Event{Kind: Idle})
	case x < 0.48:
		if len(n.pending) < 20 {
			c.propose(n)
		}
	case x < 0.50:
		if len(c.reads) < 20 {
			c.read(n)
		}
	case x < 0.505 && n.skipped > 0:
		c.skip(n)
	case x < 0.505 && n.source > 0:
		c.install(n)
	case x < 0.505 && c.faults.trim:
		c.trim(n)
	case x < 0.51:
		c.step(n, Event{Kind: Disconnected, Peer: NodeID(1 + c.rng.IntN(len(c.nodes)))})
	default:
		c.deliverOne()
	}
}

// settle runs without faults, in fair turns, until every node has applied everything and nothing waits.
func (c *testCluster) settle(rounds int, nodes ...*testNode) {
	for _, n := range nodes {
		if !n.up && !n.lost {
			c.start(n)
		}
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *testNode) bool { return n.lost })
	for range rounds {
		for _, n := range nodes {
			c.step(n, Event{Kind: Tick})
			c.step(n, Event{Kind: Idle})
		}
		for k := len(c.net); k > 0; k-- {
			msg := c.net[0]
			c.net = c.net[1:]
			if to := c.node(msg.to); to.up {
				c.step(to, Event{Kind: Received, From: msg.from, Incarnation: msg.inc, Message: msg.m})
			}
		}
		for _, n := range nodes {
			c.sync(n)
			c.step(n, Event{Kind: Idle})
			if n.source > 0 && n.skipped == 0 {
				c.install(n)
			}
			if n.skipped > 0 {
				c.skip(n)
			}
		}
	}
}

var seeds = flag.Int("seeds", 300, "schedules that the random cluster test plays")

func TestRandomSchedulesAgreeAndThenFinish(t *testing.T) {
	total, fetched := 0, 0
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newTestCluster(t, uint64(seed), 1+2*(seed%3))
			c.faults = testFaults{loss: 0.05 * float64(seed%4), duplication: 0.1 * float64(seed%3), crash: 0.0005 * float64(seed%5)}
			c.faults.trim = seed%5 > 1
			if seed%7 == 0 && len(c.nodes) > 1 {
				c.faults.cut = func(from, to NodeID) bool { return from == 1 && to == 2 }
			}
			for step := range 6000 {
				if c.faults.trim && step%1000 == 0 { // somebody falls behind
					away := NodeID(1 + c.rng.IntN(2*len(c.nodes)))
					c.faults.cut = func(from, to NodeID) bool { return from == away || to == away }
				}
				c.random()
			}
			c.faults = testFaults{}
			c.settle(400, c.nodes...)
			before := len(c.chosen)
			c.propose(c.nodes[0])
			c.read(c.nodes[len(c.nodes)-1])
			reads := c.done
			c.settle(100, c.nodes...)
			if len(c.chosen) <= before || c.done <= reads {
				t.Fatalf("after the faults nothing moves: %d slots chosen, was %d; %d reads served, was %d\n%+v", len(c.chosen), before, c.done, reads, c.nodes[0].r.Status())
			}
			for _, n := range c.nodes {
				if n.applied != c.nodes[0].applied {
					t.Fatalf("node %d has applied %d slots, node 1 %d", n.id, n.applied, c.nodes[0].applied)
				}
			}
			total += len(c.chosen)
			fetched += c.fetched
		})
	}
	if total < 20**seeds {
		t.Fatalf("only %d slots were chosen in %d schedules: the test tests little", total, *seeds)
	}
	if fetched < *seeds/5 {
		t.Fatalf("only %d snapshots were installed in %d schedules: the test tests little", fetched, *seeds)
	}
	t.Logf("%d slots chosen, %d snapshots installed", total, fetched)
}
