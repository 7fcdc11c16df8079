package wal

import (
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// TestARecycledFileThatKeepsItsOldNameBringsNothingBack cuts the power in recovery, when a spare has been given the tail's content and the name under which
// that happens is not yet durable: the content is there and the file is a spare again, of batches with the tail's own number.
func TestARecycledFileThatKeepsItsOldNameBringsNothingBack(t *testing.T) {
	m := disk.NewMem()
	l := mustOpen(t, m)
	commitSlots(t, l, 1, 6, 2000) // a segment each
	if err := l.Trim(4); err != nil {
		t.Fatal(err)
	}
	commit(t, l, accept(7, 1, "seven")) // in the live segment, beyond the vital state's watermark
	last := l.Durable()
	m.Intercept(disk.FailNth(disk.OpSync, 1, errDisk))
	if _, err := l.Append([]*paxos.Record{accept(8, 1, "eight")}); err != nil {
		t.Fatal(err)
	}
	expectError(t, "Sync", l.Sync(), errDisk)

	m.Kill()
	var images []*disk.Mem
	m.Intercept(func(c disk.Call) error {
		if c.Op == disk.OpSync {
			images = append(images, m.Crash(func(n int) int {
				if n == 2 {
					return 0 // names are lost
				}
				return n - 1 // bytes are kept
			}))
		}
		return nil
	})
	mustOpen(t, m)
	for i, image := range images {
		l := mustOpen(t, image)
		recovered := l.Durable()
		if recovered < last || recovered > last+1 {
			t.Fatalf("image %d: %d records, and %d were synced", i, recovered, last)
		}
		image.Kill()
		if l = mustOpen(t, image); l.Durable() != recovered {
			t.Errorf("image %d: recovery found %d records, and the next one %d", i, recovered, l.Durable())
		}
	}
}
