package wal

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// written is a log of four batches that was killed after its last sync: the first three are below a watermark, the
// last is not.
func written(t *testing.T) (m *disk.Mem, batches [][]*paxos.Record) {
	batches = [][]*paxos.Record{
		{promise(2), accept(1, 2, "the first")},
		{accept(2, 2, "two"), accept(3, 2, valueOf(3, 600)), accept(4, 2, "four")},
		{chosen(5, "five")},
		{accept(6, 3, "six"), accept(7, 3, valueOf(7, 300))},
	}
	m = disk.NewMem()
	l := mustOpen(t, m)
	for _, b := range batches {
		commit(t, l, b...)
	}
	m.Kill()
	return m, batches
}

func segmentPath(id segmentID) string { return join(testDir, id.fileName()) }

func copyOf(m *disk.Mem) *disk.Mem { return m.Crash(disk.KeepAll) }

func fileSize(t *testing.T, m *disk.Mem, name string) int64 {
	t.Helper()
	content, err := readSegment(m, name)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(content))
}

// fates counts what became of a log with one byte changed.
type fates struct{ refused, unknown, cut, harmless int }

// judgeFlip opens a log with one byte changed. Of the first acknowledged records none may be missing silently, or read wrong.
func (f *fates) judgeFlip(t *testing.T, m *disk.Mem, records []*paxos.Record, acknowledged int, what string) {
	t.Helper()
	l, err := Open(m, testDir, testOptions)
	if err != nil {
		if !errors.Is(err, ErrMayNotVote) {
			t.Fatalf("%s: %v", what, err)
		}
		f.refused++
		return
	}
	defer mustClose(t, l)
	if got := int(l.Durable()); got < acknowledged {
		t.Fatalf("%s: cut to %d records of %d", what, got, acknowledged)
	} else if got < len(records) {
		f.cut++
	} else if len(l.Unknown()) > 0 {
		f.unknown++
	} else {
		f.harmless++
	}
	if got := l.Vital().Promised; got != ballot(3) {
		t.Fatalf("%s: promised %v", what, got)
	}
	for i, want := range records {
		if want.Slot == 0 {
			continue
		}
		got, err := l.Read(want.Slot)
		switch {
		case err == nil && slices.Equal(got.Seal(), want.Seal()):
		case errors.Is(err, ErrUnknown) && i < int(l.Durable()):
			if !slices.ContainsFunc(l.Unknown(), func(u UnknownSlot) bool { return u.Slot == want.Slot && !u.Ballot.Less(want.Ballot) }) {
				t.Fatalf("%s: slot %d is unknown and not reported: %v", what, want.Slot, l.Unknown())
			}
		case errors.Is(err, ErrNotFound) && i >= acknowledged:
		default:
			t.Fatalf("%s: slot %d: %v, %v", what, want.Slot, got, err)
		}
	}
}

func flipEveryByte(t *testing.T, m *disk.Mem, name string, records []*paxos.Record, acknowledged int, masks ...byte) (f fates) {
	t.Helper()
	for offset := range fileSize(t, m, name) {
		for _, mask := range masks {
			image := copyOf(m)
			if err := image.Flip(name, offset, mask); err != nil {
				t.Fatal(err)
			}
			f.judgeFlip(t, image, records, acknowledged, fmt.Sprintf("byte %d ^ %#x of %s", offset, mask, name))
		}
	}
	t.Logf("%s: %+v", name, f)
	return f
}

// headBytes returns how many bytes of the batches' headers and tables there are.
func headBytes(batches [][]*paxos.Record) (bytes int) {
	for _, b := range batches {
		bytes += batchHeaderBytes + len(b)*entryBytes
	}
	return bytes
}

func TestNoFlippedByteBelowTheWatermarkIsCutSilently(t *testing.T) {
	m, batches := written(t)
	tail := batches[len(batches)-1]
	records := slices.Concat(batches...)
	f := flipEveryByte(t, m, segmentPath(1), records, len(records)-len(tail), 0x01, 0x80, 0xff)
	// Only where nobody knows any more which records there were is the log refused.
	if want := 3 * headBytes(batches[:len(batches)-1]); f.refused != want || f.unknown == 0 || f.cut == 0 || f.harmless == 0 {
		t.Errorf("fates: %+v, want %d refused and some of each other", f, want)
	}
}

