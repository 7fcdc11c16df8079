package synod

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// foundersAnd returns a founders' configuration, and what is known after it has been changed.
func foundersAnd(t *testing.T, members ...paxos.Member) (founders *paxos.Configuration, known []*paxos.Configuration) {
	t.Helper()
	all := []paxos.Member{{ID: 1, Incarnation: 101, Roles: paxos.FullMember}, {ID: 2, Incarnation: 102, Roles: paxos.FullMember}}
	founders, err := paxos.NewConfiguration(0, all, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	next, err := paxos.NewConfiguration(1, append(all, members...), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	next.First = 7 + founders.Window
	return founders, []*paxos.Configuration{founders, next}
}

func newMembership(fs disk.FS) *membership {
	return &membership{fs: fs, dir: "/m", incarnation: 101, note: func(uint32) error { return nil }}
}

func TestWhatIsKnownOfTheMembershipSurvivesAPowerCut(t *testing.T) {
	fs := disk.NewMem()
	if err := fs.MkdirAll("/m"); err != nil {
		t.Fatal(err)
	}
	founders, known := foundersAnd(t, paxos.Member{ID: 3, Incarnation: 103, Roles: paxos.FullMember, Address: "c:1"})
	m := newMembership(fs)
	if stored, err := m.open(); err != nil || stored != nil {
		t.Fatalf("a new member knows %v, %v", stored, err)
	}
	m.found(founders)
	if err := m.keep(known); err != nil {
		t.Fatal(err)
	}
	if err := m.keep(known[:1]); err != nil { // an older state does not replace it
		t.Fatal(err)
	}
	again := newMembership(fs.Crash(disk.DropAll))
	stored, err := again.open()
	if err != nil || !bytes.Equal(paxos.AppendConfigurations(nil, stored), paxos.AppendConfigurations(nil, known)) {
		t.Errorf("after the power cut it knows %v, %v", stored, err)
	}
	other := newMembership(fs)
	other.incarnation++
	if _, err := other.open(); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Errorf("another disk's file: %v", err)
	}
}

func TestADamagedMembershipIsSaidToBeDamagedWhicheverByteIsWrong(t *testing.T) {
	founders, known := foundersAnd(t)
	size := membershipHead + len(paxos.AppendConfigurations(nil, known))
	for offset := range int64(size) {
		fs := disk.NewMem()
		if err := fs.MkdirAll("/m"); err != nil {
			t.Fatal(err)
		}
		m := newMembership(fs)
		m.found(founders)
		if err := m.keep(known); err != nil {
			t.Fatal(err)
		}
		if err := fs.Flip("/m/"+membershipName, offset, 0x10); err != nil {
			t.Fatal(err)
		}
		if stored, err := newMembership(fs).open(); err == nil {
			t.Fatalf("byte %d is wrong, and it knows %v", offset, stored)
		}
	}
}

func TestASnapshotOfOtherFoundersIsRefused(t *testing.T) {
	fs := disk.NewMem()
	if err := fs.MkdirAll("/m"); err != nil {
		t.Fatal(err)
	}
	founders, known := foundersAnd(t)
	m := newMembership(fs)
	m.found(founders)
	if got, err := m.accept(paxos.AppendConfigurations(nil, known)); err != nil || len(got) != 2 {
		t.Errorf("its own cluster's: %v, %v", got, err)
	}
	others := []*paxos.Configuration{founders.WithWindow(5)}
	if got, err := m.accept(paxos.AppendConfigurations(nil, others)); err == nil {
		t.Errorf("another cluster's: %v", got)
	}
	if got, err := m.accept(nil); err == nil {
		t.Errorf("none: %v", got)
	}
}

// The vital state says which epoch the file has. It is told after the file is durable: what a crash leaves in between is a file that is later, and the next start tells it.
func TestTheMembershipIsRefusedUnlessItIsOfTheEpochThatTheVitalStateKnows(t *testing.T) {
	_, known := foundersAnd(t)
	for name, test := range map[string]struct {
		file   []*paxos.Configuration
		epoch  uint32
		says   string // nothing: it is taken
		noting uint32
	}{
		"none, and there never was one":         {},
		"none, and there was one":               {epoch: 1, says: "it is gone"},
		"an old copy":                           {file: known, epoch: 2, says: "old copy"},
		"the one it was":                        {file: known, epoch: 1, noting: 1},
		"one that a crash kept from being told": {file: known, epoch: 0, noting: 1},
	} {
		t.Run(name, func(t *testing.T) {
			fs := disk.NewMem()
			if err := fs.MkdirAll("/m"); err != nil {
				t.Fatal(err)
			}
			if test.file != nil {
				if err := newMembership(fs).keep(test.file); err != nil {
					t.Fatal(err)
				}
			}
			m, noted := newMembership(fs), uint32(0)
			m.epoch, m.note = test.epoch, func(epoch uint32) error { noted = epoch; return nil }
			got, err := m.open()
			if test.says == "" && (err != nil || len(got) != len(test.file)) || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("it knows %v, %v", got, err)
			}
			if noted != test.noting {
				t.Errorf("the vital state is told epoch %d, not %d", noted, test.noting)
			}
		})
	}
}

