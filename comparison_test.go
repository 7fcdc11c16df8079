package synod

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// said is what members have told of some slots: their digests, 0 for nothing.
type said map[paxos.Slot][]uint64

// comparisonOf returns that of the first member.
func comparisonOf(s said) *comparison {
	c := newComparison(1, 0)
	for slot, digests := range s {
		for i, d := range digests {
			switch {
			case d == 0:
			case i == 0:
				c.take(slot, d)
			default:
				c.hear(paxos.NodeID(i+1), []digestPoint{{slot, d}})
			}
		}
	}
	return c
}

func TestAMemberStopsIfAMajorityAgreesOnAnotherStateAndTellsIfNobodyDoes(t *testing.T) {
	three, two, five := []paxos.NodeID{1, 2, 3}, []paxos.NodeID{1, 2}, []paxos.NodeID{1, 2, 3, 4, 5}
	for name, test := range map[string]struct {
		learners         []paxos.NodeID
		said             said
		stops            bool
		tells, tellsLate bool // at once, or when nobody else has spoken for long
		blamed           []paxos.NodeID
	}{
		"nobody has spoken":                       {learners: three, said: said{256: {7, 0, 0}}},
		"all agree":                               {learners: three, said: said{256: {7, 7, 7}}},
		"one other differs":                       {learners: three, said: said{256: {7, 7, 8}}, blamed: []paxos.NodeID{3}},
		"the others differ from this one":         {learners: three, said: said{256: {7, 8, 8}}, stops: true},
		"one of three differs, one is silent":     {learners: three, said: said{256: {7, 8, 0}}, tellsLate: true},
		"each of three has another state":         {learners: three, said: said{256: {7, 8, 9}}, tells: true},
		"two members differ":                      {learners: two, said: said{256: {7, 8}}, tells: true},
		"two against two of five":                 {learners: five, said: said{256: {7, 7, 8, 8, 0}}, tellsLate: true},
		"three against two of five":               {learners: five, said: said{256: {7, 7, 8, 8, 8}}, stops: true},
		"who is no learner does not count":        {learners: two, said: said{256: {7, 7, 8}}},
		"a state of another slot does not count":  {learners: three, said: said{256: {7, 0, 0}, 512: {0, 8, 8}}},
		"they differ since they have agreed":      {learners: three, said: said{256: {7, 7, 7}, 512: {7, 8, 0}}, tellsLate: true},
		"they agree since, and did not once":      {learners: three, said: said{256: {7, 8, 8}, 512: {9, 9, 9}}},
		"a majority differs, the newest is open":  {learners: three, said: said{256: {7, 8, 8}, 512: {9, 0, 0}}, stops: true},
		"a majority that was against this before": {learners: three, said: said{256: {7, 8, 8}, 512: {9, 8, 0}}, stops: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := comparisonOf(test.said)
			blamed, divergence, err := c.judge(test.learners)
			if stops := err != nil; stops != test.stops {
				t.Errorf("it stops: %v", err)
			}
			if tells := divergence != nil; tells != test.tells {
				t.Errorf("it tells of %+v", divergence)
			}
			if !slices.Equal(blamed, test.blamed) {
				t.Errorf("it blames %v", blamed)
			}
			for range digestDoubtsMax {
				var again []paxos.NodeID
				if again, divergence, _ = c.judge(test.learners); divergence != nil {
					break
				}
				if len(again) > 0 {
					t.Errorf("it blames %v again", again)
				}
			}
			if late := divergence != nil; late != test.tellsLate {
				t.Errorf("after a while it tells of %+v", divergence)
			}
			if _, again, _ := c.judge(test.learners); again != nil {
				t.Error("it tells twice")
			}
		})
	}
}

// What is kept of each member is bounded, and is what came last.
func TestDigestsThatAreKeptAreTheLast(t *testing.T) {
	c := newComparison(1, 1000)
	if c.due(768) || !c.due(1024) || c.due(1025) {
		t.Error("digests are due at other slots than the multiples of 256 from slot 1000 on")
	}
	for slot := paxos.Slot(digestSlots); slot <= 2*digestsKept*digestSlots; slot += digestSlots {
		c.take(slot, uint64(slot))
		c.hear(2, []digestPoint{{slot, uint64(slot)}})
	}
	c.hear(2, []digestPoint{{digestSlots, 1}, {2 * digestsKept * digestSlots, 2}})
	if len(c.own) != digestsKept || len(c.others[2]) != digestsKept {
		t.Errorf("%d and %d are kept", len(c.own), len(c.others[2]))
	}
	if last := c.others[2][digestsKept-1]; last != (digestPoint{2 * digestsKept * digestSlots, 2}) {
		t.Errorf("the last one is %+v", last)
	}
	points, ok := decodeDigests(c.encode()[1:])
	if !ok || !slices.Equal(points, c.own[digestsKept-digestsSent:]) {
		t.Errorf("%d of the last are told, %v", len(points), ok)
	}
}

