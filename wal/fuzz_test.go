package wal

import (
	"os"
	"path/filepath"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// FuzzReadChain feeds the scanner of segments: whatever the bytes, it ends, stays within them, and calls no record
// sound whose own encoding does not say the same.
func FuzzReadChain(f *testing.F) {
	for id := segmentID(1); id <= 2; id++ {
		content, err := os.ReadFile(filepath.Join("testdata", "format1", id.fileName()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, uint32(id))
		f.Add(content[:len(content)/3], uint32(id))
	}
	f.Fuzz(func(t *testing.T, content []byte, id uint32) {
		c := readChain(content, 0, testOptions.Incarnation, segmentID(id))
		end := 0
		for i := range c.batches {
			b := &c.batches[i]
			if b.offset != end || i > 0 && b.first != c.batches[i-1].next() {
				t.Fatalf("batch %d at %d with LSN %d does not continue the chain at %d", i, b.offset, b.first, end)
			}
			end = b.end()
			for j := range b.entries {
				e := b.entryAt(j, true)
				if e.Offset+int64(e.position.size) > int64(len(content)) {
					t.Fatalf("record at %d is beyond the end", e.Offset)
				}
				raw := content[e.Offset:][:e.position.size]
				r, size, err := paxos.DecodeRecord(raw)
				if e.State == Sound && (err != nil || size != len(raw) || r.Slot != e.Record.Slot) {
					t.Fatalf("record at %d is called sound: %v", e.Offset, err)
				}
			}
		}
		if c.end != end || c.stray != nil && c.stray.offset < end {
			t.Fatalf("the chain ends at %d and not at %d", end, c.end)
		}
	})
}

// FuzzOpen feeds recovery a segment of any content under a sound vital state: it opens what it can vouch for or
// refuses, and what it has opened it opens again to the same.
func FuzzOpen(f *testing.F) {
	content, err := os.ReadFile(filepath.Join("testdata", "format1", segmentID(1).fileName()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:1024])
	f.Fuzz(func(t *testing.T, content []byte) {
		m := disk.NewMem()
		mustClose(t, mustOpen(t, m))
		file, err := m.Create(segmentPath(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		l, err := Open(m, testDir, testOptions)
		if err != nil {
			return
		}
		before, durable := replay(t, l, 0), l.Durable()
		commit(t, l, accept(9, 9, "nine"))
		m.Kill()
		l = mustOpen(t, m)
		if got := replay(t, l, 0); l.Durable() != durable+1 || len(got) != len(before)+1 {
			t.Fatalf("%d records, then one more, and then %d", len(before), len(got))
		}
	})
}

// FuzzDecodeVital feeds the decoder of the vital state: what it takes for sound encodes to the same block.
func FuzzDecodeVital(f *testing.F) {
	content, err := os.ReadFile(filepath.Join("testdata", "format1", vitalName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content[:vitalBlockBytes], uint32(0))
	f.Add(content[vitalBlockBytes:2*vitalBlockBytes], uint32(1))
	f.Fuzz(func(t *testing.T, block []byte, copyNumber uint32) {
		s, sequence, err := decodeVital(block, copyNumber)
		if err != nil {
			return
		}
		again, sequenceAgain, err := decodeVital(encodeVital(s, copyNumber, sequence), copyNumber)
		if err != nil || sequenceAgain != sequence || again.Promised != s.Promised || string(again.Founders) != string(s.Founders) || again.Epoch != s.Epoch {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

// FuzzDump feeds Dump a segment of any content under a sound vital state: it ends, changes nothing, and calls sound what recovery serves.
func FuzzDump(f *testing.F) {
	content, err := os.ReadFile(filepath.Join("testdata", "format1", segmentID(1).fileName()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:1024])
	f.Fuzz(func(t *testing.T, content []byte) {
		m := disk.NewMem()
		mustClose(t, mustOpen(t, m))
		file, err := m.Create(segmentPath(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		sound := map[paxos.LSN]bool{}
		if _, err := Dump(m, testDir, func(e Entry) error {
			if e.State == Sound {
				sound[e.LSN] = true
			}
			return nil
		}); err != nil {
			return
		}
		l, err := Open(m, testDir, testOptions)
		if err != nil {
			return
		}
		if err := l.Replay(0, func(lsn paxos.LSN, _ *paxos.Record) error {
			if !sound[lsn] {
				t.Errorf("recovery serves LSN %d, which Dump does not call sound", lsn)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
