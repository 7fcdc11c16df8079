package wal

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

func expectRefusal(t *testing.T, m *disk.Mem, options Options, want error, words ...string) {
	t.Helper()
	l, err := Open(m, testDir, options)
	if err == nil {
		mustClose(t, l)
	}
	if !errors.Is(err, want) {
		t.Fatalf("Open: %v, want %v", err, want)
	}
	for _, word := range append(words, testDir) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the message %q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the message %q is more than a line", err)
	}
}

func TestADirectoryIsFormattedOnlyWithAnIncarnation(t *testing.T) {
	m := disk.NewMem()
	unborn := testOptions
	unborn.Incarnation = 0
	expectRefusal(t, m, unborn, ErrNotFormatted)
	if _, err := m.ReadDir(testDir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused Open made the directory")
	}
	if err := m.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, m, unborn, ErrNotFormatted)
	l := mustOpen(t, m)
	v := l.Vital()
	if v.Cluster != testOptions.Cluster || v.Node != testOptions.Node || v.Incarnation != testOptions.Incarnation || v.Boot != 1 {
		t.Errorf("formatted as %+v", v)
	}
	mustClose(t, l)

	reborn := testOptions
	reborn.Incarnation = 0x9999
	l, err := Open(m, testDir, reborn)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Vital(); got.Incarnation != testOptions.Incarnation || got.Boot != 2 {
		t.Errorf("a log that was there became %+v", got)
	}
}

func TestAnotherMembersDirectoryIsRefused(t *testing.T) {
	m := disk.NewMem()
	mustClose(t, mustOpen(t, m))
	other := testOptions
	other.Node = 0xb
	expectRefusal(t, m, other, ErrForeign, "node a in cluster c1", "node b in cluster c1")
	other = testOptions
	other.Cluster = 0xc2
	expectRefusal(t, m, other, ErrForeign, "cluster c1", "cluster c2")
}

func TestALockedDirectoryIsRefused(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	expectRefusal(t, m, testOptions, disk.ErrLocked)
	mustClose(t, l)
	mustClose(t, mustOpen(t, m))
}

func stampVersion(block []byte, version FormatVersion) {
	binary.LittleEndian.PutUint32(block[8:], uint32(version))
	binary.LittleEndian.PutUint32(block, checksum(block[4:]))
}