// FuzzDecodeDigests feeds the decoder of other members' digests.
func FuzzDecodeDigests(f *testing.F) {
	f.Add(comparisonOf(said{256: {7}, 512: {8}}).encode()[1:])
	f.Add(make([]byte, 15))
	f.Fuzz(func(t *testing.T, b []byte) {
		points, ok := decodeDigests(b)
		if ok && (len(points) > digestsSent || len(points)*16 != len(b)) {
			t.Fatalf("%d points of %d bytes", len(points), len(b))
		}
	})
}

// chained is a ledger that keeps a digest of what it has executed.
type chained struct {
	ledger
	digest uint64
}

func (c *chained) Apply(commands []Command) []any {
	results := c.ledger.Apply(commands)
	for _, command := range commands {
		h := fnv.New64a()
		h.Write(binary.LittleEndian.AppendUint64(nil, c.digest))
		h.Write(command.Data)
		c.digest = h.Sum64()
	}
	return results
}

func (c *chained) Digest() (uint64, bool) { return c.digest, true }

// chain is a cluster of such machines, with disks in memory: it takes thousands of commands, one after the other.
type chain struct {
	*cluster
	machines []*chained
	disks    []*disk.Mem
	diverged chan Divergence
}

func newChain(t *testing.T, n int) *chain {
	c := &chain{machines: make([]*chained, n), diverged: make(chan Divergence, 100)}
	for range n {
		c.disks = append(c.disks, disk.NewMem())
	}
	c.cluster = newClusterOf(t, n, func(i int, cfg *Config) {
		c.machines[i] = &chained{}
		cfg.Machine, cfg.fs = c.machines[i], c.disks[i]
		cfg.Events = &EventListener{Diverged: func(d Divergence) { c.diverged <- d }}
	})
	return c
}

// bend changes a machine's state behind its node's back.
func (c *chain) bend(i int) {
	c.nodes[i].apply.do(func() { c.machines[i].digest++ })
}

// work proposes so many slots of commands as it takes for digests, one after the other so that each has a slot.
func (c *chain) work(ctx context.Context, node *Node) {
	c.t.Helper()
	for range 2 * digestSlots {
		if _, err := node.Propose(ctx, number(1)); err != nil && !errors.Is(err, ErrUnknown) { // the leader may have gone
			c.t.Fatal(err)
		}
	}
}

func TestAMemberWhoseStateDiffersStopsAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	c := newChain(t, 3)
	ctx := within(t, 5*time.Minute)
	c.work(ctx, c.nodes[0])
	c.bend(2)
	c.work(ctx, c.nodes[0])
	select {
	case <-c.nodes[2].Done():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	if err := c.nodes[2].Err(); err == nil || !strings.Contains(err.Error(), "another state than the majority") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it says %v", err)
	}
	if _, err := c.nodes[2].Propose(ctx, number(1)); !errors.Is(err, ErrFailed) {
		t.Errorf("it answers %v", err)
	}
	c.work(ctx, c.nodes[0])
	for i := range 2 {
		if err := c.nodes[i].Read(ctx); err != nil || c.nodes[i].Err() != nil {
			t.Errorf("node %d: %v, %v", i+1, err, c.nodes[i].Err())
		}
	}
	if len(c.diverged) > 0 {
		t.Errorf("it is undecided: %+v", <-c.diverged)
	}
	c.close(2)
	node, err := Open(c.config(2))
	if err == nil || !strings.Contains(err.Error(), "another state than the majority") || !strings.Contains(err.Error(), "add it anew") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it starts again, or says %v", err)
		closeIf(node)
	}
	if worst, lines := checkDirectory(t, c.disks[2], c.dirs[2]); worst != disk.Fatal || !strings.Contains(lines, "another than the majority's") {
		t.Errorf("a check finds %q", lines)
	}
}

// A disk that does not take the note is the last word of a member that has to be replaced.
func TestADivergedMemberThatCannotNoteItSaysSo(t *testing.T) {
	mem := disk.NewMem()
	node, _, err := alone(t, "in memory", mem)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := node.noteDiverged(errors.New("something else")); err != nil {
		t.Errorf("something else: %v", err)
	}
	if slot, err := divergedFile.read(mem, "/log", node.vital.Incarnation); slot != 0 || err != nil {
		t.Errorf("something else is noted as slot %d, %v", slot, err)
	}
	broken := errors.New("no such luck")
	mem.Intercept(func(call disk.Call) error {
		if strings.Contains(call.Name, divergedFile.name) {
			return broken
		}
		return nil
	})
	if err := node.noteDiverged(divergedError{slot: 256}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "do not start it again") {
		t.Errorf("it says %v", err)
	}
}

