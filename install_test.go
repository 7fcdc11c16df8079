package synod

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// What is left of a node's disk at any moment of an installation is either the old state with the old log, or the new state with a trimmed log; and a member goes on from it to the state of the others.
func TestACrashAnywhereInAnInstallationLeavesWhatCanBeGoneOnFrom(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsToTry() {
		t.Run(kind, func(t *testing.T) {
			mem := disk.NewMem()
			g := newGallery(t, kind, 3, 0, map[int]disk.FS{2: mem})
			g.take(g.nodes[0], 20*photoBytes)
			g.agree(2)
			missed := g.nodes[2].Status().Applied
			g.close(2)
			g.take(g.nodes[0], 20*galleryLog)
			g.awaitTrimmed(g.nodes[0], missed+1)
			g.awaitTrimmed(g.nodes[1], missed+1)

			var mu sync.Mutex
			var images []*disk.Mem
			var at []string
			mem.Intercept(func(call disk.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if step, ok := installationStep(call); ok && len(images) < 40 {
					images, at = append(images, mem.Crash(disk.DropAll), mem.Crash(disk.KeepAll)), append(at, step, step)
				}
				return nil
			})
			g.open(2)
			g.agree(2)
			<-g.installed
			mem.Intercept(nil)
			g.close(2)

			old, switched := 0, 0
			for i, image := range images {
				g.disks[2] = image
				g.open(2)
				if g.nodes[2].apply.lacks() > 0 {
					t.Errorf("crash at %s: the log is trimmed, and the machine has not what it lacks", at[i])
				}
				if g.nodes[2].Status().Trimmed > 0 {
					switched++
				} else {
					old++
				}
				if i%4 == 0 || i == len(images)-1 {
					g.agree(2)
				}
				g.close(2)
			}
			if old == 0 || switched == 0 {
				t.Errorf("%d images with the old state, %d with the new one: %q", old, switched, at)
			}
		})
	}
}

// installationStep says whether a call to the disk is one of those that make an installation.
func installationStep(call disk.Call) (string, bool) {
	for _, part := range []string{intentFile.name, "received", "vital", snapshotPrefix, "cabinet"} {
		if strings.Contains(call.Name, part) && (call.Op == disk.OpRename || call.Op == disk.OpRemove || call.Op == disk.OpSync || call.Op == disk.OpCreate || call.Op == disk.OpSyncDir) {
			return fmt.Sprintf("%v %s", call.Op, call.Name), true
		}
	}
	return "", false
}

// alone opens a node that is its whole cluster, with machines that can be copied.
func alone(t *testing.T, kind string, files disk.FS) (*Node, map[byte]*photos, error) {
	t.Helper()
	machine, photos := hang(t, kind, files, "/log")
	node, err := Open(Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: machine, SegmentBytes: 16 << 10, LogBytes: 32 << 10, SnapshotBytes: 16 << 10,
		Logger: slog.New(slog.DiscardHandler), fs: files})
	return node, photos, err
}

// closeIf closes a node that should not have opened, if it has.
func closeIf(node *Node) {
	if node != nil {
		node.Close()
	}
}

// The core forgets the slots that a snapshot covers: were they in the log still, a restart would find votes there that it knows nothing of.
func TestAnInstallationTrimsTheLogToItsSlot(t *testing.T) {
	ctx := within(t, 60*1e9)
	kind := galleryKinds[0]
	node, _, err := alone(t, kind, disk.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	g := gallery{kind: kind}
	for i := range 6 {
		if _, err := node.Propose(ctx, g.photo(i)); err != nil {
			t.Fatal(err)
		}
	}
	const slot = 3
	node.apply.do(func() {
		err = node.switchTo(&received{slot: slot, configurations: []*paxos.Configuration{node.Membership().Latest}})
	})
	if trimmed := node.Status().Trimmed; err != nil || trimmed != slot {
		t.Errorf("a snapshot of slot %d is installed, the log is trimmed to slot %d, %v", slot, trimmed, err)
	}
}

// A power cut at any moment, while the log is trimmed all the time, takes nothing away that was acknowledged.
func TestTrimmingLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for _, kind := range galleryKinds {
		t.Run(kind, func(t *testing.T) {
			ctx := within(t, 60*1e9)
			mem := disk.NewMem()
			node, photos, err := alone(t, kind, mem)
			if err != nil {
				t.Fatal(err)
			}
			defer node.Close()
			g := gallery{kind: kind}
			trimmed := paxos.Slot(0)
			for i := range 150 {
				if _, err := node.Propose(ctx, g.photo(i)); err != nil {
					t.Fatal(err)
				}
				if i%6 != 0 {
					continue
				}
				for _, choose := range []func(int) int{disk.DropAll, disk.KeepAll} {
					again, found, err := alone(t, kind, mem.Crash(choose))
					if err != nil {
						t.Fatalf("after command %d: %v", i, err)
					}
					if err := again.Read(ctx); err != nil {
						t.Fatal(err)
					}
					for id := range photos {
						if a, b := photos[id].taken(), found[id].taken(); a != b {
							t.Fatalf("after command %d machine %d has %d commands; with a power cut, %d", i, id, a, b)
						}
					}
					trimmed = max(trimmed, again.Status().Trimmed)
					again.Close()
				}
			}
			if trimmed < 50 {
				t.Errorf("the log was trimmed to slot %d: the test tests little", trimmed)
			}
		})
	}
}

