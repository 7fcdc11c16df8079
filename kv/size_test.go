package kv

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

func TestTheSizeIsThatOfTheVersionsThereAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		f := open(t, fs)
		defer func() { f.close() }()
		g := requests{t: t}
		for range 1 + g.n(40, "commands") {
			f.do(g.command()) // refusals are part of it
			if g.n(8, "wait for compaction") == 0 {
				f.awaitCompaction()
			}
		}
		f.awaitCompaction()
		counted, err := countSize(f.db)
		if err != nil {
			t.Fatal(err)
		}
		if f.Size() != counted {
			t.Fatalf("size %d, counted %d", f.Size(), counted)
		}
		f.close()
		f = open(t, fs)
		if f.Size() != counted {
			t.Fatalf("size %d after a restart, %d before", f.Size(), counted)
		}
	})
}

func TestACompactionTakesWhatItDeletesOffTheSize(t *testing.T) {
	f := newFixture(t)
	for i := range 64 {
		f.put("one key", string(make([]byte, 4<<10+i)))
	}
	full := f.Size()
	if full < 64*4<<10 {
		t.Errorf("64 versions of 4 KiB count for %d", full)
	}
	f.compactTo(f.Revision())
	f.awaitCompaction()
	if f.Size() > full/32 {
		t.Errorf("one version of 4 KiB counts for %d, all of them for %d", f.Size(), full)
	}
	if err := f.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if f.DiskSize() <= 0 {
		t.Error("the store takes no room on disk")
	}
}

func TestADatabaseWithoutASizeIsCountedAnew(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	for i := range 10 {
		f.put(fmt.Sprint(i), "value")
	}
	want := f.Size()
	if err := f.db.Delete(sizeKey, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	f.close()
	f = open(t, fs)
	defer f.close()
	if f.Size() != want {
		t.Errorf("size %d, want %d", f.Size(), want)
	}
}
