package synod

import (
	"bytes"
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

func newMembership(fs disk.FS) *membership { return &membership{fs: fs, dir: "/m", incarnation: 101} }

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
