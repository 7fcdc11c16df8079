package synod

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// A slow transfer is one that a test can catch in the middle: a chunk a second, of a dozen or so.
const (
	slowRate  = 1 << 20
	largeSize = 64 << 10
)

// halfway is a gallery of which the last node is in the middle of a slow transfer, and has kept at least two chunks of it. Its nodes wait longer than others for a sender that connects again.
func halfway(t *testing.T, kind string, n int, disks map[int]disk.FS) (g *gallery, transfer Transfer) {
	g = &gallery{t: t, kind: kind, ctx: within(t, 2*time.Minute), photos: make([]map[byte]*photos, n), installed: make(chan Installed, 100), rate: slowRate, disks: disks}
	g.cluster = newClusterOf(t, n, func(i int, cfg *Config) {
		g.configure(i, cfg)
		cfg.ElectionTimeout = time.Second
	})
	last := n - 1
	g.size = largeSize
	g.take(g.nodes[0], 8*largeSize)
	g.agree(last)
	missed := g.nodes[last].Status().Applied
	g.close(last)
	g.take(g.nodes[0], recentMax*largeSize)
	for i := range last {
		g.awaitTrimmed(g.nodes[i], missed+1)
	}
	for i := range last { // all have come as far: their snapshots are of one slot
		g.agree(i)
	}
	g.open(last)
	g.await("transfer", func() bool {
		tr := g.nodes[last].Status().Transfer
		if tr != nil && tr.Bytes > 3<<20 {
			transfer = *tr
		}
		return transfer.From != 0
	})
	return g, transfer
}

// hasten has the nodes send snapshots as fast as they can.
func (g *gallery) hasten() {
	for _, n := range g.nodes {
		if n != nil {
			n.sender.pace.mu.Lock()
			n.sender.pace.bytesPerSecond, n.sender.pace.next = 1<<30, time.Time{}
			n.sender.pace.mu.Unlock()
		}
	}
}

// finish waits until a snapshot is installed, which from now on comes fast.
func (g *gallery) finish() (done Installed) {
	g.t.Helper()
	g.hasten()
	select {
	case done = <-g.installed:
	case <-g.ctx.Done():
		g.t.Fatal("no snapshot is installed in time")
	}
	return done
}

// gone reports whether a node keeps nothing of a transfer.
func (g *gallery) gone(i int) bool {
	files := g.disks[i]
	if files == nil {
		files = disk.OS()
	}
	f, err := files.OpenRead(filepath.Join(g.dirs[i], spoolName))
	if err == nil {
		f.Close()
	}
	return err != nil
}

// The sender has its image for a while yet, though it has come further meanwhile.
func TestATransferGoesOnWhereItWasAfterARestartOfTheReceiver(t *testing.T) {
	for _, kind := range kindsToTry() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			g, before := halfway(t, kind, 3, nil)
			g.close(2)
			g.take(g.nodes[0], 4*largeSize)
			g.open(2)
			done := g.finish()
			if done.Slot != before.Slot || done.From != before.From || done.Kept < 2<<20 || done.Kept >= done.Bytes {
				t.Errorf("%+v is installed; %+v was under way", done, before)
			}
			g.agree(2)
			if !g.gone(2) {
				t.Error("what was kept is there still")
			}
		})
	}
}

// While nothing is written the members' snapshots are the same, byte for byte: what one has sent another can go on with, and so can the same one after a restart.
func TestATransferGoesOnWithWhoeverHasTheSameSnapshot(t *testing.T) {
	for name, restart := range map[string]bool{"another member": false, "the sender after a restart of both": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, before := halfway(t, "with a disk", 3, nil)
			sender := int(before.From) - 1
			other := 1 - sender
			if restart {
				g.close(2)
			}
			g.close(sender)
			if restart {
				g.open(sender)
				g.agree(sender) // before it is asked: until then it need not know that the last slot is chosen
				g.close(other)
				g.open(2)
			}
			done := g.finish()
			if done.Slot != before.Slot || done.Kept < 2<<20 || restart != (done.From == before.From) {
				t.Errorf("%+v is installed; %+v was under way", done, before)
			}
			if restart {
				g.open(other)
			} else {
				g.open(sender)
			}
			g.agree(2)
		})
	}
}

// If the members have come further since, there is no such snapshot any more.
func TestATransferBeginsAnewWhereNobodyHasTheSnapshot(t *testing.T) {
	t.Parallel()
	g, before := halfway(t, "in memory", 5, nil)
	sender := int(before.From) - 1
	g.close(4) // first, or it goes on with another
	g.close(sender)
	writer := (sender + 1) % 4
	for g.nodes[writer].Status().Applied <= before.Slot { // what was on its way to the leader that is gone may be lost
		g.take(g.nodes[writer], 4*largeSize)
	}
	for i := range 4 { // whoever is asked has come further
		if i == sender {
			continue
		}
		if err := g.nodes[i].Read(g.ctx); err != nil {
			t.Fatal(err)
		}
	}
	g.open(4)
	done := g.finish()
	if done.Slot <= before.Slot || done.Kept != 0 {
		t.Errorf("%+v is installed; %+v was under way", done, before)
	}
	g.open(sender)
	g.agree(4)
	if !g.gone(4) {
		t.Error("what was kept is there still")
	}
}

