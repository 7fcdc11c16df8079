package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// history is what a log has been told and what it has answered: the ground on which what a power cut left is judged.
type history struct {
	appended []*paxos.Record // by LSN, from 1
	synced   int             // how many of them a Sync has returned for
	promised paxos.Ballot    // of a Vital that was durable
	boot     uint32          // that an Open has returned with
	trimming paxos.Slot      // that a Trim has been asked for
	trimmed  paxos.Slot      // that a Trim has returned for
	founders string
	epoch    uint32
}

// session is a log at work whose history is kept.
type session struct {
	t *testing.T
	m *disk.Mem
	l *Log
	history
}

func (s *session) open() {
	s.l = mustOpen(s.t, s.m)
	s.boot = s.l.Vital().Boot
}

func (s *session) close() { mustClose(s.t, s.l) }

func (s *session) append(records ...*paxos.Record) {
	s.appended = append(s.appended, records...)
	if _, err := s.l.Append(records); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) sync() {
	if err := s.l.Sync(); err != nil {
		s.t.Fatal(err)
	}
	s.synced = len(s.appended)
	for _, r := range s.appended {
		if s.promised.Less(r.Ballot) {
			s.promised = r.Ballot
		}
	}
	if got := s.l.Vital().Promised; got != s.promised {
		s.t.Fatalf("promised %v after a sync of %v", got, s.promised)
	}
}

func (s *session) trim(slot paxos.Slot) {
	s.trimming = slot
	if err := s.l.Trim(slot); err != nil {
		s.t.Fatal(err)
	}
	s.trimmed = slot
}

func (s *session) setFounders(founders string) {
	if err := s.l.SetFounders([]byte(founders)); err != nil {
		s.t.Fatal(err)
	}
	s.founders = founders
}

func (s *session) setEpoch(epoch uint32) {
	if err := s.l.SetEpoch(epoch); err != nil {
		s.t.Fatal(err)
	}
	s.epoch = epoch
}

// life is a short life of a log with everything in it: promises, batches of one and of many, a value longer than a segment, segments that
// roll, are trimmed and recycled, founders, a clean stop and a kill.
func (s *session) life() {
	s.open()
	s.setFounders("a, b and c")
	s.append(promise(1))
	s.sync()
	for slot := paxos.Slot(1); slot <= 8; slot++ {
		s.append(accept(slot, 1, valueOf(slot, 300)))
		if slot%3 == 0 {
			s.append(chosen(slot-1, valueOf(slot-1, 300)))
		}
		s.sync()
	}
	if err := s.l.PrepareNext(); err != nil {
		s.t.Fatal(err)
	}
	s.append(accept(9, 2, valueOf(9, 9000)), promise(3), accept(10, 3, "ten"))
	s.sync()
	s.setEpoch(2)
	s.trim(6)
	s.m.Kill()
	s.open()
	for slot := paxos.Slot(11); slot <= 16; slot++ {
		s.append(accept(slot, 4, valueOf(slot, 700)), accept(slot, 5, valueOf(slot, 100)))
		s.sync()
	}
	s.trim(13)
	s.close()
	s.open()
	for slot := paxos.Slot(17); slot <= 22; slot++ {
		s.append(accept(slot, 5, valueOf(slot, 900)))
		s.sync()
	}
	s.trim(20)
	s.close()
}

// judge opens what a power cut left and holds it against the history up to then.
func (h *history) judge(t *testing.T, m *disk.Mem, what string) {
	t.Helper()
	l, err := Open(m, testDir, testOptions)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer judgeSequel(t, m, l, what)
	v := l.Vital()
	switch {
	case v.Boot <= h.boot:
		t.Fatalf("%s: boot %d again", what, v.Boot)
	case v.Promised.Less(h.promised):
		t.Fatalf("%s: promised %v, and it was %v", what, v.Promised, h.promised)
	case v.Trimmed < h.trimmed || v.Trimmed > h.trimming:
		t.Fatalf("%s: trimmed %d, and it was %d to %d", what, v.Trimmed, h.trimmed, h.trimming)
	case h.founders != "" && string(v.Founders) != h.founders:
		t.Fatalf("%s: founders %q", what, v.Founders)
	case v.Epoch < h.epoch:
		t.Fatalf("%s: epoch %d, and it was %d", what, v.Epoch, h.epoch)
	case int(l.Durable()) < h.synced || int(l.Durable()) > len(h.appended):
		t.Fatalf("%s: %d records, and %d of %d were synced", what, l.Durable(), h.synced, len(h.appended))
	case len(l.Unknown()) != 0:
		t.Fatalf("%s: unknown %v without any rot", what, l.Unknown())
	}
	found := h.appended[:l.Durable()]
	h.judgeReplay(t, l, found, what)
	last := map[paxos.Slot]*paxos.Record{}
	for _, r := range found {
		last[r.Slot] = r
	}
	delete(last, 0)
	for slot, want := range last {
		got, err := l.Read(slot)
		if slot <= v.Trimmed {
			if !errors.Is(err, ErrTrimmed) {
				t.Fatalf("%s: trimmed slot %d: %v, %v", what, slot, got, err)
			}
		} else if err != nil || !slices.Equal(got.Seal(), want.Seal()) {
			t.Fatalf("%s: slot %d: %v, %v", what, slot, got, err)
		}
	}
}

// judgeSequel goes on with a log that was recovered: it takes one batch more, too large for what is left of its segment, and a second power cut.
func judgeSequel(t *testing.T, m *disk.Mem, l *Log, what string) {
	t.Helper()
	const slot = 1000
	last := commit(t, l, accept(slot, 99, valueOf(slot, 3900)))
	l, err := Open(m.Crash(disk.DropAll), testDir, testOptions)
	if err != nil {
		t.Fatalf("%s, then a batch and another cut: %v", what, err)
	}
	if got := l.Durable(); got != last {
		t.Fatalf("%s, then LSN %d, another cut, and then LSN %d", what, last, got)
	}
	expectValue(t, l, slot, valueOf(slot, 3900))
	mustClose(t, l)
}

