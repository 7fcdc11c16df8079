package kv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
)

// TestCensusIsASortedListOfBuckets compares the tree with a map, and a version of the tree that a writer has committed with what it was.
func TestCensusIsASortedListOfBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, naive := newCensus([]bucket{{first: "", live: 1}}), map[string]int64{"": 1}
		committed, then := c, maps.Clone(naive)
		writer := uint64(1)
		key := rapid.StringMatching("[a-d]{1,3}")
		for range rapid.IntRange(1, 200).Draw(t, "changes") {
			switch k := key.Draw(t, "key"); rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				c = c.without(k)
				delete(naive, k)
			case 1:
				committed, then = c, maps.Clone(naive)
				writer++
			case 2, 3:
				b, _, _, _ := c.find(k)
				c = c.counted(b.first, 1, 1, writer)
				naive[b.first]++
			default:
				n := rapid.Int64Range(0, 9).Draw(t, "live")
				c = c.with(bucket{first: k, live: n})
				naive[k] = n
			}
			mustBalance(t, c)
			compareCensus(t, c, naive, key.Draw(t, "find"))
			compareCensus(t, committed, then, key.Draw(t, "find then"))
		}
	})
}

func mustBalance(t *rapid.T, c *census) {
	if c == nil {
		return
	}
	l, r := c.left.buckets()+1, c.right.buckets()+1
	if l > balanceDelta*r || r > balanceDelta*l {
		t.Fatalf("out of balance: %d and %d buckets", l-1, r-1)
	}
	mustBalance(t, c.left)
	mustBalance(t, c.right)
}

func compareCensus(t *rapid.T, c *census, naive map[string]int64, key string) {
	firsts := make([]string, 0, len(naive))
	for k := range naive {
		firsts = append(firsts, k)
	}
	slices.Sort(firsts)
	i, exact := slices.BinarySearch(firsts, key)
	wantAfter, hasAfter := "", i < len(firsts)
	if hasAfter {
		wantAfter = firsts[i]
	}
	if got, ok := c.after(key); ok != hasAfter || got.first != wantAfter {
		t.Fatalf("after %q: %q %v, want %q %v", key, got.first, ok, wantAfter, hasAfter)
	}
	if got := c.before(key); got.first != firsts[i-1] {
		t.Fatalf("before %q: %q, want %q", key, got.first, firsts[i-1])
	}
	if !exact {
		i--
	}
	var before, total int64
	for j, k := range firsts {
		if j < i {
			before += naive[k]
		}
		total += naive[k]
	}
	b, next, bounded, passed := c.find(key)
	if b.first != firsts[i] || b.live != naive[firsts[i]] || passed != before || c.total() != total || c.buckets() != len(firsts) {
		t.Fatalf("find %q: %+v after %d of %d in %d buckets, want %q after %d of %d in %d", key, b, passed, c.total(), c.buckets(), firsts[i], before, total, len(firsts))
	}
	if bounded != (i+1 < len(firsts)) || bounded && next != firsts[i+1] {
		t.Fatalf("find %q: next %q %v", key, next, bounded)
	}
}

// TestBucketsCountWhatIsThere creates, deletes and compacts keys by the hundred, and checks the buckets against the rows, also after the
// store has been opened again.
func TestBucketsCountWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		f := open(t, fs)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			from := rapid.IntRange(0, 3000).Draw(t, "from")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				to := from + rapid.IntRange(0, 2000).Draw(t, "n")
				f.must(&pb.DeleteRangeRequest{Key: numbered(from), RangeEnd: numbered(to)})
			case 1:
				f.do(&pb.CompactionRequest{Revision: f.Revision()})
				f.awaitCompaction()
			default:
				f.putMany(from, rapid.IntRange(1, 1200).Draw(t, "n"), rapid.IntRange(1, 3).Draw(t, "stride"))
			}
			f.mustCountRight(t)
		}
		f.close()
		f = open(t, fs)
		defer f.close()
		f.mustCountRight(t)
	})
}

