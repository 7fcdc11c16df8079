package kv

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// TestAKeyThatIsThereIsNeverTakenForOneThatIsNot has keys come and go, stores opened again and stores replaced by snapshots, and the sweeper learn of keys while others are created. Whenever the
// filter answers at all, it knows each key of which there is a version; and once it has learned all, it knows of most others that they are not there.
func TestAKeyThatIsThereIsNeverTakenForOneThatIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		f := open(t, fs)
		f.stepping()
		defer func() { f.startSweeper(); f.close() }()
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			from := rapid.IntRange(0, 3000).Draw(t, "from")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				f.must(&pb.DeleteRangeRequest{Key: numbered(from), RangeEnd: numbered(from + rapid.IntRange(0, 2000).Draw(t, "n"))})
			case 1:
				f.do(&pb.CompactionRequest{Revision: f.put("between", "v")}) // above tombstones, so that they go
				for done := false; !done; {
					var err error
					if done, err = f.sweepStep(); err != nil {
						t.Fatal(err)
					}
				}
			case 2:
				f.startSweeper()
				f.close()
				f = open(t, fs)
				f.stepping()
			case 3: // what lay in it before is forgotten
				other := open(t, vfs.NewMem())
				other.putMany(from, rapid.IntRange(1, 600).Draw(t, "n"), 1)
				i := f.receive(uint64(f.slot)+1000, other.pack())
				if err := i.Install(); err != nil {
					t.Fatal(err)
				}
				f.slot = f.Applied()
				other.close()
			case 4, 5, 6:
				f.db.known.created = max(f.db.known.created, learnAfter)
				for range rapid.IntRange(1, 12).Draw(t, "steps") {
					if done, err := f.learnStep(); done || err != nil {
						if err != nil {
							t.Fatal(err)
						}
						break
					}
				}
			default:
				f.putMany(from, rapid.IntRange(1, 600).Draw(t, "n"), rapid.IntRange(1, 3).Draw(t, "stride"))
			}
			f.mustKnowItsKeys(t)
		}
	})
}

func (f *fixture) mustKnowItsKeys(t fataler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.newWriter()
	defer w.discard()
	strangers := 0
	for i := range 10_000 {
		key := numbered(i)
		v, err := w.getAt(key, revision{w.revision, maxSub})
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		lacks := w.known.lacks(key)
		if lacks && v.at != (revision{}) {
			t.Fatalf("%s has a version of revision %d, and is said not to be there", key, v.at.main)
		}
		if w.known.lacks(fmt.Appendf(nil, "stranger/%d", i)) {
			strangers++
		}
	}
	if w.known.complete && strangers < 9500 {
		t.Fatalf("of 10000 keys that never were %d are said not to be there", strangers)
	}
}

// TestAKeyWhoseRowsWereGoneIsKnownOnceItIsMadeAgain: the filter learned of the others while it was deleted and compacted away. Its tombstone is at hand still.
func TestAKeyWhoseRowsWereGoneIsKnownOnceItIsMadeAgain(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.putMany(0, 1000, 1)
	f.close()
	f = open(t, fs)
	f.stepping()
	defer func() { f.startSweeper(); f.close() }()
	f.delete(string(numbered(7)))
	f.compactTo(f.put("between", "v"))
	for _, step := range []func() (bool, error){f.sweepStep, f.learnStep} {
		f.db.known.created = learnAfter
		for done := false; !done; {
			var err error
			if done, err = step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !f.db.known.complete || !f.db.known.lacks(numbered(7)) {
		t.Fatal("the key is known, though it is gone")
	}
	f.put(string(numbered(7)), "again")
	f.mustKnowItsKeys(t)
}

// TestTheSweeperLearnsWhenKeysAreCreated: a store that was opened again answers at once, and learns of its keys by itself, once new ones come.
func TestTheSweeperLearnsWhenKeysAreCreated(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.putMany(0, 5000, 1)
	f.mustKnowItsKeys(t)
	f.close()
	f = open(t, fs)
	defer f.close()
	f.mu.Lock()
	if f.db.known.complete {
		t.Error("it claims to know all keys of a store that was not empty")
	}
	f.mu.Unlock()
	f.putMany(5000, learnAfter, 1)
	eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.db.known.complete
	})
	f.mustKnowItsKeys(t)
}

func TestAFilterGrowsAndGivesUpAtLast(t *testing.T) {
	k := newKnownKeys(true)
	key := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	const keys = 2 * firstLayerKeys
	for i := range keys {
		k.create(key(i))
	}
	wrong := 0
	for i := range keys {
		if k.lacks(key(i)) {
			t.Fatalf("key %d of %d is lost", i, keys)
		}
		if !k.lacks(key(keys + i)) {
			wrong++
		}
	}
	if len(k.layers) != 2 || wrong > keys*4/100 {
		t.Errorf("%d layers, %d of %d searches in vain", len(k.layers), wrong, keys)
	}
	for len(k.layers) < layersMax {
		k.layers = append(k.layers, newFilterLayer(lineBits))
	}
	k.layers[layersMax-1].room = 0
	for i := keys; !k.full && i < 2*keys; i++ {
		k.create(key(i))
	}
	if !k.full || k.layers != nil || k.wanted() || k.lacks([]byte("stranger")) {
		t.Errorf("it has not given up: %d layers", len(k.layers))
	}
}
