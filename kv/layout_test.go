package kv

import (
	"bytes"
	"cmp"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"
)

// countingReader notes where iterators are opened.
type countingReader struct {
	pebble.Reader
	spans []string
}

func (r *countingReader) NewIter(o *pebble.IterOptions) (*pebble.Iterator, error) {
	r.spans = append(r.spans, string(o.LowerBound))
	return r.Reader.NewIter(o)
}

// trickyKey draws keys full of the bytes that the escaping is about.
var trickyKey = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 0, 5)

var anyRevision = rapid.Custom(func(t *rapid.T) revision {
	return revision{rapid.Int64Range(1, 1<<62).Draw(t, "main"), rapid.Uint32().Draw(t, "sub")}
})

func versionKey(key []byte, at revision) []byte { return appendRevision(appendPrefix(nil, key), at) }

func TestVersionsSortByKeyAndThenNewestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k1, k2 := trickyKey.Draw(t, "k1"), trickyKey.Draw(t, "k2")
		r1, r2 := anyRevision.Draw(t, "r1"), anyRevision.Draw(t, "r2")
		want := cmp.Or(bytes.Compare(k1, k2), cmp.Compare(r2.main, r1.main), cmp.Compare(r2.sub, r1.sub))
		if got := comparer.Compare(versionKey(k1, r1), versionKey(k2, r2)); got != want {
			t.Fatalf("%q %v against %q %v: %d, want %d", k1, r1, k2, r2, got, want)
		}
		if got := comparer.Compare(appendPrefix(nil, k1), versionKey(k2, r2)); (got < 0) != (bytes.Compare(k1, k2) <= 0) {
			t.Fatalf("bound %q against version of %q: %d", k1, k2, got)
		}
	})
}

func TestVersionKeyIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, at := trickyKey.Draw(t, "key"), anyRevision.Draw(t, "at")
		row := versionKey(key, at)
		if got, gotAt, err := parseVersionKey(row); err != nil || !bytes.Equal(got, key) || gotAt != at {
			t.Fatalf("%x: %q %v %v, want %q %v", row, got, gotAt, err, key, at)
		}
		if n := split(row); n != len(row)-suffixSize || split(row[:n]) != n {
			t.Fatalf("%x is split at %d, and its prefix at %d", row, n, split(row[:n]))
		}
	})
}

// TestComparerKeepsPebblesContract checks what Pebble's documentation demands of Split, Separator and ImmediateSuccessor.
func TestComparerKeepsPebblesContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k1, k2 := trickyKey.Draw(t, "k1"), trickyKey.Draw(t, "k2")
		a, b := versionKey(k1, anyRevision.Draw(t, "r1")), versionKey(k2, anyRevision.Draw(t, "r2"))
		if comparer.Compare(a, b) > 0 {
			a, b = b, a
		}
		if bytes.Equal(a, b) {
			return
		}
		s := comparer.Separator([]byte("x"), a, b)[1:]
		if comparer.Compare(a, s) > 0 || comparer.Compare(s, b) >= 0 {
			t.Fatalf("separator of %x and %x: %x", a, b, s)
		}
		for _, pair := range [][2][]byte{{a, s}, {s, b}} {
			p, q := comparer.Split.Prefix(pair[0]), comparer.Split.Prefix(pair[1])
			if bytes.Compare(p, q) > 0 {
				t.Fatalf("prefixes out of order: %x, %x of %x, %x", p, q, pair[0], pair[1])
			}
		}
		prefix := comparer.Split.Prefix(a)
		after := comparer.ImmediateSuccessor(nil, prefix)
		if comparer.Compare(a, after) >= 0 || split(after) != len(after) {
			t.Fatalf("successor of %x: %x, not beyond %x", prefix, after, a)
		}
		if !bytes.Equal(comparer.Split.Prefix(b), prefix) && comparer.Compare(after, b) > 0 {
			t.Fatalf("successor of %x: %x, beyond %x", prefix, after, b)
		}
	})
}

func TestRowsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := version{
			key: trickyKey.Draw(t, "key"), at: anyRevision.Draw(t, "at"), live: true, created: rapid.Int64Range(1, 1<<62).Draw(t, "created"),
			count: rapid.Int64Range(1, 1<<62).Draw(t, "count"), lease: rapid.Int64().Draw(t, "lease"), value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
		}
		got, err := parseVersion(versionKey(v.key, v.at), appendVersion(nil, &v))
		if err != nil || got.at != v.at || !got.live || got.created != v.created || got.count != v.count || got.lease != v.lease || !bytes.Equal(got.value, v.value) {
			t.Fatalf("version: %+v %v, want %+v", got, err, v)
		}
		c := change{at: v.at, dead: rapid.Bool().Draw(t, "dead"), prior: anyRevision.Draw(t, "prior"), key: v.key}
		back, err := parseChange(appendChangeKey(nil, c.at), appendChange(nil, &c))
		if err != nil || back.at != c.at || back.dead != c.dead || back.prior != c.prior || !bytes.Equal(back.key, c.key) {
			t.Fatalf("change: %+v %v, want %+v", back, err, c)
		}
	})
}

func FuzzRows(f *testing.F) {
	v := version{key: []byte("a\x00b"), at: revision{7, 1}, live: true, created: 3, count: 4, value: []byte("value")}
	c := change{at: v.at, prior: revision{5, 0}, key: v.key}
	f.Add(versionKey(v.key, v.at), appendVersion(nil, &v))
	f.Add(versionKey(v.key, v.at), []byte{rowDead})
	f.Add(appendChangeKey(nil, c.at), appendChange(nil, &c))
	f.Add([]byte{spaceVersions, 0, 1}, []byte{rowLive, 0xff})
	f.Fuzz(func(t *testing.T, row, value []byte) {
		if v, err := parseVersion(row, value); err == nil && v.live {
			again, err := parseVersion(versionKey(v.key, v.at), appendVersion(nil, &v))
			if err != nil || !bytes.Equal(again.key, v.key) || !bytes.Equal(again.value, v.value) || again.created != v.created {
				t.Fatalf("%+v was read back as %+v, %v", v, again, err)
			}
		}
		if c, err := parseChange(row, value); err == nil {
			again, err := parseChange(appendChangeKey(nil, c.at), appendChange(nil, &c))
			if err != nil || again.prior != c.prior || !bytes.Equal(again.key, c.key) || again.dead != c.dead {
				t.Fatalf("%+v was read back as %+v, %v", c, again, err)
			}
		}
	})
}
