package wal

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

func namesIn(t *testing.T, m *disk.Mem) []string {
	t.Helper()
	names, err := m.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestARecordLargerThanASegmentGetsOneOfItsOwn(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	if err := l.PrepareNext(); err != nil {
		t.Fatal(err)
	}
	big := valueOf(2, 50_000)
	commit(t, l, accept(1, 1, "one"), accept(2, 1, big), accept(3, 1, "three"))
	for range 2 {
		expectValue(t, l, 1, "one")
		expectValue(t, l, 2, big)
		expectValue(t, l, 3, "three")
		if got := l.Durable(); got != 3 {
			t.Errorf("LSN %d is durable", got)
		}
		m.Kill()
		l = mustOpen(t, m)
	}
}

func TestTrimForgetsWholeSegmentsAndRecyclesTheirFiles(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, promise(5))
	commitSlots(t, l, 1, 40, 500)
	before := len(l.segments)
	for _, slot := range []paxos.Slot{20, 3, 30} { // going back does nothing
		if err := l.Trim(slot); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.segments); got > before/2 {
		t.Errorf("%d of %d segments are left", got, before)
	}
	if got := len(l.spares); got != maxSpares {
		t.Errorf("%d spares", got)
	}
	check := func(when string) {
		t.Helper()
		if v := l.Vital(); v.Trimmed != 30 || v.Promised != ballot(5) {
			t.Errorf("%s: %+v", when, v)
		}
		if first, last := l.Slots(); first != 31 || last < 40 {
			t.Errorf("%s: slots %d to %d", when, first, last)
		}
		_, err := l.Read(30)
		expectError(t, when+": Read(30)", err, ErrTrimmed)
		for slot := paxos.Slot(31); slot <= 40; slot++ {
			expectValue(t, l, slot, valueOf(slot, 500))
		}
		if got := replay(t, l, 0); len(got) < 10 {
			t.Errorf("%s: replays %q", when, got)
		}
	}
	check("at once")
	mustClose(t, l)
	l = mustOpen(t, m)
	check("after a clean close")
	creations := 0
	m.Intercept(func(c disk.Call) error {
		if c.Op == disk.OpCreate {
			creations++
		}
		return nil
	})
	commitSlots(t, l, 41, 48, 500)
	if creations > 0 {
		t.Errorf("%d files were created with spares at hand", creations)
	}
	m.Kill()
	l = mustOpen(t, m)
	check("after recycling")
}

func TestALateRecordOfAnOldSlotKeepsItsSegment(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(100, 1, "far ahead"))
	commitSlots(t, l, 1, 20, 500)
	if err := l.Trim(20); err != nil {
		t.Fatal(err)
	}
	expectValue(t, l, 100, "far ahead")
	m.Kill()
	expectValue(t, mustOpen(t, m), 100, "far ahead")
}

func TestBytesOfAFormerLifeAreNeverTakenForData(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	// Batches of three sectors, alike in everything but LSN and slot: those of the recycled file lie exactly where the new ones will.
	commitSlots(t, l, 1, 20, 1100)
	if err := l.Trim(18); err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for slot := paxos.Slot(21); slot <= 40; slot++ {
		if _, err := l.Append([]*paxos.Record{accept(slot, 1, valueOf(slot, 1100))}); err != nil {
			t.Fatal(err)
		}
		written := 0 // by the last write
		m.Intercept(func(c disk.Call) error {
			if c.Op == disk.OpWrite {
				written = c.Bytes
			}
			if c.Op != disk.OpSync || written != 3*sectorBytes {
				return nil // other writes have too many sectors to try every fate of them all
			}
			cuts++
			everyChoice(5, func(choose func(int) int) {
				after := mustOpen(t, m.Crash(choose))
				if got := after.Durable(); got != paxos.LSN(slot)-1 && got != paxos.LSN(slot) {
					t.Fatalf("LSN %d after a cut in the batch of LSN %d", got, slot)
				}
				for s := after.Vital().Trimmed + 1; s <= paxos.Slot(after.Durable()); s++ {
					expectValue(t, after, s, valueOf(s, 1100))
				}
			})
			return nil
		})
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		m.Intercept(nil)
		if err := l.Trim(slot - 3); err != nil {
			t.Fatal(err)
		}
	}
	if cuts != 20 {
		t.Errorf("%d batches were cut, want 20", cuts)
	}
}

func TestASoundRecordThatIsNotTheBatchsOwnIsDamage(t *testing.T) {
	b := batch{incarnation: 1, segment: 2, first: 3, entries: []entry{entryOf(accept(1, 2, "new"))}}
	content := b.appendTo(nil)
	copy(content[batchHeaderBytes+entryBytes:], accept(1, 1, "old").Seal()) // of the same slot and size
	got, ok := decodeBatch(content, 0, 1, 2)
	if !ok {
		t.Fatal("the batch's header is not sound")
	}
	if r, sound := got.entries[0].record(); sound || r.Slot != 1 || r.Value != nil {
		t.Errorf("the former life's record is served: %v", r)
	}
}

