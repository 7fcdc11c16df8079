package synod

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
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
}

const (
	galleryLog   = 256 << 10
	photoBytes   = 8 << 10
	mixedCabinet = 1
	mixedAlbum   = 2
)

var galleryKinds = []string{"in memory", "with a disk", "several"}

func newGallery(t *testing.T, kind string, n int, rate int64) *gallery {
	g := &gallery{t: t, kind: kind, ctx: within(t, 60*time.Second), photos: make([]map[byte]*photos, n), installed: make(chan Installed, 100), rate: rate}
	g.cluster = newClusterOf(t, n, g.configure)
	return g
}

func (g *gallery) configure(i int, cfg *Config) {
	cfg.SegmentBytes, cfg.LogBytes, cfg.SnapshotBytes, cfg.SnapshotRate = 64<<10, galleryLog, 128<<10, g.rate
	if cfg.fs == nil {
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

// photo is a command of photoBytes for one of a node's machines.
func (g *gallery) photo(i int) []byte {
	data := fmt.Appendf(make([]byte, photoBytes), "%d", i)
	if g.kind == "several" {
		return Address(byte(1+i%2), data)
	}
	return data
}

// take has a node propose so many bytes of commands.
func (g *gallery) take(node *Node, bytes int) {
	g.t.Helper()
	var clients sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		clients.Go(func() {
			for i := range numbers {
				if _, err := node.Propose(g.ctx, g.photo(i)); err != nil {
					g.t.Error(err)
				}
			}
		})
	}
	for i := range bytes / photoBytes {
		numbers <- i
	}
	close(numbers)
	clients.Wait()
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
	for _, kind := range galleryKinds {
		t.Run(kind, func(t *testing.T) {
			g := newGallery(t, kind, 3, 0)
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
			default:
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