// A power cut leaves some of what was kept, or something else. Nothing of it is believed that is not what the sender has.
func TestWhateverAPowerCutLeavesOfATransferTheMemberComesBackEqual(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *disk.Mem, string) *disk.Mem{
		"nothing":            func(_ *testing.T, m *disk.Mem, _ string) *disk.Mem { return m.Crash(disk.DropAll) },
		"every other sector": func(_ *testing.T, m *disk.Mem, _ string) *disk.Mem { return m.Crash(func(n int) int { return n / 2 }) },
		"a chunk that is damaged": func(t *testing.T, m *disk.Mem, path string) *disk.Mem {
			return flipped(t, m, path, spoolHeadBytes+snapshot.ChunkBytesMax+99)
		},
		"a header that is damaged":   func(t *testing.T, m *disk.Mem, path string) *disk.Mem { return flipped(t, m, path, spoolHeadBytes+20) },
		"a sender that is damaged":   func(t *testing.T, m *disk.Mem, path string) *disk.Mem { return flipped(t, m, path, 0) },
		"a transfer that is another": func(t *testing.T, m *disk.Mem, path string) *disk.Mem { return flipped(t, m, path, 8) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := disk.NewMem()
			disks := map[int]disk.FS{2: mem}
			g, _ := halfway(t, "in memory", 3, disks)
			g.close(2)
			disks[2] = spoil(t, mem, filepath.Join(g.dirs[2], spoolName))
			g.open(2)
			g.finish()
			g.agree(2)
			if !g.gone(2) {
				t.Error("what was kept is there still")
			}
		})
	}
}

func flipped(t *testing.T, mem *disk.Mem, path string, offset int64) *disk.Mem {
	image := mem.Crash(disk.KeepAll)
	if err := image.Flip(path, offset, 1); err != nil {
		t.Fatal(err)
	}
	return image
}

// To keep what has come is an aid: a disk that refuses it stops nothing.
func TestATransferDoesNotDependOnWhatIsKept(t *testing.T) {
	for _, op := range []disk.Op{disk.OpCreate, disk.OpWrite} {
		t.Run(op.String(), func(t *testing.T) {
			t.Parallel()
			mem := disk.NewMem()
			mem.Intercept(func(call disk.Call) error {
				if call.Op == op && strings.HasSuffix(call.Name, spoolName) {
					return errors.New("no such luck")
				}
				return nil
			})
			g, _ := halfway(t, "in memory", 3, map[int]disk.FS{2: mem})
			if done := g.finish(); done.Kept != 0 {
				t.Errorf("%+v is installed", done)
			}
			g.agree(2)
			if !g.gone(2) {
				t.Error("something is kept")
			}
		})
	}
}

// What the machines hold already nobody needs, nor what is no snapshot's.
func TestNothingIsKeptThatNobodyNeeds(t *testing.T) {
	var chunks [][]byte
	write := func(cluster uint64, slot paxos.Slot) []byte {
		chunks = nil
		w, err := snapshot.NewWriter(snapshot.Header{Cluster: cluster, Slot: slot, Sections: []byte{0}}, func(chunk []byte) error {
			chunks = append(chunks, bytes.Clone(chunk))
			return nil
		})
		if err == nil {
			err = w.Section(0)
		}
		if err == nil {
			_, err = w.Write([]byte("a piece"))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return bytes.Join(append([][]byte{make([]byte, spoolHeadBytes)}, chunks...), nil)
	}
	whole := write(clusterOf([]Member{{ID: 1}}), 3)
	for name, content := range map[string][]byte{
		"nothing":                            {},
		"half a head":                        make([]byte, spoolHeadBytes-1),
		"no chunk":                           make([]byte, spoolHeadBytes),
		"half a chunk":                       whole[:spoolHeadBytes+30],
		"zeros":                              make([]byte, 1<<20),
		"a snapshot that has been overtaken": whole,
	} {
		t.Run(name, func(t *testing.T) {
			mem := disk.NewMem()
			if err := mem.MkdirAll("/log"); err != nil {
				t.Fatal(err)
			}
			f, err := mem.Create("/log/" + spoolName)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			node, _, err := alone(t, "in memory", mem)
			if err != nil {
				t.Fatal(err)
			}
			defer node.Close()
			for i := range 4 {
				if _, err := node.Propose(within(t, 20e9), number(uint64(i))); err != nil {
					t.Fatal(err)
				}
			}
			await(t, "it is removed", func() bool {
				names, err := mem.ReadDir("/log")
				return err == nil && !strings.Contains(fmt.Sprint(names), spoolName)
			})
		})
	}
}

// A restart takes up all that is kept, and no more than is there.
func TestASpoolIsReadBackAsItWas(t *testing.T) {
	mem := disk.NewMem()
	if err := mem.MkdirAll("/s"); err != nil {
		t.Fatal(err)
	}
	s := openSpool(mem, "/s/"+spoolName, slog.New(slog.DiscardHandler))
	if s.holds() {
		t.Fatal("it holds something from the beginning")
	}
	s.begin(7, 77)
	index := uint32(0)
	w, err := snapshot.NewWriter(snapshot.Header{Slot: 9, Sections: []byte{0}}, func(chunk []byte) error {
		s.keep(index+1, bytes.Clone(chunk)) // not the next one
		s.keep(index, bytes.Clone(chunk))
		index++
		return nil
	})
	if err == nil {
		err = w.Section(0)
	}
	if err == nil {
		_, err = w.Write(make([]byte, 3<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	again := openSpool(mem, "/s/"+spoolName, slog.New(slog.DiscardHandler))
	if again.from != 7 || again.transfer != 77 || again.slot != 9 || again.chunks != index || again.end != s.end || !again.begins(s.first) {
		t.Errorf("%+v was kept, %+v is found", s, again)
	}
	if again.begins([]byte("another")) {
		t.Error("it begins as any other does")
	}
}