// TestAReaderCountsWhatThereWasWhenItBegan however many keys are created and deleted while it holds its view.
func TestAReaderCountsWhatThereWasWhenItBegan(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 1000, 1)
	err := f.read(t.Context(), func(v *view) error {
		for range 3 {
			f.putMany(1000, 300, 1)
			f.must(&pb.DeleteRangeRequest{Key: numbered(0), RangeEnd: numbered(500)})
		}
		if got := v.census.total(); got != 1000 {
			t.Errorf("it counts %d keys; there were 1000", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBucketsOfAnImportCountWhatIsThere: keys come in any order, and of some there is nothing but the tombstone that a compaction at its revision has left.
func TestBucketsOfAnImportCountWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := open(t, vfs.NewMem())
		defer from.close()
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			from.putMany(rapid.IntRange(0, 3000).Draw(t, "from"), rapid.IntRange(1, 1200).Draw(t, "n"), rapid.IntRange(1, 3).Draw(t, "stride"))
		}
		first := rapid.IntRange(0, 3000).Draw(t, "first")
		from.must(&pb.DeleteRangeRequest{Key: numbered(first), RangeEnd: numbered(first + rapid.IntRange(0, 2000).Draw(t, "deleted"))})
		from.do(&pb.CompactionRequest{Revision: from.Revision()})
		from.awaitCompaction()
		state, rows := exportOf(t, from.Store)
		for i := range rapid.IntRange(0, 600).Draw(t, "tombstones") { // which etcd 3.7 writes, and Export leaves out
			row := appendBackendRow(nil, &version{key: numbered(first + i), at: revision{state.Revision, uint32(1<<20 + i)}})
			rows = append(rows, backendRow{row[:backendKeySize+1], row[backendKeySize+1:]})
		}
		to := open(t, vfs.NewMem())
		defer to.close()
		if err := to.Import(state, feed(rows)); err != nil {
			t.Fatalf("import: %v", err)
		}
		to.mustCountRight(t)
		to.putMany(rapid.IntRange(0, 3000).Draw(t, "later from"), rapid.IntRange(1, 1200).Draw(t, "later"), 1)
		to.mustCountRight(t)
	})
}

func numbered(i int) []byte { return fmt.Appendf(nil, "key/%08d", i) }

// putMany puts n keys in one call.
func (f *fixture) putMany(from, n, stride int) {
	var commands []synod.Command
	for i := range n {
		f.slot++
		commands = append(commands, synod.Command{Slot: f.slot, Data: encode(f.t, &pb.PutRequest{Key: numbered(from + i*stride), Value: []byte("v")})})
	}
	for _, r := range f.Apply(commands) {
		if err := r.(Result).Err; err != nil {
			f.t.Fatalf("put: %v", err)
		}
	}
}

func (f *fixture) mustCountRight(t *rapid.T) {
	f.mustHaveRightBuckets(t)
	for range 3 {
		a, b := rapid.IntRange(0, 7000).Draw(t, "count from"), rapid.IntRange(0, 7000).Draw(t, "count to")
		r := &pb.RangeRequest{Key: numbered(a), RangeEnd: numbered(b)}
		if got, want := f.count(r), int64(len(f.rangeOf(r).Kvs)); got != want {
			t.Fatalf("count from %d to %d: %d, want %d", a, b, got, want)
		}
		r.RangeEnd = []byte{0}
		if got, want := f.count(r), int64(len(f.rangeOf(r).Kvs)); got != want {
			t.Fatalf("count from %d on: %d, want %d", a, got, want)
		}
	}
}

func (f *fixture) mustHaveRightBuckets(t *rapid.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.newWriter()
	defer w.discard()
	next := ""
	for {
		b, ok := w.census.after(next)
		if !ok {
			break
		}
		keys, live, err := w.censusOf(b.first)
		if err != nil || b.live != trues(live) || b.weight < int64(len(keys)) || b.weight > bucketWeightMax {
			t.Fatalf("bucket %+v has %d keys, %d live, %v", b, len(keys), trues(live), err)
		}
		next = b.first + "\x00"
	}
}

func (f *fixture) count(r *pb.RangeRequest) int64 {
	r = proto.Clone(r).(*pb.RangeRequest)
	r.CountOnly = true
	return f.rangeOf(r).Count
}

// TestBucketsGoWithTheirKeys is the memory of a store whose keys come and go: it must not grow with all that ever were.
func TestBucketsGoWithTheirKeys(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 20*bucketWeightMax, 1)
	most := f.census.buckets()
	f.must(&pb.DeleteRangeRequest{Key: numbered(1), RangeEnd: []byte{0}})
	f.compactTo(f.put("zzz", "1"))
	f.awaitCompaction()
	resume := f.stepping() // waits for the sweeper to end, wherever it is
	for next, done := "", false; !done; {
		var err error
		if next, done, err = f.tidyStep(next); err != nil {
			t.Fatal(err)
		}
	}
	resume()
	if least := f.census.buckets(); most < 20 || least != 1 {
		t.Fatalf("%d buckets with all keys, %d without, want at least 20 and 1", most, least)
	}
	if n := f.count(everything); n != 2 {
		t.Fatalf("%d keys left, want 2", n)
	}
}

func TestCountWalksNoMoreThanTheBucketsAtTheEnds(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 40*bucketWeightMax, 1)
	walked := &countingReader{Reader: f.db}
	v := view{reader: walked, revision: f.Revision(), compacted: -1, census: f.census}
	s := spanOf(numbered(100), numbered(39*bucketWeightMax+5))
	n, err := v.count(context.Background(), s, v.revision)
	if err != nil || n != 39*bucketWeightMax-95 {
		t.Fatalf("counted %d, %v", n, err)
	}
	low, _, _, _ := f.census.find(string(s.key))
	high, _, _, _ := f.census.find(string(s.end))
	if len(walked.spans) != 2 || walked.spans[0] != string(appendPrefix(nil, []byte(low.first))) || walked.spans[1] != string(appendPrefix(nil, []byte(high.first))) {
		t.Fatalf("walked from %q", walked.spans)
	}
}
