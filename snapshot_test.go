package synod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// gallery is a cluster whose machines can be copied and whose logs are short.
type gallery struct {
	*cluster
	t         *testing.T
	kind      string
	ctx       context.Context
	photos    []map[byte]*photos // by node and machine
	installed chan Installed
	rate      int64
	size      int             // of a photo; 0 for photoBytes
	disks     map[int]disk.FS // by node; the real one if none is named
}

const (
	galleryLog   = 256 << 10
	photoBytes   = 8 << 10
	mixedCabinet = 1
	mixedAlbum   = 2
)

var galleryKinds = []string{"in memory", "with a disk", "several"}

// kindsToTry are all kinds; with -short the one that has the others in it.
func kindsToTry() []string {
	if testing.Short() {
		return []string{"several"}
	}
	return galleryKinds
}

func newGallery(t *testing.T, kind string, n int, rate int64, disks map[int]disk.FS) *gallery {
	g := &gallery{t: t, kind: kind, ctx: within(t, 60*time.Second), photos: make([]map[byte]*photos, n), installed: make(chan Installed, 100), rate: rate, disks: disks}
	g.cluster = newClusterOf(t, n, g.configure)
	return g
}

func (g *gallery) configure(i int, cfg *Config) {
	cfg.SegmentBytes, cfg.LogBytes, cfg.SnapshotBytes, cfg.SnapshotRate = 64<<10, galleryLog, 128<<10, g.rate
	if cfg.fs = g.disks[i]; cfg.fs == nil {
		cfg.fs = disk.OS()
	}
	cfg.Machine, g.photos[i] = hang(g.t, g.kind, cfg.fs, cfg.Dir)
	cfg.Events = &EventListener{Installed: func(done Installed) { g.installed <- done }}
}

// hang makes the machine of a node, and names the photos in it.
func hang(t *testing.T, kind string, files disk.FS, dir string) (StateMachine, map[byte]*photos) {
	t.Helper()
	a := &album{}
	if kind == "in memory" {
		return a, map[byte]*photos{mixedAlbum: &a.photos}
	}
	c, err := openCabinet(files, filepath.Join(dir, "cabinet"))
	if err != nil {
		t.Fatal(err)
	}
	if kind == "with a disk" {
		return c, map[byte]*photos{mixedCabinet: &c.photos}
	}
	m, err := NewMachines(map[byte]StateMachine{mixedCabinet: c, mixedAlbum: a})
	if err != nil {
		t.Fatal(err)
	}
	return m, map[byte]*photos{mixedCabinet: &c.photos, mixedAlbum: &a.photos}
}

// photo is a command for one of a node's machines.
func (g *gallery) photo(i int) []byte {
	data := fmt.Appendf(make([]byte, cmp.Or(g.size, photoBytes)), "%d", i)
	if g.kind == "several" {
		return Address(byte(1+i%2), data)
	}
	return data
}

// take has a node propose so many bytes of commands. Where the leader has just gone, the outcome of some may not be known; it returns how many these are.
func (g *gallery) take(node *Node, bytes int) (unknown int) {
	g.t.Helper()
	var clients sync.WaitGroup
	var open atomic.Int64
	numbers := make(chan int)
	for range 16 {
		clients.Go(func() {
			for i := range numbers {
				if _, err := node.Propose(g.ctx, g.photo(i)); errors.Is(err, ErrUnknown) {
					open.Add(1)
				} else if err != nil {
					g.t.Error(err)
				}
			}
		})
	}
	for i := range bytes / cmp.Or(g.size, photoBytes) {
		numbers <- i
	}
	close(numbers)
	clients.Wait()
	return int(open.Load())
}

// agree demands that a node's machines are the same as the first node's.
func (g *gallery) agree(i int) {
	g.t.Helper()
	for _, k := range []int{0, i} {
		if err := g.nodes[k].Read(g.ctx); err != nil {
			g.t.Fatalf("node %d: %v", k+1, err)
		}
	}
	for id, p := range g.photos[0] {
		if want, got := p.same(), g.photos[i][id].same(); got != want {
			g.t.Errorf("machine %d of node %d has %s; that of node 1 has %s", id, i+1, got, want)
		}
	}
}

// awaitTrimmed waits until a node's log has lost what came up to slot.
func (g *gallery) awaitTrimmed(node *Node, slot paxos.Slot) {
	g.t.Helper()
	g.await("a trimmed log", func() bool { return node.Status().Trimmed >= slot })
}

func (g *gallery) await(what string, condition func() bool) {
	g.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-g.ctx.Done():
			g.t.Fatalf("no %s in time", what)
		}
	}
}

