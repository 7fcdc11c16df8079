package kv

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// TestNewestIsTheLastVersionWrittenOrNothing writes versions of rising revisions, puts in what was found some revisions ago, and asks at any: what is found is what was written last, it is not above what was asked for, and all of
// it together is never more than what it may be.
func TestNewestIsTheLastVersionWrittenOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bytes = newestShards * 1500
		n := newNewest(bytes)
		written := map[string][]version{}
		key := func(label string) string { return fmt.Sprint(rapid.IntRange(0, 30).Draw(t, label)) }
		for main := int64(1); main < 200; main++ {
			v := version{key: []byte(key("key")), at: revision{main, 0}, live: rapid.Bool().Draw(t, "live"), count: main, value: make([]byte, rapid.IntRange(0, 800).Draw(t, "size"))}
			wanted := rapid.Bool().Draw(t, "wanted")
			n.wrote(&v, wanted)
			written[string(v.key)] = append(written[string(v.key)], v)
			fits := newestOverhead+len(v.key)+len(v.value) <= bytes/newestShards/2
			if got, ok := n.get(v.key, main); (ok && got.at != v.at) || (wanted && fits && !ok) {
				t.Fatalf("what was written just now is not there: %+v, %t", got, ok)
			}

			finder := key("found")
			at := rapid.Int64Range(max(0, main-3), main).Draw(t, "found at")
			if v, ok := newestAt(written[finder], at); ok {
				v.key = []byte(finder)
				n.found(&v, at)
				clear(v.key) // nothing that the caller still holds
			}

			asked := key("asked")
			at = rapid.Int64Range(0, main).Draw(t, "at")
			got, ok := n.get([]byte(asked), at)
			if want, _ := newestAt(written[asked], main); ok && (got.at != want.at || got.live != want.live || got.count != want.count || len(got.value) != len(want.value) || string(got.key) != asked || want.at.main > at) {
				t.Fatalf("asked for %s at %d: %+v, the last one written is %+v", asked, at, got, want)
			}
			if n.held() > bytes {
				t.Fatalf("%d bytes are held, %d may be", n.held(), bytes)
			}
		}
		if _, ok := n.get([]byte("none"), 200); ok {
			t.Fatal("found what was never written")
		}
	})
}

// newestAt returns the last of some versions that is not above a main revision.
func newestAt(versions []version, main int64) (newest version, ok bool) {
	for _, v := range versions {
		if v.at.main <= main {
			newest, ok = v, true
		}
	}
	return newest, ok
}

// TestWhatWasFoundIsAtHand for whoever asks next, and what is written in its place, until it is not asked for any more.
func TestWhatWasFoundIsAtHand(t *testing.T) {
	n := newNewest(newestBytes)
	v := version{key: []byte("k"), at: revision{1, 0}}
	n.wrote(&v, false)
	if _, ok := n.get(v.key, 1); ok {
		t.Error("a version is kept though nobody has asked for it")
	}
	n.found(&v, 1)
	for main := range int64(10) {
		if got, ok := n.get(v.key, 100); !ok || got.at != v.at {
			t.Fatalf("at hand is %+v, %t", got, ok)
		}
		v.at.main = main + 2
		n.wrote(&v, false)
	}
}

// TestWhatThePastShowsIsNotKeptAsTheNewest: a store that is opened again does not know when its keys were written last.
func TestWhatThePastShowsIsNotKeptAsTheNewest(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	past := f.put("k", "first")
	f.put("k", "second")
	f.close()
	f = open(t, fs)
	defer f.close()
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte("k"), Revision: past}).Kvs[0]; string(got.Value) != "first" {
		t.Errorf("the value in the past is %q", got.Value)
	}
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte("k")}).Kvs[0]; string(got.Value) != "second" {
		t.Errorf("the value is %q", got.Value)
	}
}

// held counts what a newest holds.
func (n *newest) held() (bytes int) {
	for i := range n.shards {
		for _, generation := range []map[string]version{n.shards[i].young, n.shards[i].old} {
			for key, v := range generation {
				bytes += sizeAtHand(len(key), len(v.value))
			}
		}
	}
	return bytes
}
