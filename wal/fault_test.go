package wal

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

var errDisk = syscall.EIO

// try does what a session's life does, as far as the first error.
func (h *history) try(l *Log) error {
	steps := []func() error{
		func() error { return h.tryAppend(l, promise(1)) },
		func() error { return h.tryAppend(l, accept(1, 2, valueOf(1, 1500)), accept(2, 2, valueOf(2, 1500))) },
		func() error { return l.PrepareNext() },
		func() error { return h.tryAppend(l, accept(3, 3, valueOf(3, 3000))) },
		func() error { h.trimming = 2; return l.Trim(2) },
		func() error { h.trimmed = 2; return l.PrepareNext() },
		func() error { return h.tryAppend(l, accept(4, 3, valueOf(4, 3000))) },
		func() error { return l.SetFounders([]byte("founders")) },
		func() error { return l.SetEpoch(1) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) tryAppend(l *Log, records ...*paxos.Record) error {
	h.appended = append(h.appended, records...)
	if _, err := l.Append(records); err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	h.synced = len(h.appended)
	for _, r := range records {
		if h.promised.Less(r.Ballot) {
			h.promised = r.Ballot
		}
	}
	return nil
}

func TestEveryFailedDiskCallIsFinal(t *testing.T) {
	for _, op := range []disk.Op{disk.OpCreate, disk.OpWrite, disk.OpSync, disk.OpRename, disk.OpSyncDir} {
		failures := 0
		for n := int64(1); ; n++ {
			m := disk.NewMem()
			l := mustOpen(t, m)
			h := &history{boot: 1}
			fail, failed := disk.FailNth(op, n, errDisk), false
			m.Intercept(func(c disk.Call) error {
				err := fail(c)
				failed = failed || err != nil
				return err
			})
			err := h.try(l)
			if err == nil {
				if failed {
					t.Errorf("%v %d failed and nobody was told", op, n)
				}
				break
			}
			failures++
			what := fmt.Sprintf("%v %d failed", op, n)
			expectError(t, what, err, ErrFailed)
			expectError(t, what, err, errDisk)
			m.Intercept(func(c disk.Call) error {
				t.Errorf("%s, and then there was a %v of %s", what, c.Op, c.Name)
				return nil
			})
			expectFailed(t, l, what)
			m.Intercept(nil)
			crashes(m, uint64(n), 20, func(image *disk.Mem, fate string) { h.judge(t, image, what+", "+fate) })
			m.Kill()
			h.judge(t, m, what+", killed")
		}
		if failures == 0 {
			t.Errorf("no %v to fail", op)
		}
		t.Logf("%v: %d failures", op, failures)
	}
}

func expectFailed(t *testing.T, l *Log, what string) {
	t.Helper()
	_, err := l.Append([]*paxos.Record{accept(9, 9, "nine")})
	expectError(t, what+", then Append", err, ErrFailed)
	expectError(t, what+", then Sync", l.Sync(), ErrFailed)
	expectError(t, what+", then Trim", l.Trim(1), ErrFailed)
	expectError(t, what+", then PrepareNext", l.PrepareNext(), ErrFailed)
	expectError(t, what+", then SetFounders", l.SetFounders([]byte("x")), ErrFailed)
	expectError(t, what+", then SetEpoch", l.SetEpoch(9), ErrFailed)
	_, err = l.Read(1)
	expectError(t, what+", then Read", err, ErrFailed)
	expectError(t, what+", then Replay", l.Replay(0, nil), ErrFailed)
}

func TestAFailedCallDuringRecoveryLosesNothing(t *testing.T) {
	for _, op := range []disk.Op{disk.OpCreate, disk.OpOpen, disk.OpRead, disk.OpWrite, disk.OpSync, disk.OpRename, disk.OpReadDir, disk.OpSyncDir} {
		for n := int64(1); ; n++ {
			m, batches := written(t)
			h := &history{boot: 1, promised: ballot(3)}
			for _, b := range batches {
				h.appended = append(h.appended, b...)
			}
			h.synced = len(h.appended)
			m.Intercept(disk.FailNth(op, n, errDisk))
			l, err := Open(m, testDir, testOptions)
			m.Intercept(nil)
			// The vital state has copies so that one may be unreadable: that alone is not an error.
			if err == nil && (op != disk.OpRead || n > vitalCopies) {
				if n == 1 {
					t.Errorf("recovery made no call of %v", op)
				}
				mustClose(t, l)
				break
			}
			if err == nil {
				mustClose(t, l)
				h.boot++
			}
			what := fmt.Sprintf("%v %d of recovery failed", op, n)
			crashes(m, uint64(n), 20, func(image *disk.Mem, fate string) { h.judge(t, image, what+", "+fate) })
			h.judge(t, m, what)
		}
	}
}

func TestRecoveryDoesNotTrustWhatAFailedSyncLeftInTheCache(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 1, "one"))
	if _, err := l.Append([]*paxos.Record{accept(2, 1, "two")}); err != nil {
		t.Fatal(err)
	}
	m.Intercept(disk.FailNth(disk.OpSync, 1, errDisk))
	expectError(t, "Sync", l.Sync(), errDisk)
	m.Intercept(nil)

	m.Kill()
	l = mustOpen(t, m) // the page cache shows slot 2 as if it were on disk
	expectValue(t, l, 2, "two")
	commit(t, l, accept(3, 1, "three"))
	after := m.Crash(disk.DropAll)
	l = mustOpen(t, after)
	for slot, want := range map[paxos.Slot]string{1: "one", 2: "two", 3: "three"} {
		expectValue(t, l, slot, want)
	}
}

