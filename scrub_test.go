package synod

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// patient is a gallery whose second node has a disk in memory and scrubs it all the time.
type patient struct {
	*gallery
	disk            *disk.Mem
	damaged, mended chan Damaged
}

func newPatient(t *testing.T, kind string, rate int64) *patient {
	p := &patient{disk: disk.NewMem(), damaged: make(chan Damaged, 1000), mended: make(chan Damaged, 1000)}
	g := &gallery{t: t, kind: kind, ctx: within(t, 60*time.Second), photos: make([]map[byte]*photos, 3), installed: make(chan Installed, 100), disks: map[int]disk.FS{1: p.disk}}
	p.gallery = g
	g.cluster = newClusterOf(t, 3, func(i int, cfg *Config) {
		g.configure(i, cfg)
		cfg.LogBytes = 4 << 20
		cfg.ScrubRate, cfg.scrubRest = rate, 20*time.Millisecond
		if i == 1 {
			cfg.Events.Damaged = func(d Damaged) { p.damaged <- d }
			cfg.Events.Mended = func(d Damaged) { p.mended <- d }
		}
	})
	return p
}

// fill proposes photos one after the other, each in a slot of its own, and returns when the patient has applied them.
func (p *patient) fill(n int) {
	p.t.Helper()
	for i := range n {
		p.propose(p.ctx, 0, p.photo(i))
	}
	p.agree(1)
}

// flip damages a byte at an offset from where the last record of a slot begins.
func (p *patient) flip(slot paxos.Slot, from int64) {
	p.t.Helper()
	var at wal.Entry
	if _, err := wal.Dump(p.disk, p.dirs[1], func(e wal.Entry) error {
		if e.Record != nil && e.Record.Slot == slot {
			at = e
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	if err := p.disk.Flip(filepath.Join(p.dirs[1], at.Segment), at.Offset+from, 1); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) awaitMended(what string, slot paxos.Slot) {
	p.t.Helper()
	for {
		select {
		case d := <-p.mended:
			if d.What == what && (slot == 0 || d.Slot == slot) {
				return
			}
		case <-p.ctx.Done():
			p.t.Fatalf("the damaged %s has not been made good", what)
		}
	}
}

const scrubFast = 1 << 30 // bytes a second

// A record of the log that rots while the member runs is found, learned again from another member and written again, whatever of it rots.
func TestADamagedRecordIsMadeGoodFromTheOthers(t *testing.T) {
	t.Parallel()
	p := newPatient(t, "with a disk", scrubFast)
	p.fill(12)
	last := p.nodes[1].Status().Applied
	for n, from := range []int64{0, 20, paxos.RecordHeaderSize} {
		slot := last - paxos.Slot(n) - 1
		want, err := p.nodes[1].log.Read(slot)
		if err != nil {
			t.Fatal(err)
		}
		p.flip(slot, from)
		p.awaitMended("record", slot)
		got, err := p.nodes[1].log.Read(slot)
		if err != nil || string(got.Value) != string(want.Value) {
			t.Errorf("byte %d of slot %d: read %v, %v", from, slot, got, err)
		}
	}
	if len(p.damaged) < 3 {
		t.Errorf("%d damages were told", len(p.damaged))
	}
	p.close(1)
	p.open(1)
	if unknown := p.nodes[1].log.Unknown(); len(unknown) > 0 {
		t.Errorf("after a restart %v are unknown", unknown)
	}
	p.agree(1)
}

// A record that the apply loop has to read back, and that turns out to be damaged, is waited for; it does not end the member.
func TestADamagedRecordThatHasToBeReadBackIsMadeGood(t *testing.T) {
	p := newPatient(t, "with a disk", -1)
	p.fill(5)
	slot := p.nodes[1].Status().Applied - 1
	p.flip(slot, 20)
	if _, err := p.nodes[1].log.Read(slot); !errors.Is(err, wal.ErrUnknown) {
		t.Fatalf("the damage goes unnoticed: %v", err)
	}
	rec, err := p.nodes[1].mender.read(slot)
	if err != nil || rec.Slot != slot {
		t.Errorf("read %v, %v", rec, err)
	}
}

func TestDamagedCopiesOfTheVitalStateAreMadeGoodWhileTheNodeRuns(t *testing.T) {
	p := newPatient(t, "with a disk", scrubFast)
	p.fill(4)
	damage := func() (err error) {
		for _, n := range []int64{0, 2, 3} {
			err = errors.Join(err, p.disk.Flip(filepath.Join(p.dirs[1], "vital"), n*4096+100, 1))
		}
		return err
	}
	if err := p.nodes[1].disk.call("damage the vital state", damage); err != nil { // by who mends it, and so all at once
		t.Fatal(err)
	}
	p.awaitMended("vital", 0)
	if worst, lines := checkDir(t, p.disk.Crash(disk.DropAll), p.dirs[1]); worst == disk.Fatal || len(lines) > 0 && worst == disk.Damage {
		t.Errorf("after that: %s", lines)
	}
}

// A log with a damaged header could not be opened any more. While its node runs everything in it is known, so it is trimmed past the damage when the machine has what it held.
func TestALogWithADamagedHeaderIsTrimmedPastIt(t *testing.T) {
	p := newPatient(t, "with a disk", scrubFast)
	p.fill(30) // several segments
	if err := p.disk.Flip(filepath.Join(p.dirs[1], "00000002.log"), 20, 1); err != nil {
		t.Fatal(err)
	}
	p.awaitMended("batch", 0)
	p.fill(4)
	p.close(1)
	p.open(1)
	p.agree(1)
}

func TestADamagedSnapshotIsWrittenAgain(t *testing.T) {
	p := newPatient(t, "in memory", scrubFast)
	p.fill(40)
	files := p.nodes[1].files
	p.await("snapshot", func() bool { slot, _ := files.latest(); return slot > 0 })
	flipped := paxos.Slot(0) // as often as a newer one has just taken the place of the damaged one
	p.await("damage", func() bool {
		if slot, _ := files.latest(); slot != flipped {
			flipped = slot
			if err := p.disk.Flip(filepath.Join(p.dirs[1], fmt.Sprintf(snapshotNameForm, uint64(slot))), 1000, 1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		return len(p.damaged) > 0
	})
	p.await("another snapshot", func() bool {
		slot, _ := files.latest()
		return slot > 0 && files.read(slot, p.nodes[1].cfg.Cluster, verify) == nil
	})
	p.close(1)
	p.open(1)
	p.agree(1)
}

// checkDir is checkNode of another directory.
func checkDir(t *testing.T, files disk.FS, dir string) (worst disk.Severity, lines string) {
	t.Helper()
	if _, err := checkDisk(files, dir, disk.Inspection{
		Found:    func(f disk.Finding) { worst, lines = max(worst, f.Severity), lines+f.String()+"\n" },
		Progress: func(string, int64, int64) {},
	}); err != nil {
		t.Fatal(err)
	}
	return worst, lines
}
