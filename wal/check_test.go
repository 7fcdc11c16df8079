package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"synod.dev/synod/disk"
)

// check returns what Check finds in a test's log, and demands that it writes nothing.
func check(t *testing.T, m *disk.Mem) (h Health, worst disk.Severity, lines string) {
	t.Helper()
	m.Intercept(func(c disk.Call) error {
		if c.Op != disk.OpRead && c.Op != disk.OpOpen && c.Op != disk.OpReadDir {
			t.Errorf("a check must change nothing, and calls %v %s", c.Op, c.Name)
		}
		return nil
	})
	defer m.Intercept(nil)
	h, err := Check(m, testDir, disk.Inspection{
		Found: func(f disk.Finding) {
			worst = max(worst, f.Severity)
			lines += f.String() + "\n"
		},
		Progress: func(string, int64, int64) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, worst, lines
}

// TestCheckForetellsWhatRecoveryMakesOfEveryFlippedByte: Fatal is what Open refuses, Damage what it has lost, and all else it takes.
func TestCheckForetellsWhatRecoveryMakesOfEveryFlippedByte(t *testing.T) {
	killed, _ := written(t)
	closed := copyOf(killed)
	mustClose(t, mustOpen(t, closed))
	fates := map[disk.Severity]int{}
	for _, m := range []*disk.Mem{killed, closed} {
		for offset := range fileSize(t, m, segmentPath(1)) {
			image := copyOf(m)
			if err := image.Flip(segmentPath(1), offset, 0x40); err != nil {
				t.Fatal(err)
			}
			h, worst, lines := check(t, image)
			fates[worst]++
			l, err := Open(image, testDir, testOptions)
			if refused := errors.Is(err, ErrMayNotVote); refused != (worst == disk.Fatal) {
				t.Fatalf("byte %d: Open says %v, Check\n%s", offset, err, lines)
			}
			if err != nil {
				continue
			}
			if lost := len(l.Unknown()) > 0; lost != (worst == disk.Damage) || h.Durable != l.Durable() || !sameSlots(h.Unknown, l.Unknown()) {
				t.Fatalf("byte %d: Open finds %v unknown up to LSN %d, Check %v up to %d\n%s", offset, l.Unknown(), l.Durable(), h.Unknown, h.Durable, lines)
			}
			if _, last := l.Slots(); h.Last != last {
				t.Fatalf("byte %d: the last slot is %d, Check says %d", offset, last, h.Last)
			}
			mustClose(t, l)
		}
	}
	if fates[disk.Notice] == 0 || fates[disk.Damage] == 0 || fates[disk.Fatal] == 0 {
		t.Errorf("fates %v: want some of each", fates)
	}
}

func sameSlots(a, b []UnknownSlot) bool {
	return slices.EqualFunc(a, b, func(a, b UnknownSlot) bool { return a.Slot == b.Slot && a.LSN == b.LSN })
}

func TestCheckFindsEveryDamagedCopyOfTheVitalState(t *testing.T) {
	m, _ := written(t)
	for n := range vitalCopies {
		image := copyOf(m)
		if err := image.Flip(join(testDir, vitalName), int64(n)*vitalBlockBytes+77, 1); err != nil {
			t.Fatal(err)
		}
		_, worst, lines := check(t, image)
		if want := fmt.Sprintf("copy %d of the vital state is damaged", n); worst != disk.Damage || strings.Count(lines, "\n") != 1+tornLines(t, m) || !strings.Contains(lines, want) {
			t.Errorf("copy %d: %v\n%s", n, worst, lines)
		}
		if err := image.Flip(join(testDir, vitalName), int64((n+1)%vitalCopies)*vitalBlockBytes+77, 1); err != nil {
			t.Fatal(err)
		}
		if _, worst, _ := check(t, image); worst != disk.Damage {
			t.Errorf("two copies damaged: %v", worst)
		}
	}
	for n := range vitalCopies {
		if err := m.Flip(join(testDir, vitalName), int64(n)*vitalBlockBytes+77, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, worst, lines := check(t, m); worst != disk.Fatal {
		t.Errorf("all copies damaged: %v\n%s", worst, lines)
	}
}

// tornLines counts what Check says of a log before anything is done to it.
func tornLines(t *testing.T, m *disk.Mem) int {
	_, _, lines := check(t, m)
	return strings.Count(lines, "\n")
}

func TestCheckFindsAMissingSegmentFatalAndALeftoverFileNot(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 9, 1500)
	mustClose(t, l)
	f, err := m.Create(join(testDir, segmentTemp))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	h, worst, lines := check(t, m)
	if worst != disk.Notice || !strings.Contains(lines, "left it half made") || h.Last != 9 || h.Vital.Node != testOptions.Node {
		t.Errorf("%+v %v\n%s", h, worst, lines)
	}
	if err := m.Remove(segmentPath(2)); err != nil {
		t.Fatal(err)
	}
	if _, worst, lines := check(t, m); worst != disk.Fatal {
		t.Errorf("without segment 2: %v\n%s", worst, lines)
	}
}

func TestCheckPassesOverDamageThatALaterRecordOrATrimHasMadeGood(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 2, "one"))
	commit(t, l, accept(2, 2, "two"), accept(3, 2, "three"))
	mustClose(t, l)
	damage(t, m, 1)
	damage(t, m, 2)
	if h, worst, _ := check(t, m); worst != disk.Damage || len(h.Unknown) != 2 {
		t.Errorf("%v, %v unknown", worst, h.Unknown)
	}
	l = mustOpen(t, m)
	commit(t, l, chosen(2, "two"))
	if err := l.Trim(1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if h, worst, lines := check(t, m); worst != disk.Notice || len(h.Unknown) > 0 {
		t.Errorf("%v unknown\n%s", h.Unknown, lines)
	}
	damage(t, m, 3)
	if h, worst, _ := check(t, m); worst != disk.Damage || len(h.Unknown) != 1 || h.Unknown[0].Slot != 3 {
		t.Errorf("%v unknown", h.Unknown)
	}
}
