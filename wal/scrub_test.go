package wal

import (
	"errors"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

func unpaced(int) error { return nil }

// scrub makes one pass and returns what it finds.
func scrub(t *testing.T, l *Log) (found []Damage) {
	t.Helper()
	if err := l.Scrub(unpaced, func(d Damage) { found = append(found, d) }); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestAScrubFindsEveryFlippedByteThatAnOpenWouldMiss: what it passes over, an Open finds harmless; what it finds, an Open has lost or refuses.
func TestAScrubFindsEveryFlippedByteThatAnOpenWouldMiss(t *testing.T) {
	m, _ := written(t)
	harmless, slots, spoiled := 0, 0, 0
	for offset := range fileSize(t, m, segmentPath(1)) {
		image := copyOf(m)
		l := mustOpen(t, image)
		if err := image.Flip(segmentPath(1), offset, 0x20); err != nil {
			t.Fatal(err)
		}
		found := scrub(t, l)
		unknown := l.Unknown()
		mustClose(t, l)
		again, err := Open(image, testDir, testOptions)
		switch {
		case len(found) == 0:
			harmless++
			if err != nil || len(again.Unknown()) > 0 {
				t.Fatalf("byte %d: nothing was found, and then %v", offset, err)
			}
		case found[0].Slot == 0:
			spoiled++
			if !errors.Is(err, ErrMayNotVote) {
				t.Fatalf("byte %d: %+v was found, and the log opens: %v", offset, found, err)
			}
		default:
			slots++
			if err != nil || !sameSlots(unknown, again.Unknown()) || unknown[0].Slot != found[0].Slot {
				t.Fatalf("byte %d: %+v was found, %v unknown, and then %v", offset, found, unknown, err)
			}
		}
		if err == nil {
			mustClose(t, again)
		}
	}
	if harmless == 0 || slots == 0 || spoiled == 0 {
		t.Errorf("%d harmless, %d damaged slots, %d damaged headers: want some of each", harmless, slots, spoiled)
	}
}

func TestASlotThatAScrubFindsDamagedIsUnknownUntilItIsWrittenAgain(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 6, 700) // more than one segment
	damage(t, m, 2)
	damage(t, m, 6)
	if found := scrub(t, l); len(found) != 2 || found[0].Slot != 2 || found[1].Slot != 6 {
		t.Errorf("found %+v", found)
	}
	if found := scrub(t, l); len(found) != 0 {
		t.Errorf("found again: %+v", found)
	}
	_, err := l.Read(2)
	expectError(t, "Read", err, ErrUnknown)
	commit(t, l, chosen(2, "again"))
	if found := scrub(t, l); len(found) != 0 {
		t.Errorf("found, where there is a later record: %+v", found)
	}
	expectValue(t, l, 2, "again")
	if unknown := l.Unknown(); len(unknown) != 1 || unknown[0].Slot != 6 {
		t.Errorf("unknown: %v", unknown)
	}
	mustClose(t, l)
	l = mustOpen(t, m)
	expectValue(t, l, 2, "again")
	mustClose(t, l)
}

func TestAReadThatFindsDamageMakesTheSlotUnknown(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 3, 100)
	damage(t, m, 2)
	_, err := l.Read(2)
	expectError(t, "Read", err, ErrUnknown)
	if unknown := l.Unknown(); len(unknown) != 1 || unknown[0].Slot != 2 {
		t.Errorf("unknown: %v", unknown)
	}
	mustClose(t, l)
}

// A batch whose header is damaged makes the log useless after a restart. While it is open everything is known, and a trim past the segment cures it.
func TestALogWithADamagedHeaderIsCuredByATrim(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 12, 700)
	if err := m.Flip(segmentPath(1), 20, 1); err != nil {
		t.Fatal(err)
	}
	if found := scrub(t, l); len(found) != 1 || found[0].Slot != 0 || found[0].Segment != segmentID(1).fileName() {
		t.Fatalf("found %+v", found)
	}
	slot := l.Spoiled()
	if slot == 0 || slot >= 12 {
		t.Fatalf("to be trimmed to slot %d", slot)
	}
	_, err := Open(copyOf(m), testDir, testOptions)
	expectError(t, "Open before the trim", err, ErrMayNotVote)
	if err := l.Trim(slot); err != nil {
		t.Fatal(err)
	}
	if l.Spoiled() != 0 {
		t.Error("a trim is still asked for")
	}
	if found := scrub(t, l); len(found) != 0 {
		t.Errorf("found again: %+v", found)
	}
	mustClose(t, l)
	l = mustOpen(t, m)
	expectValue(t, l, 12, valueOf(12, 700))
	mustClose(t, l)
}

func TestDamagedCopiesOfTheVitalStateAreWrittenAgainEvenAll(t *testing.T) {
	for _, flipped := range [][]int64{{}, {1}, {0, 3}, {0, 1, 2, 3}} {
		m := disk.NewMem()
		l := mustOpen(t, m)
		commit(t, l, promise(7))
		for _, n := range flipped {
			if err := m.Flip(join(testDir, vitalName), n*vitalBlockBytes+60, 1); err != nil {
				t.Fatal(err)
			}
		}
		bad, err := l.MendVital()
		if err != nil || bad != len(flipped) {
			t.Errorf("copies %v: %d were bad, %v", flipped, bad, err)
		}
		if _, worst, lines := check(t, copyOf(m)); worst != disk.Notice {
			t.Errorf("copies %v: %s", flipped, lines)
		}
		m.Kill()
		l = mustOpen(t, m)
		if got := l.Vital().Promised; got != ballot(7) {
			t.Errorf("copies %v: promised %v", flipped, got)
		}
		mustClose(t, l)
	}
}

func TestAScrubGoesOnWhileTheLogIsWrittenAndTrimmed(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	passed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for slot := paxos.Slot(1); slot <= 400; slot++ {
			if slot == 200 {
				<-passed
			}
			commit(t, l, accept(slot, 1, valueOf(slot, 300)))
			if slot%16 == 0 {
				if err := l.Trim(slot - 8); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for passes := 0; ; passes++ {
		if found := scrub(t, l); len(found) > 0 {
			t.Fatalf("pass %d finds %+v in a sound log", passes, found)
		}
		if passes == 0 {
			close(passed)
		}
		select {
		case <-done:
			mustClose(t, l)
			return
		default:
		}
	}
}