func TestTwoMembersThatDifferTellAndGoOn(t *testing.T) {
	t.Parallel()
	c := newChain(t, 2)
	ctx := within(t, 5*time.Minute)
	c.bend(1)
	c.work(ctx, c.nodes[0])
	for range 2 { // each for itself
		select {
		case d := <-c.diverged:
			if len(d.Digests) != 2 || d.Digests[1] == d.Digests[2] || d.Slot%digestSlots != 0 {
				t.Errorf("told of %+v", d)
			}
		case <-ctx.Done():
			t.Fatal("nobody tells")
		}
	}
	c.work(ctx, c.nodes[0])
}

// Members that restart, and are one apart from the other, compare like with like.
func TestMembersThatRestartAndLagAreNotTakenForDivergent(t *testing.T) {
	t.Parallel()
	c := newChain(t, 3)
	ctx := within(t, 5*time.Minute)
	c.work(ctx, c.nodes[0])
	for i := range 3 {
		c.close(i)
		c.work(ctx, c.nodes[(i+1)%3])
		c.open(i)
		c.work(ctx, c.nodes[i])
	}
	for i, node := range c.nodes {
		if err := node.Read(ctx); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
		await(t, fmt.Sprintf("node %d has taken digests, and heard of others", i+1), func() bool {
			node.comparison.mu.Lock()
			defer node.comparison.mu.Unlock()
			return len(node.comparison.own) > 0 && len(node.comparison.others) > 0
		})
	}
	for i, node := range c.nodes {
		if _, divergence, err := judgeNow(node); err != nil || divergence != nil {
			t.Errorf("node %d: %v, %v", i+1, divergence, err)
		}
	}
	if len(c.diverged) > 0 {
		t.Errorf("told of %+v", <-c.diverged)
	}
}

func judgeNow(n *Node) ([]paxos.NodeID, *Divergence, error) {
	return n.comparison.judge([]paxos.NodeID{1, 2, 3})
}

// Several machines have the digest of those that keep one; nobody knows it if one of them does not.
func TestMachinesTogetherHaveADigestOfThoseThatKeepOne(t *testing.T) {
	a, b := &chained{digest: 1}, &chained{digest: 2}
	both, err := NewMachines(map[byte]StateMachine{1: a, 2: b, 3: &ledger{}})
	if err != nil {
		t.Fatal(err)
	}
	before, ok := both.Digest()
	if b.digest++; !ok {
		t.Error("it is not known")
	}
	if after, _ := both.Digest(); after == before {
		t.Error("the second machine does not count")
	}
	none, err := NewMachines(map[byte]StateMachine{3: &ledger{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := none.Digest(); ok {
		t.Error("a machine that keeps none has a digest")
	}
	if _, ok := newSessions(none).Digest(); ok {
		t.Error("with sessions before machines of which none keeps a digest, it is known")
	}
	if _, ok := newSessions(&ledger{}).Digest(); !ok {
		t.Error("a table of sessions alone has no digest")
	}
}

// Digests are of the same slots on every member, however much is applied in one call, out of the queue or out of the log.
func TestDigestsAreTakenAfterTheSlotsThatAreDue(t *testing.T) {
	const slots = 2*digestSlots + 10
	record := func(slot paxos.Slot) *paxos.Record {
		e := Envelope{Data: number(uint64(slot))}
		return &paxos.Record{Kind: paxos.RecordChosen, Slot: slot, Value: paxos.AppendCommand(nil, e.encode())}
	}
	for name, feed := range map[string]func(*applyLoop){
		"out of the queue": func(a *applyLoop) {
			for slot := paxos.Slot(1); slot <= slots; slot++ {
				a.deliver([]*paxos.Record{record(slot)})
			}
		},
		"out of the log": func(a *applyLoop) { a.deliverLogged(slots) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newComparison(1, 0)
			a := newApplyLoop(1, &chained{}, 0, newPending(1, 1, 1), func(slot paxos.Slot) (*paxos.Record, error) { return record(slot), nil }, func(err error) { t.Error(err) })
			a.compare = c
			feed(a)
			go a.run()
			for a.appliedSlot() < slots {
				a.do(func() {})
			}
			a.close()
			var at []paxos.Slot
			for _, p := range c.own {
				at = append(at, p.slot)
			}
			if !slices.Equal(at, []paxos.Slot{digestSlots, 2 * digestSlots}) {
				t.Errorf("digests of slots %v", at)
			}
			once, again := &chained{}, c.own[0].digest
			for slot := paxos.Slot(1); slot <= digestSlots; slot++ {
				once.Apply([]Command{{Slot: slot, Data: number(uint64(slot))}})
			}
			if once.digest != again {
				t.Errorf("the digest of slot %d is another", digestSlots)
			}
		})
	}
}
