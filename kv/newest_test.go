package kv

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestNewestIsTheLastVersionWrittenOrNothing puts versions of rising revisions and asks at any: what is found is what was put last, it is not above what was asked for, and all of
// it together is never more than what it may be.
func TestNewestIsTheLastVersionWrittenOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNewest(8 << 10)
		last := map[string]version{}
		for main := int64(1); main < 200; main++ {
			key := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))
			v := version{key: []byte(key), at: revision{main, 0}, live: rapid.Bool().Draw(t, "live"), count: main, value: make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))}
			n.put(&v)
			clear(v.key) // nothing that the caller still holds
			last[key] = v

			asked := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "asked"))
			at := rapid.Int64Range(0, main).Draw(t, "at")
			got, ok := n.get([]byte(asked), at)
			if want := last[asked]; ok && (got.at != want.at || got.live != want.live || got.count != want.count || len(got.value) != len(want.value) || string(got.key) != asked || want.at.main > at) {
				t.Fatalf("asked for %s at %d: %+v, the last one put is %+v", asked, at, got, want)
			}
			if got, ok := n.get([]byte(key), main); !ok || got.at.main != main {
				t.Fatalf("what was put just now is not there: %+v, %t", got, ok)
			}
			if n.held() > n.max {
				t.Fatalf("%d bytes are held, %d may be", n.held(), n.max)
			}
		}
		if _, ok := n.get([]byte("none"), 200); ok {
			t.Fatal("found what was never put")
		}
	})
}

// held counts what a newest holds.
func (n *newest) held() (bytes int) {
	for _, generation := range []map[string]version{n.young, n.old} {
		for key, v := range generation {
			bytes += newestOverhead + len(key) + len(v.value)
		}
	}
	return bytes
}