func TestNoFlippedByteIsCutAfterACleanClose(t *testing.T) {
	m, batches := written(t)
	mustClose(t, mustOpen(t, m))
	records := slices.Concat(batches...)
	if f := flipEveryByte(t, m, segmentPath(1), records, len(records), 0x01, 0x80, 0xff); f.cut > 0 || f.unknown == 0 || f.refused != 3*headBytes(batches) {
		t.Errorf("fates: %+v, want none cut and %d refused", f, 3*headBytes(batches))
	}
}

func TestNoFlippedByteOfTheVitalStateMatters(t *testing.T) {
	m, batches := written(t)
	records := slices.Concat(batches...)
	if f := flipEveryByte(t, m, join(testDir, vitalName), records, len(records), 0x04); f.harmless != vitalCopies*vitalBlockBytes {
		t.Errorf("fates: %+v", f)
	}
}

func TestADamagedRecordStaysUnknownUntilItIsWrittenAgain(t *testing.T) {
	m, _ := written(t)
	damage(t, m, 3)
	for range 3 { // each recovery copies the tail, and must not make good what it copies
		l := mustOpen(t, m)
		if got, want := l.Unknown(), []UnknownSlot{{Slot: 3, Ballot: ballot(2), LSN: 4}}; !slices.Equal(got, want) {
			t.Fatalf("unknown %v, want %v", got, want)
		}
		_, err := l.Read(3)
		expectError(t, "Read of a damaged record", err, ErrUnknown)
		m.Kill()
	}
	l := mustOpen(t, m)
	commit(t, l, accept(3, 9, "healed"))
	expectValue(t, l, 3, "healed")
	if len(l.Unknown()) > 0 {
		t.Errorf("unknown %v after the slot was written again", l.Unknown())
	}
	m.Kill()
	l = mustOpen(t, m)
	expectValue(t, l, 3, "healed")
	if len(l.Unknown()) > 0 {
		t.Errorf("unknown %v after a restart", l.Unknown())
	}
}

// damage flips a byte in the value of the last record of a slot.
func damage(t *testing.T, m *disk.Mem, slot paxos.Slot) {
	t.Helper()
	at := find(t, m, slot)
	if err := m.Flip(join(testDir, at.Segment), at.Offset+paxos.RecordHeaderSize, 1); err != nil {
		t.Fatal(err)
	}
}