func TestAMemberThatMissedMoreThanTheLogComesBackBySnapshot(t *testing.T) {
	t.Parallel()
	for _, kind := range galleryKinds {
		t.Run(kind, func(t *testing.T) {
			g := newGallery(t, kind, 3, 0, nil)
			g.take(g.nodes[0], 20*photoBytes)
			g.agree(2)
			missed := g.nodes[2].Status().Applied
			g.close(2)
			g.take(g.nodes[0], 20*galleryLog)
			g.awaitTrimmed(g.nodes[0], missed+1)
			g.awaitTrimmed(g.nodes[1], missed+1)
			// A machine in memory needs as much log as its last snapshot has bytes.
			g.await("short log", func() bool { return g.nodes[0].log.Size() <= 2*galleryLog+recentMax*photoBytes })
			g.open(2)
			g.agree(2)
			select {
			case done := <-g.installed:
				if done.Slot <= missed || done.Bytes < recentMax*photoBytes {
					t.Errorf("installed %+v", done)
				}
				if trimmed := g.nodes[2].Status().Trimmed; trimmed < done.Slot {
					t.Errorf("the log is trimmed up to slot %d, and ends below slot %d", trimmed, done.Slot)
				}
			case <-g.ctx.Done():
				t.Error("it agrees, and has installed nothing")
			}
			g.take(g.nodes[2], 20*photoBytes) // it is a member like any other
			g.agree(2)
			g.close(2)
			g.open(2)
			g.agree(2)
		})
	}
}

// Two members that lag at once are served at once.
func TestTwoMembersComeBackBySnapshotAtOnce(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "with a disk", 5, 0, nil)
	g.take(g.nodes[0], 20*photoBytes)
	g.agree(3)
	g.agree(4)
	missed := max(g.nodes[3].Status().Applied, g.nodes[4].Status().Applied)
	g.close(3)
	g.close(4)
	g.take(g.nodes[0], 20*galleryLog)
	for i := range 3 {
		g.awaitTrimmed(g.nodes[i], missed+1)
	}
	g.open(3)
	g.open(4)
	g.agree(3)
	g.agree(4)
	for range 2 {
		<-g.installed
	}
}

// The member that was sending dies in the middle; another one sends its own snapshot.
func TestASnapshotComesFromAnotherMemberWhenTheSenderDies(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "in memory", 5, slowRate, nil)
	g.size = largeSize
	g.take(g.nodes[0], 8*largeSize)
	g.agree(4)
	missed := g.nodes[4].Status().Applied
	g.close(4)
	g.take(g.nodes[0], recentMax*largeSize)
	for i := range 4 {
		g.awaitTrimmed(g.nodes[i], missed+1)
	}
	g.open(4)
	var sender paxos.NodeID
	g.await("transfer", func() bool {
		if tr := g.nodes[4].Status().Transfer; tr != nil && tr.Bytes > 0 {
			sender = tr.From
		}
		return sender != 0
	})
	g.close(int(sender) - 1)
	done := g.finish()
	if done.From == sender {
		t.Errorf("the snapshot is from node %d, which was closed when the transfer had begun", sender)
	}
	if sender == 1 {
		g.open(0)
	}
	g.agree(4)
}

// Chunks that are damaged on the way are refused, and fetched again.
func TestADamagedChunkIsFetchedAgain(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "with a disk", 3, slowRate, nil)
	g.take(g.nodes[0], 2*recentMax*photoBytes)
	g.agree(2)
	missed := g.nodes[2].Status().Applied
	g.close(2)
	g.take(g.nodes[0], 20*galleryLog)
	for i := range 2 {
		g.awaitTrimmed(g.nodes[i], missed+1)
	}
	g.open(2)
	n := g.nodes[2]
	bent := 0
	for index, done := uint32(0), false; !done; { // ahead of each chunk comes a damaged one
		select {
		case <-g.installed:
			done = true
		default:
			asked := make(chan bool)
			n.inbox.call(func() {
				in := n.receiver.current
				if in != nil && len(in.answers) == 0 {
					in.answers <- fetchAnswer{in.transfer, index, chunkGiven, make([]byte, 100)}
					index++
					bent++
				}
				close(asked)
			})
			<-asked
			if bent > 0 {
				g.hasten()
			}
		}
	}
	g.agree(2)
	if bent == 0 {
		t.Error("nothing was damaged: the test tests nothing")
	}
}

// How long a restart takes does not depend on how much was ever applied.
func TestAMachineInMemoryRestartsFromItsSnapshot(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "in memory", 1, 0, nil)
	g.take(g.nodes[0], 80*galleryLog)
	g.awaitTrimmed(g.nodes[0], 1) // below a snapshot, which is written first
	files := g.nodes[0].files
	_, bytes := files.latest()
	past, latest := g.nodes[0].Status().Applied, 2*int(bytes)
	g.take(g.nodes[0], latest) // enough for another snapshot, however much has come while the last one was written
	g.await("snapshot of all but the last commands", func() bool {
		slot, _ := files.latest()
		return slot >= past
	})
	want := g.photos[0][mixedAlbum].same()
	g.close(0)
	g.open(0)
	if err := g.nodes[0].Read(g.ctx); err != nil {
		t.Fatal(err)
	}
	if got := g.photos[0][mixedAlbum].same(); got != want {
		t.Errorf("after a restart it has %s; it had %s", got, want)
	}
	applied := g.nodes[0].cfg.Machine.(*album).applied
	if applied > latest/photoBytes+1 {
		t.Errorf("%d commands were applied at the restart, %d at most since the snapshot", applied, latest/photoBytes+1)
	}
	trimmed := g.nodes[0].Status().Trimmed
	if slot, _ := g.nodes[0].files.latest(); trimmed == 0 || trimmed > slot {
		t.Errorf("the log is trimmed up to slot %d, the snapshot is of slot %d", trimmed, slot)
	}
}