func TestAMachineAboveItsLogIsRefusedUnlessAnInstallationPutItThere(t *testing.T) {
	mem := disk.NewMem()
	node, _, err := alone(t, "with a disk", mem)
	if err != nil {
		t.Fatal(err)
	}
	incarnation := node.Status().Incarnation
	if _, err := node.Propose(within(t, 20e9), number(1)); err != nil {
		t.Fatal(err)
	}
	node.Close()
	above, err := openCabinet(mem, "/log/cabinet")
	if err != nil {
		t.Fatal(err)
	}
	above.applied = 70
	above.Flush()

	for name, prepare := range map[string]func(disk.FS) error{
		"no intent":                 func(disk.FS) error { return nil },
		"an intent of another slot": func(files disk.FS) error { return intentFile.write(files, "/log", incarnation, 69) },
		"an intent of another log":  func(files disk.FS) error { return intentFile.write(files, "/log", incarnation+2, 70) },
		"an intent that is damaged": func(files disk.FS) error {
			return errors.Join(intentFile.write(files, "/log", incarnation, 70), files.(*disk.Mem).Flip("/log/install", 20, 1))
		},
		"an intent that was removed": func(files disk.FS) error {
			return errors.Join(intentFile.write(files, "/log", incarnation, 70), intentFile.remove(files, "/log"))
		},
	} {
		image := mem.Crash(disk.KeepAll)
		if err := prepare(image); err != nil {
			t.Fatal(err)
		}
		if again, _, err := alone(t, "with a disk", image); err == nil || !strings.Contains(err.Error(), "do not belong together") {
			t.Errorf("%s: %v", name, err)
			closeIf(again)
		}
	}
	if err := intentFile.write(mem, "/log", incarnation, 70); err != nil {
		t.Fatal(err)
	}
	for round := range paxos.Slot(2) { // the second time there is no intent any more, and none is needed
		again, _, err := alone(t, "with a disk", mem)
		if err != nil {
			t.Fatal(err)
		}
		if s := again.Status(); s.Trimmed != 70 || s.Applied < 70 || s.Applied > 70+round { // what the first round has proposed may be there already
			t.Errorf("trimmed up to %d, applied up to %d", s.Trimmed, s.Applied)
		}
		if _, err := again.Propose(within(t, 20e9), number(2)); err != nil {
			t.Error(err)
		}
		again.Close()
	}
}

func TestADamagedSnapshotIsFetchedFromAnotherMemberOrRefused(t *testing.T) {
	t.Parallel()
	const beyond = snapshot.ChunkBytesMax + 1000 // the first chunk: what is read first is sound
	snapshots := func(mem *disk.Mem, dir string) (paths []string) {
		names, err := mem.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, ok := snapshotSlot(name); ok {
				paths = append(paths, dir+"/"+name)
			}
		}
		return paths
	}
	large := func(mem *disk.Mem, dir string) func() bool {
		return func() bool {
			return slices.ContainsFunc(snapshots(mem, dir), func(path string) bool {
				f, err := mem.OpenRead(path)
				if err != nil {
					return false // it has made room for the next one
				}
				defer f.Close()
				size, err := f.Size()
				return err == nil && size > beyond
			})
		}
	}
	flip := func(mem *disk.Mem, dir string) {
		for _, path := range snapshots(mem, dir) {
			if err := mem.Flip(path, beyond, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("a cluster of one stops", func(t *testing.T) {
		mem := disk.NewMem()
		node, _, err := alone(t, "in memory", mem)
		if err != nil {
			t.Fatal(err)
		}
		g := gallery{t: t, kind: "in memory", ctx: within(t, 20e9)}
		g.take(node, 8*galleryLog)
		g.await("snapshot of two chunks", large(mem, "/log"))
		g.awaitTrimmed(node, 1)
		node.Close()
		flip(mem, "/log")
		if again, _, err := alone(t, "in memory", mem); err == nil || !strings.Contains(err.Error(), "no other member can send") || strings.Contains(err.Error(), "\n") {
			t.Errorf("it opens, or says %v", err)
			closeIf(again)
		}
	})
	t.Run("a member of three fetches it", func(t *testing.T) {
		mem := disk.NewMem()
		g := newGallery(t, "in memory", 3, 0, map[int]disk.FS{2: mem})
		g.take(g.nodes[0], 20*galleryLog)
		g.agree(2)
		g.await("snapshot of two chunks", large(mem, g.dirs[2]))
		g.awaitTrimmed(g.nodes[2], 1)
		g.close(2)
		flip(mem, g.dirs[2])
		g.open(2)
		if g.nodes[2].apply.lacks() == 0 {
			t.Fatal("it lacks nothing: the test tests nothing")
		}
		g.agree(2)
		<-g.installed
	})
}

// An error of the disk in an installation ends the node, and says what failed.
func TestADiskThatFailsInAnInstallationEndsTheNode(t *testing.T) {
	t.Parallel()
	mem := disk.NewMem()
	g := newGallery(t, "with a disk", 3, 0, map[int]disk.FS{2: mem})
	g.take(g.nodes[0], 20*photoBytes)
	g.agree(2)
	missed := g.nodes[2].Status().Applied
	g.close(2)
	g.take(g.nodes[0], 20*galleryLog)
	g.awaitTrimmed(g.nodes[0], missed+1)
	g.awaitTrimmed(g.nodes[1], missed+1)
	broken := errors.New("no such luck")
	mem.Intercept(func(call disk.Call) error {
		if call.Op == disk.OpRename && strings.HasSuffix(call.Name, "cabinet/received") {
			return broken
		}
		return nil
	})
	g.open(2)
	select {
	case <-g.nodes[2].Done():
	case <-g.ctx.Done():
		t.Fatal("it goes on")
	}
	if err := g.nodes[2].Err(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "cannot install the snapshot") {
		t.Errorf("it says %v", err)
	}
	mem.Intercept(nil)
	g.close(2)
	g.open(2)
	g.agree(2)
}