// find returns where the last record of a slot lies.
func find(t *testing.T, m *disk.Mem, slot paxos.Slot) (at Entry) {
	t.Helper()
	if _, err := Dump(m, testDir, func(e Entry) error {
		if e.Record != nil && e.Record.Slot == slot {
			at = e
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestADamagedRecordHidesAnEarlierOneAndNotALaterOne(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 1, "early"), accept(2, 1, "early"))
	commit(t, l, accept(1, 2, "middle"), accept(2, 2, "middle"))
	m.Kill()
	damage(t, m, 1)
	damage(t, m, 2)
	l = mustOpen(t, m)
	if l.Durable() != 2 {
		t.Fatalf("a damaged tail was not cut: %d records", l.Durable())
	}
	commit(t, l, accept(1, 2, "middle"), accept(2, 2, "middle"))
	commit(t, l, accept(2, 3, "late"))
	m.Kill()
	at := find(t, m, 1)
	for _, offset := range []int64{at.Offset, at.Offset + int64(at.position.size)} { // of slot 1, and of slot 2 next to it
		if err := m.Flip(segmentPath(1), offset+paxos.RecordHeaderSize, 1); err != nil {
			t.Fatal(err)
		}
	}
	l = mustOpen(t, m)
	if got := l.Unknown(); len(got) != 1 || got[0].Slot != 1 {
		t.Errorf("unknown %v, want slot 1 alone", got)
	}
	_, err := l.Read(1)
	expectError(t, "Read of the damaged slot", err, ErrUnknown)
	expectValue(t, l, 2, "late")
}

func TestRotWhileTheLogIsOpenIsNeverServed(t *testing.T) {
	m, _ := written(t)
	l := mustOpen(t, m)
	damage(t, m, 2)
	if err := l.Replay(0, func(paxos.LSN, *paxos.Record) error { return nil }); err == nil {
		t.Error("Replay passed over a record that was sound when the log was opened")
	}
	_, err := l.Read(2) // from now on it is known to be lost
	expectError(t, "Read", err, ErrUnknown)
	expectValue(t, l, 1, "the first")
}

// overwrite puts bytes into the first segment behind the log's back.
func overwrite(t *testing.T, m *disk.Mem, offset int, b []byte) {
	t.Helper()
	f, err := m.OpenWrite(segmentPath(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, int64(offset)); err != nil {
		t.Fatal(err)
	}
}

func TestAReadTakesNoOtherSoundRecordOfTheSlot(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commit(t, l, accept(1, 2, "what was written"))
	overwrite(t, m, batchHeaderBytes+entryBytes, accept(1, 1, "what came before").Seal())
	_, err := l.Read(1)
	expectError(t, "Read", err, ErrUnknown)
}

func TestAReplayFailsIfABatchIsGoneSinceTheLogWasOpened(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 3, 100)
	overwrite(t, m, 2*sectorBytes, make([]byte, sectorBytes))
	if err := l.Replay(0, func(paxos.LSN, *paxos.Record) error { return nil }); err == nil {
		t.Error("Replay ended two batches into a log of three")
	}
}

// TestAReplayReadsNoSegmentThatHasNothingForIt damages the first of two segments, which a replay from the second one's slot on does not notice. That every promise is replayed the simulator sees.
func TestAReplayReadsNoSegmentThatHasNothingForIt(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 1, 3000)
	commitSlots(t, l, 2, 2, 3000)
	overwrite(t, m, 0, make([]byte, sectorBytes))
	for from, want := range map[paxos.Slot]bool{1: false, 2: true} {
		var got []paxos.Slot
		err := l.Replay(from, func(_ paxos.LSN, r *paxos.Record) error {
			got = append(got, r.Slot)
			return nil
		})
		if sound := err == nil && slices.Equal(got, []paxos.Slot{2}); sound != want {
			t.Errorf("from slot %d: slots %v, %v", from, got, err)
		}
	}
}

func TestASlotThatIsTheLastOneCanBeTrimmed(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	for slot := paxos.Slot(1); slot <= 4; slot++ {
		commitSlots(t, l, slot, slot, 3000)
		if err := l.Trim(slot); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChainDoesNotGoOnOverAGapInItsLSNs(t *testing.T) {
	var content []byte
	for _, first := range []paxos.LSN{1, 3} {
		b := batch{incarnation: testOptions.Incarnation, segment: 1, first: first, entries: []entry{entryOf(accept(1, 1, "one"))}}
		content = b.appendTo(content)
	}
	if c := readChain(content, 0, testOptions.Incarnation, 1); len(c.batches) != 1 || c.stray == nil {
		t.Errorf("a chain of %d batches, and a stray one: %v", len(c.batches), c.stray != nil)
	}
}

func TestAMissingSegmentIsNotAShorterLog(t *testing.T) {
	for id := segmentID(1); id <= 5; id++ {
		m := disk.NewMem()
		l := mustOpen(t, m)
		commitSlots(t, l, 1, 20, 500)
		if n := l.live().id; n != 5 {
			t.Fatalf("the live segment is %d", n)
		}
		m.Kill()
		if err := m.Remove(segmentPath(id)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(m, testDir, testOptions)
		expectError(t, fmt.Sprintf("Open without segment %d", id), err, ErrMayNotVote)
	}
}

func TestEveryCombinationOfDamagedCopiesOfTheVitalStateIsSurvivedButAll(t *testing.T) {
	for mask := range 1 << vitalCopies {
		m, _ := written(t)
		for n := range vitalCopies {
			if mask>>n&1 == 1 {
				if err := m.Flip(join(testDir, vitalName), int64(n)*vitalBlockBytes+60, 0x10); err != nil {
					t.Fatal(err)
				}
			}
		}
		l, err := Open(m, testDir, testOptions)
		if mask == 1<<vitalCopies-1 {
			expectError(t, "Open with all copies damaged", err, ErrMayNotVote)
			continue
		}
		if err != nil {
			t.Fatalf("copies %04b damaged: %v", mask, err)
		}
		if got := l.Vital().Promised; got != ballot(3) {
			t.Errorf("copies %04b damaged: promised %v", mask, got)
		}
		mustClose(t, l)
	}
}

// tearAll has each sector begin as the new one, for eleven bytes, and go on as the old one.
func tearAll(n int) int {
	if n == disk.SectorBytes-1 {
		return 10
	}
	return max(0, n-3)
}

func TestASurvivingCopyIsNeverWrittenOverBeforeAnotherIsDurable(t *testing.T) {
	for only := range vitalCopies {
		m, _ := written(t)
		for n := range vitalCopies {
			if n != only {
				if err := m.Flip(join(testDir, vitalName), int64(n)*vitalBlockBytes+60, 0x10); err != nil {
					t.Fatal(err)
				}
			}
		}
		tears := 0
		m.Intercept(func(c disk.Call) error {
			if c.Op != disk.OpSync || c.Name != join(testDir, vitalName) {
				return nil
			}
			tears++
			torn := m.Crash(tearAll)
			l, err := Open(torn, testDir, testOptions)
			if err != nil {
				t.Errorf("only copy %d was sound, and the write was torn: %v", only, err)
				return nil
			}
			if got := l.Vital().Promised; got != ballot(3) {
				t.Errorf("only copy %d was sound: promised %v", only, got)
			}
			return nil
		})
		mustOpen(t, m)
		if tears != 2 {
			t.Errorf("the vital state was synced %d times", tears)
		}
	}
}

// A program ends in the middle of writing the vital state: it is killed before a sync, or the sync fails. What the next one reads is in the page cache, and perhaps nowhere else; while it writes its own, the power fails.
func TestWhatTheCacheHasOfTheVitalStateIsNotTakenForWhatSurvives(t *testing.T) {
	vital := join(testDir, vitalName)
	atSyncs := func(do func(n int) error) func(disk.Call) error {
		n := 0
		return func(c disk.Call) error {
			if c.Op != disk.OpSync || c.Name != vital {
				return nil
			}
			n++
			return do(n)
		}
	}
	for round := range 2 * 6 * 3 {
		failing, last, before := round%2, round/2%6, round/12
		m, _ := written(t)
		l := mustOpen(t, m)
		for range before {
			if err := l.writeVital(func(*state) {}); err != nil {
				t.Fatal(err)
			}
		}
		m.Intercept(atSyncs(func(n int) error {
			switch {
			case n <= last:
			case failing == 1:
				return syscall.EIO
			default:
				m.Kill()
			}
			return nil
		}))
		promised := ballot(3)
		for next := uint64(4); l.writeVital(func(s *state) { s.Promised = ballot(next) }) == nil; next++ {
			promised = ballot(next)
		}
		m.Kill()
		cuts := 0
		m.Intercept(atSyncs(func(n int) error {
			cuts = n
			torn, err := Open(m.Crash(tearAll), testDir, testOptions)
			if err != nil {
				t.Fatalf("failing %d after %d syncs and %d states, and the power fails at sync %d of the next start: %v", failing, last, before, n, err)
			}
			if got := torn.Vital().Promised; got.Less(promised) {
				t.Fatalf("failing %d after %d syncs and %d states, and the power fails at sync %d of the next start: %v was promised, %v is", failing, last, before, n, promised, got)
			}
			return nil
		}))
		mustOpen(t, m)
		if cuts < 2 {
			t.Fatalf("the next start has synced the vital state %d times", cuts)
		}
	}
}

func TestACopyOfTheVitalStateInAnothersPlaceDoesNotCount(t *testing.T) {
	block := encodeVital(state{first: 1}, 1, 5)
	for n := range uint32(vitalCopies) {
		if _, _, err := decodeVital(block, n); (err == nil) != (n == 1) {
			t.Errorf("copy 1 in the place of copy %d: %v", n, err)
		}
	}
}

func TestTheVerdictsAreTotal(t *testing.T) {
	for n := range 8 {
		e := evidence{batch: n&1 > 0, record: n&2 > 0, durable: n&4 > 0}
		state, ok := verdicts[e]
		switch {
		case !ok:
			t.Errorf("%+v has no verdict", e)
		case e.durable && state == Torn:
			t.Errorf("%+v is below a watermark, and would be cut", e)
		case state == Sound && !(e.batch && e.record):
			t.Errorf("%+v is served", e)
		}
	}
}

// TestADamagedLastSlotIsStillASlotOfTheLog: a machine that has applied it belongs to this log.
func TestADamagedLastSlotIsStillASlotOfTheLog(t *testing.T) {
	m, _ := written(t)
	l := mustOpen(t, m)
	_, last := l.Slots()
	mustClose(t, l) // so that nothing is taken for torn
	damage(t, m, last)
	l = mustOpen(t, m)
	if len(l.Unknown()) != 1 || l.Unknown()[0].Slot != last {
		t.Fatalf("unknown %v, want slot %d", l.Unknown(), last)
	}
	if _, got := l.Slots(); got != last {
		t.Errorf("the log ends at slot %d, and its last record, of slot %d, is damaged", got, last)
	}
}