func TestAMembershipIsDurableBeforeTheVitalStateKnowsOfIt(t *testing.T) {
	fs := disk.NewMem()
	if err := fs.MkdirAll("/m"); err != nil {
		t.Fatal(err)
	}
	_, known := foundersAnd(t)
	m := newMembership(fs)
	var there []*paxos.Configuration
	m.note = func(epoch uint32) (err error) {
		there, err = newMembership(fs.Crash(disk.DropAll)).read()
		return err
	}
	if err := m.keep(known); err != nil || len(there) != len(known) {
		t.Errorf("when the vital state is told, a power cut leaves %v, %v", there, err)
	}
	broken := errors.New("no such luck")
	m = newMembership(fs)
	m.note = func(uint32) error { return broken }
	if err := m.keep(known); !errors.Is(err, broken) || m.configurations() != nil {
		t.Errorf("the vital state cannot be told: %v, and it knows %v", err, m.configurations())
	}
}

// A founder that has lost the file, or has an old copy of it, would go by a membership that is past: it does not start, whatever its log and its machine still have.
func TestAFounderIsRefusedWithoutTheLatestMembership(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"in memory", "with a disk"} {
		for _, trimmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, trimmed %v", kind, trimmed), func(t *testing.T) {
				g := newGallery(t, kind, 3, 0, nil)
				g.await("quorum", func() bool { return len(g.nodes[0].heard()) == 3 })
				file := filepath.Join(g.dirs[1], membershipName)
				var copies [][]byte
				for epoch, change := range []func() error{
					func() error { return g.nodes[0].AddMember(g.ctx, 9, "127.0.0.1:9", paxos.Learner) },
					func() error { return g.nodes[0].RemoveMember(g.ctx, 9) },
				} {
					if err := insist(g.ctx, change); err != nil {
						t.Fatal(err)
					}
					g.await("kept membership", func() bool {
						known := g.nodes[1].membership.configurations()
						return latestOf(known).Epoch == uint32(epoch+1) && settled(g.nodes[1].Membership())
					})
					b, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					copies = append(copies, b)
				}
				if trimmed {
					changed := g.nodes[1].Status().Chosen
					g.take(g.nodes[0], 20*galleryLog)
					g.awaitTrimmed(g.nodes[1], changed)
				} else {
					g.take(g.nodes[0], 4*photoBytes)
				}
				g.agree(1)
				g.close(1)
				for name, spoil := range map[string]func() error{
					"it is gone": func() error { return os.Remove(file) },
					"old copy":   func() error { return os.WriteFile(file, copies[0], 0o600) },
				} {
					if err := spoil(); err != nil {
						t.Fatal(err)
					}
					if node, err := Open(g.config(1)); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "replace this member") || strings.Contains(err.Error(), "\n") {
						t.Errorf("%s: it opens, or says %v", name, err)
						closeIf(node)
					}
					if worst, lines := checkDirectory(t, disk.OS(), g.dirs[1]); worst != disk.Fatal || !strings.Contains(lines, name) {
						t.Errorf("%s: a check finds %q", name, lines)
					}
					if id, err := ReadIdentity(g.dirs[1]); err != nil || !id.Changed {
						t.Errorf("%s: the directory is %+v, %v", name, id, err)
					}
					if err := os.WriteFile(file, copies[1], 0o600); err != nil {
						t.Fatal(err)
					}
				}
				g.open(1)
				g.agree(1)
			})
		}
	}
}