func TestAFullDiskIsFinalAndLosesNothing(t *testing.T) {
	for room := int64(0); room <= 3*testOptions.SegmentBytes; room += testOptions.SegmentBytes / 2 {
		s := &session{t: t, m: disk.NewMem()}
		s.open()
		s.append(accept(1, 1, "one"))
		s.sync()
		s.m.SetCapacity(vitalCopies*vitalBlockBytes + testOptions.SegmentBytes + room)
		var err error
		for slot := paxos.Slot(2); err == nil; slot++ {
			err = s.tryAppend(s.l, accept(slot, 1, valueOf(slot, 1000)))
		}
		expectError(t, "Sync", err, ErrFailed)
		expectError(t, "Sync", err, syscall.ENOSPC)
		expectFailed(t, s.l, "disk full")
		if want := 4 * (1 + int(room/testOptions.SegmentBytes)) / 2; s.synced < want {
			t.Errorf("with %d bytes of room %d records were synced, want at least %d", room, s.synced, want)
		}
		s.m.SetCapacity(0)
		s.m.Kill()
		s.judge(t, s.m, "disk full, then room again")
	}
}

func TestAStalledSyncAcknowledgesNothing(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 1, "one"))
	stalled, release := make(chan struct{}), make(chan struct{})
	m.Intercept(func(c disk.Call) error {
		if c.Op == disk.OpSync {
			close(stalled)
			<-release
		}
		return nil
	})
	if _, err := l.Append([]*paxos.Record{accept(2, 1, "two")}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- l.Sync() }()
	<-stalled
	if l.Durable() != 1 {
		t.Errorf("LSN %d is durable while its sync is under way", l.Durable())
	}
	expectValue(t, l, 1, "one") // a reader does not wait for the disk's writer
	expectValue(t, l, 2, "two")
	m.Intercept(nil)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l.Durable() != 2 {
		t.Errorf("LSN %d is durable after the sync", l.Durable())
	}
}

func TestAClosedLogTakesNoCalls(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 1, "one"))
	mustClose(t, l)
	mustClose(t, l)
	_, err := l.Append([]*paxos.Record{accept(2, 1, "two")})
	expectError(t, "Append", err, ErrClosed)
	expectError(t, "Sync", l.Sync(), ErrClosed)
	expectError(t, "PrepareNext", l.PrepareNext(), ErrClosed)
	_, err = l.Read(1)
	expectError(t, "Read", err, ErrClosed)
	if errors.Is(err, ErrFailed) {
		t.Error("a closed log calls itself failed")
	}
}