// rewriteVital puts the present state back under another format version.
func rewriteVital(t *testing.T, m *disk.Mem, version FormatVersion) {
	t.Helper()
	f, err := m.OpenWrite(join(testDir, vitalName))
	if err != nil {
		t.Fatal(err)
	}
	v, s, err := readVital(f)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint32(vitalCopies) {
		b := encodeVital(s, n, v.sequence)
		stampVersion(b, version)
		if _, err := f.WriteAt(b, int64(n)*vitalBlockBytes); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewerMinorFormatIsReadAndANewerMajorOneIsRefused(t *testing.T) {
	m, _ := written(t)
	rewriteVital(t, m, Format1+7)
	l := mustOpen(t, m)
	expectValue(t, l, 1, "the first")
	mustClose(t, l)
	rewriteVital(t, m, Format1+1<<16)
	expectRefusal(t, m, testOptions, ErrVersion, "2.0", "1.1", "newer program")
}

func TestSegmentsWithoutVitalStateAreRefused(t *testing.T) {
	m, _ := written(t)
	if err := m.Remove(join(testDir, vitalName)); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, m, testOptions, ErrMayNotVote, vitalName, "replace")
}

func TestADamagedBatchHeaderIsRefusedByPlaceAndLSN(t *testing.T) {
	m, _ := written(t)
	if err := m.Flip(segmentPath(1), 512+20, 1); err != nil { // the second batch, LSN 3 to 5
		t.Fatal(err)
	}
	expectRefusal(t, m, testOptions, ErrMayNotVote, segmentPath(1), "at 512", "LSN 3", "replace")
}

func TestAFileThatIsTooLongForASegmentIsRefused(t *testing.T) {
	m, _ := written(t)
	f, err := m.Create(segmentPath(9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	fsys := hugeFiles{m, segmentPath(9)}
	if _, err := Open(fsys, testDir, testOptions); err == nil || !strings.Contains(err.Error(), segmentPath(9)) {
		t.Errorf("Open: %v", err)
	}
}

// hugeFiles says of one file that it is larger than any segment.
type hugeFiles struct {
	*disk.Mem
	name string
}

type hugeFile struct{ disk.File }

func (h hugeFiles) OpenRead(name string) (disk.File, error) {
	f, err := h.Mem.OpenRead(name)
	if name == h.name {
		f = hugeFile{f}
	}
	return f, err
}

func (hugeFile) Size() (int64, error) { return 1 << 40, nil }

func TestSegmentBytesAreBounded(t *testing.T) {
	for _, bytes := range []int64{-1, 1, 4095 - sectorBytes, maxSegmentBytes + 1} {
		o := testOptions
		o.SegmentBytes = bytes
		if _, err := Open(disk.NewMem(), testDir, o); err == nil {
			t.Errorf("segments of %d bytes are accepted", bytes)
		}
	}
}

func TestFoundersAreSetOnce(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	if l.Vital().Founders != nil {
		t.Errorf("a new log has founders %q", l.Vital().Founders)
	}
	expectError(t, "no founders", l.SetFounders(nil), ErrFounders)
	expectError(t, "too many founders", l.SetFounders(make([]byte, MaxFoundersBytes+1)), ErrFounders)
	blob := make([]byte, MaxFoundersBytes)
	for i := range blob {
		blob[i] = byte(i)
	}
	for range 2 {
		if err := l.SetFounders(blob); err != nil {
			t.Fatal(err)
		}
		expectError(t, "other founders", l.SetFounders([]byte("others")), ErrFounders)
		m.Kill()
		l = mustOpen(t, m)
		if string(l.Vital().Founders) != string(blob) {
			t.Fatal("the founders did not come back")
		}
	}
}

func TestTheEpochOfTheMembershipIsKeptAndNeverGoesBack(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	for _, step := range []struct{ set, is uint32 }{{0, 0}, {3, 3}, {2, 3}, {3, 3}, {7, 7}} {
		if err := l.SetEpoch(step.set); err != nil {
			t.Fatal(err)
		}
		m.Kill()
		if l = mustOpen(t, m); l.Vital().Epoch != step.is {
			t.Fatalf("epoch %d was set, and %d came back, not %d", step.set, l.Vital().Epoch, step.is)
		}
	}
}

func TestAPromiseOutlivesItsRecord(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, promise(7), accept(1, 2, "one"))
	m.Kill()
	if err := m.Flip(segmentPath(1), 80, 1); err != nil { // the promise's own bytes: the tail is cut from it on
		t.Fatal(err)
	}
	l = mustOpen(t, m)
	if got := l.Durable(); got != 0 {
		t.Errorf("%d records are left", got)
	}
	if got := l.Vital().Promised; got != ballot(7) {
		t.Errorf("promised %v", got)
	}
}

func TestTheLogIsReadableBeforeAnythingWasWritten(t *testing.T) {
	m := disk.NewMem()
	for range 3 {
		l := mustOpen(t, m)
		if first, last := l.Slots(); first != 0 || last != 0 || l.Durable() != 0 {
			t.Errorf("slots %d to %d, LSN %d in an empty log", first, last, l.Durable())
		}
		if got := replay(t, l, 0); len(got) != 0 {
			t.Errorf("an empty log replays %q", got)
		}
		if _, err := l.Append(nil); err != nil {
			t.Error(err)
		}
		if err := l.Sync(); err != nil {
			t.Error(err)
		}
		mustClose(t, l)
	}
	_, err := mustOpen(t, m).Append([]*paxos.Record{{Kind: paxos.RecordAccept, Slot: 1, Value: make([]byte, paxos.MaxValueBytes+1)}})
	expectError(t, "a value that is too long", err, ErrTooLarge)
}

func TestALengthOfFoundersBeyondTheBlockIsNotBelieved(t *testing.T) {
	b := encodeVital(state{Vital: Vital{Node: 1, Founders: []byte("a")}}, 0, 1)
	binary.LittleEndian.PutUint32(b[76:], MaxFoundersBytes+1)
	binary.LittleEndian.PutUint32(b, checksum(b[4:]))
	_, _, err := decodeVital(b, 0)
	expectError(t, "decodeVital", err, errVitalCopy)
}

// replaceVital puts a vital state in the place of the one that is there.
func replaceVital(t *testing.T, m *disk.Mem, s state) {
	t.Helper()
	if err := createVital(m, testDir, s); err != nil {
		t.Fatal(err)
	}
}

var testIdentity = Vital{Cluster: testOptions.Cluster, Node: testOptions.Node, Incarnation: testOptions.Incarnation}

func TestABootNumberIsNeverUsedAgainNotEvenTheHighest(t *testing.T) {
	m := disk.NewMem()
	mustClose(t, mustOpen(t, m))
	s := state{Vital: testIdentity, first: 1}
	s.Boot = math.MaxUint32
	replaceVital(t, m, s)
	_, err := Open(m, testDir, testOptions)
	expectError(t, "Open", err, ErrMayNotVote)
}

func TestRecoveryRaisesThePromiseToEveryBallotThatItFinds(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 7, "one"))
	mustClose(t, l)
	replaceVital(t, m, state{Vital: testIdentity, first: 1})
	if got := mustOpen(t, m).Vital().Promised; got != ballot(7) {
		t.Errorf("promised %v", got)
	}
}

func TestWhatRecoveryVouchedForIsNotCutByTheNext(t *testing.T) {
	m := disk.NewMem()
	commitSlots(t, mustOpen(t, m), 1, 2, 100)
	m.Kill()
	mustOpen(t, m)
	m.Kill()
	if err := m.Flip(segmentPath(1), sectorBytes+batchHeaderBytes+entryBytes+paxos.RecordHeaderSize, 1); err != nil {
		t.Fatal(err)
	}
	if unknown := mustOpen(t, m).Unknown(); len(unknown) != 1 || unknown[0].Slot != 2 {
		t.Errorf("unknown %v", unknown)
	}
}

func TestANameThatAnEarlierProcessLeftUnsyncedIsSyncedBeforeItIsTrusted(t *testing.T) {
	m := disk.NewMem()
	m.Intercept(disk.FailNth(disk.OpSyncDir, 2, errDisk)) // the one after the vital state got its name
	_, err := Open(m, testDir, testOptions)
	expectError(t, "Open", err, errDisk)
	m.Intercept(nil)
	m.Kill()
	boot := mustOpen(t, m).Vital().Boot
	if got := mustOpen(t, m.Crash(disk.DropAll)).Vital().Boot; got != boot+1 {
		t.Errorf("boot %d, a power cut, and boot %d", boot, got)
	}
}