func TestABatchOfAnotherSegmentOrMemberIsNone(t *testing.T) {
	b := batch{incarnation: 1, segment: 2, first: 3, entries: []entry{entryOf(accept(1, 2, "x"))}}
	content := b.appendTo(nil)
	for _, c := range []struct {
		incarnation paxos.Incarnation
		segment     segmentID
		want        bool
	}{{1, 2, true}, {0, 2, true}, {1, 3, false}, {4, 2, false}} {
		if _, ok := decodeBatch(content, 0, c.incarnation, c.segment); ok != c.want {
			t.Errorf("incarnation %d, segment %d: %v", c.incarnation, c.segment, ok)
		}
	}
}

func TestRestartsDoNotUseUpTheDisk(t *testing.T) {
	m := disk.NewMem()
	for n := range 50 {
		l := mustOpen(t, m)
		if err := l.PrepareNext(); err != nil {
			t.Fatal(err)
		}
		commit(t, l, accept(paxos.Slot(1), 1, fmt.Sprint(n)))
		if n%3 == 0 {
			mustClose(t, l)
		} else {
			m.Kill()
		}
	}
	// 50 batches of a sector fill seven segments; and there may be one prepared and two spares, the lock, and the vital state.
	if names := namesIn(t, m); len(names) > 7+5 {
		t.Errorf("after 50 restarts there are %q", names)
	}
}

func TestReadersAndThePreparerDoNotDisturbTheWriter(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 1, 300)
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			first, last := l.Slots()
			for slot := first; slot <= last; slot++ {
				if r, err := l.Read(slot); err == nil && string(r.Value) != valueOf(slot, 300) {
					t.Errorf("Read(%d) = %q", slot, r.Value)
				} else if err != nil && l.Vital().Trimmed < slot {
					t.Errorf("Read(%d): %v", slot, err)
				}
			}
		}
	})
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := l.PrepareNext(); err != nil {
				t.Error(err)
			}
		}
	})
	for slot := paxos.Slot(2); slot <= 400; slot++ {
		commitSlots(t, l, slot, slot, 300)
		if slot%20 == 0 {
			if err := l.Trim(slot - 15); err != nil {
				t.Error(err)
			}
		}
	}
	close(done)
	others.Wait()
	mustClose(t, l)
}

func TestAFileIsNotRetiredUnderItsReader(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 20, 500)
	reading, release := make(chan struct{}), make(chan struct{})
	var renamed atomic.Bool
	m.Intercept(func(c disk.Call) error {
		switch c.Op {
		case disk.OpRead:
			close(reading)
			<-release
		case disk.OpRename:
			renamed.Store(true)
		}
		return nil
	})
	var tasks sync.WaitGroup
	tasks.Go(func() { expectValue(t, l, 1, valueOf(1, 500)) })
	<-reading
	tasks.Go(func() {
		if err := l.Trim(18); err != nil {
			t.Error(err)
		}
	})
	for first, _ := l.Slots(); first == 1; first, _ = l.Slots() {
		runtime.Gosched()
	}
	for range 10_000 { // chances for Trim to go too far
		runtime.Gosched()
	}
	if renamed.Load() {
		t.Error("a segment's file was retired while it was read")
	}
	_, err := l.Read(1)
	expectError(t, "a read that begins after the trim", err, ErrTrimmed)
	old := l.segments[0]
	close(release)
	tasks.Wait()
	if !renamed.Load() {
		t.Error("no file was retired after the reader had gone")
	}
	mustClose(t, l)
	expectError(t, "a read of a closed file", old.readAt(make([]byte, 1), 0), ErrTrimmed)
}

func TestTheIndexFindsWhatWasSetLast(t *testing.T) {
	var x index
	slots := []paxos.Slot{1, 255, 256, 257, 1 << 40, 1<<64 - 2}
	for n, slot := range slots {
		x.set(slot, position{segment: 1, offset: uint32(n)})
		x.set(slot, position{segment: 2, offset: uint32(n)})
	}
	for n, slot := range slots {
		if p, ok := x.get(slot); !ok || p.segment != 2 || p.offset != uint32(n) {
			t.Errorf("slot %d is at %v, %v", slot, p, ok)
		}
		if _, ok := x.get(slot + 1); ok != slices.Contains(slots, slot+1) {
			t.Errorf("slot %d is there: %v", slot+1, ok)
		}
	}
	x.trim(256)
	for _, slot := range slots {
		if _, ok := x.get(slot); ok != (slot > 256) {
			t.Errorf("after the trim slot %d is there: %v", slot, ok)
		}
	}
	x.clear(257)
	if _, ok := x.get(257); ok {
		t.Error("a cleared slot is there")
	}
	if x.first != 257 || x.last != 1<<64-2 {
		t.Errorf("slots %d to %d", x.first, x.last)
	}
}
