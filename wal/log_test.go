package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

const testDir = "member/log"

var testOptions = Options{Cluster: 0xc1, Node: 0xa, Incarnation: 0x1234, SegmentBytes: 4096}

func mustOpen(t testing.TB, fsys disk.FS) *Log {
	t.Helper()
	l, err := Open(fsys, testDir, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func ballot(round uint64) paxos.Ballot { return paxos.Ballot{Round: round, Node: 0xa, Boot: 1} }

func accept(slot paxos.Slot, round uint64, value string) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordAccept, Slot: slot, Ballot: ballot(round), Chosen: slot - 1, Value: paxos.Value(value)}
}

func promise(round uint64) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordPromise, Ballot: ballot(round)}
}

func chosen(slot paxos.Slot, value string) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordChosen, Slot: slot, Value: paxos.Value(value)}
}

// commit appends records and syncs them.
func commit(t testing.TB, l *Log, records ...*paxos.Record) paxos.LSN {
	t.Helper()
	last, err := l.Append(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	return last
}

// commitSlots commits one accept record a batch, for slots from to to.
func commitSlots(t testing.TB, l *Log, from, to paxos.Slot, bytesEach int) {
	t.Helper()
	for slot := from; slot <= to; slot++ {
		commit(t, l, accept(slot, 1, valueOf(slot, bytesEach)))
	}
}

func valueOf(slot paxos.Slot, n int) string {
	return fmt.Sprintf("%0*d", n, slot)
}

func expectValue(t testing.TB, l *Log, slot paxos.Slot, want string) {
	t.Helper()
	r, err := l.Read(slot)
	if err != nil {
		t.Errorf("Read(%d): %v", slot, err)
	} else if string(r.Value) != want {
		t.Errorf("Read(%d) = %q, want %q", slot, r.Value, want)
	}
}

func expectError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// replay returns what Replay tells, a line a record.
func replay(t testing.TB, l *Log, from paxos.Slot) (lines []string) {
	t.Helper()
	err := l.Replay(from, func(lsn paxos.LSN, r *paxos.Record) error {
		lines = append(lines, fmt.Sprintf("%d %v slot %d ballot %v %q", lsn, r.Kind, r.Slot, r.Ballot, r.Value))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return lines
}

func TestRecordsComeBackAsTheyWereAppended(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	if last := commit(t, l, promise(3)); last != 1 {
		t.Errorf("the first LSN is %d", last)
	}
	if last := commit(t, l, accept(1, 3, "one"), accept(2, 3, "two"), chosen(7, "")); last != 4 {
		t.Errorf("the LSN after three more is %d", last)
	}
	commit(t, l, accept(1, 5, "uno"))
	want := []string{
		`1 promise slot 0 ballot 3.a.1 ""`,
		`2 accept slot 1 ballot 3.a.1 "one"`,
		`3 accept slot 2 ballot 3.a.1 "two"`,
		`4 chosen slot 7 ballot - ""`,
		`5 accept slot 1 ballot 5.a.1 "uno"`,
	}
	for _, again := range []string{"at once", "after a clean close", "after a kill"} {
		if got := replay(t, l, 0); !slices.Equal(got, want) {
			t.Errorf("%s the log holds\n%q, want\n%q", again, got, want)
		}
		expectValue(t, l, 1, "uno")
		expectValue(t, l, 2, "two")
		expectValue(t, l, 7, "")
		_, err := l.Read(3)
		expectError(t, "a slot without a record", err, ErrNotFound)
		if first, last := l.Slots(); first != 1 || last != 7 {
			t.Errorf("%s the slots are %d to %d", again, first, last)
		}
		if l.Durable() != 5 {
			t.Errorf("%s LSN %d is durable", again, l.Durable())
		}
		if again == "at once" {
			mustClose(t, l)
		} else {
			m.Kill()
		}
		l = mustOpen(t, m)
	}
	if got := l.Vital().Boot; got != 4 {
		t.Errorf("boot %d after four opens", got)
	}
	if got, want := replay(t, l, 2), slices.Delete(slices.Clone(want), 1, 2); !slices.Equal(got, want[:3]) {
		t.Errorf("from slot 2 on the log holds %q, want %q", got, want[:3])
	}
}

func TestTheLogIsTheSameOnTheRealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "member", "log")
	open := func() *Log {
		t.Helper()
		l, err := Open(disk.OS(), dir, testOptions)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	_, err := Open(disk.OS(), dir, testOptions)
	expectError(t, "second Open", err, disk.ErrLocked)
	commit(t, l, promise(2))
	commitSlots(t, l, 1, 20, 500)
	if err := l.Trim(10); err != nil {
		t.Fatal(err)
	}
	commitSlots(t, l, 21, 30, 500)
	want := replay(t, l, 0)
	mustClose(t, l)
	l = open()
	if got := replay(t, l, 0); !slices.Equal(got, want) {
		t.Errorf("after a restart the log holds %d records, want %d", len(got), len(want))
	}
	if v := l.Vital(); v.Boot != 2 || v.Promised != ballot(2) || v.Trimmed != 10 {
		t.Errorf("vital state %+v", v)
	}
	mustClose(t, l)
}

// The log says how far it can be trimmed so that whole segments go, enough stays, and nothing above a limit is lost.
func TestTheTrimPointKeepsWhatIsWanted(t *testing.T) {
	fs := disk.NewMem()
	l, err := Open(fs, "/log", Options{Cluster: 1, Node: 1, Incarnation: 1, SegmentBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for slot := paxos.Slot(1); slot <= 40; slot++ {
		if _, err := l.Append([]*paxos.Record{{Kind: paxos.RecordAccept, Slot: slot, Ballot: paxos.Ballot{Round: 1, Node: 1, Boot: 1}, Value: make([]byte, 7<<10)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if size := l.Size(); size != 19*16<<10 { // two records a segment; the last segment is being written to
		t.Fatalf("%d bytes in full segments", size)
	}
	for _, tc := range []struct {
		keep  int64
		limit paxos.Slot
		want  paxos.Slot
	}{
		{0, 100, 38}, {0, 10, 10}, {0, 9, 8}, {0, 1, 0}, {0, 0, 0},
		{16 << 10, 100, 36}, {4 * 16 << 10, 100, 30}, {4 * 16 << 10, 7, 6}, {19 * 16 << 10, 100, 0}, {1 << 40, 100, 0},
	} {
		if got := l.TrimPoint(tc.keep, tc.limit); got != tc.want {
			t.Errorf("keeping %d bytes, at most slot %d: trim to %d, want %d", tc.keep, tc.limit, got, tc.want)
		}
	}
	if err := l.Trim(l.TrimPoint(4*16<<10, 100)); err != nil {
		t.Fatal(err)
	}
	if size := l.Size(); size != 4*16<<10 {
		t.Errorf("%d bytes are left", size)
	}
}