func (h *history) judgeReplay(t *testing.T, l *Log, found []*paxos.Record, what string) {
	t.Helper()
	seen := map[paxos.LSN]bool{}
	if err := l.Replay(0, func(lsn paxos.LSN, r *paxos.Record) error {
		if int(lsn) > len(found) || !slices.Equal(r.Seal(), found[lsn-1].Seal()) {
			return fmt.Errorf("LSN %d is %v of slot %d, which was not written", lsn, r.Kind, r.Slot)
		}
		seen[lsn] = true
		return nil
	}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, r := range found {
		if r.Slot > l.Vital().Trimmed && !seen[paxos.LSN(i+1)] {
			t.Fatalf("%s: LSN %d of slot %d is missing", what, i+1, r.Slot)
		}
	}
}

// crashes calls fn with images of the file system after a power cut before this moment: the harshest, the mildest, and some between.
func crashes(m *disk.Mem, seed uint64, between int, fn func(image *disk.Mem, what string)) {
	fn(m.Crash(disk.DropAll), "nothing unsynced kept")
	fn(m.Crash(disk.KeepAll), "everything unsynced kept")
	for n := range between {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		fn(m.Crash(r.IntN), fmt.Sprintf("seed %d/%d", seed, n))
	}
}

func TestAPowerCutBeforeAnyDiskCallLosesNothingAcknowledged(t *testing.T) {
	s := &session{t: t, m: disk.NewMem()}
	var calls uint64
	images := 0
	s.m.Intercept(func(c disk.Call) error {
		calls++
		if c.Op == disk.OpRead || c.Op == disk.OpOpen {
			return nil
		}
		crashes(s.m, calls, 10, func(image *disk.Mem, what string) {
			images++
			s.judge(t, image, fmt.Sprintf("cut before call %d, %v %s, %s", calls, c.Op, c.Name, what))
		})
		return nil
	})
	s.life()
	t.Logf("%d disk calls, %d images", calls, images)
}

func TestAPowerCutDuringRecoveryLosesNothingAcknowledged(t *testing.T) {
	s := &session{t: t, m: disk.NewMem()}
	images := 0
	var calls uint64
	s.m.Intercept(func(c disk.Call) error {
		calls++
		if c.Op != disk.OpSync {
			return nil
		}
		image := s.m.Crash(rand.New(rand.NewPCG(calls, 0)).IntN)
		var inner uint64
		image.Intercept(func(c disk.Call) error {
			if c.Op == disk.OpRead || c.Op == disk.OpOpen {
				return nil
			}
			inner++
			crashes(image, calls<<32|inner, 3, func(second *disk.Mem, what string) {
				images++
				s.judge(t, second, fmt.Sprintf("cut before call %d, then in recovery before call %d, %v %s, %s", calls, inner, c.Op, c.Name, what))
			})
			return nil
		})
		mustOpen(t, image)
		return nil
	})
	s.life()
	t.Logf("%d disk calls, %d images", calls, images)
}

// everyChoice calls run with each sequence of choices there is, as long as fan-outs beyond limit are cut down to limit
// representatives.
func everyChoice(limit int, run func(choose func(n int) int)) (runs int) {
	var path, fan []int
	for {
		depth := 0
		run(func(n int) int {
			options := min(n, limit)
			if depth == len(path) {
				path, fan = append(path, 0), append(fan, options)
			}
			pick := path[depth]
			depth++
			return pick * (n - 1) / max(1, options-1)
		})
		runs++
		n := len(path) - 1
		for n >= 0 && path[n] == fan[n]-1 {
			n--
		}
		if n < 0 {
			return runs
		}
		path, fan = path[:n+1], fan[:n+1]
		path[n]++
	}
}

func TestEveryFateOfEverySectorOfABatchIsSurvived(t *testing.T) {
	s := &session{t: t, m: disk.NewMem()}
	s.open()
	s.append(accept(1, 1, "one"))
	s.sync()
	s.append(accept(2, 1, valueOf(2, 200)), accept(3, 1, valueOf(3, 900)), accept(4, 1, valueOf(4, 200)), accept(5, 1, valueOf(5, 300)))
	cut := false
	s.m.Intercept(func(c disk.Call) error {
		if c.Op != disk.OpSync || cut {
			return nil
		}
		cut = true
		runs := everyChoice(4, func(choose func(int) int) { s.judge(t, s.m.Crash(choose), "cut before the batch's sync") })
		if runs < 1000 {
			t.Errorf("only %d images", runs)
		}
		t.Logf("%d images", runs)
		return nil
	})
	s.sync()
	if !cut {
		t.Error("the batch was never synced")
	}
}

func TestEveryFateOfEveryCopyOfTheVitalStateIsSurvived(t *testing.T) {
	s := &session{t: t, m: disk.NewMem()}
	s.open()
	s.append(promise(1))
	s.sync()
	s.append(promise(2))
	half := 0
	s.m.Intercept(func(c disk.Call) error {
		if c.Op != disk.OpSync || half == 2 {
			return nil
		}
		half++
		r := rand.New(rand.NewPCG(uint64(half), 0))
		for n := range 500 {
			s.judge(t, s.m.Crash(r.IntN), fmt.Sprintf("cut before half %d was synced, image %d", half, n))
		}
		return nil
	})
	s.sync()
	if half != 2 {
		t.Errorf("the vital state was synced %d times", half)
	}
}
