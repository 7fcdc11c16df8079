package kv

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

type backendRow struct{ key, value []byte }

func exportOf(t fataler, s *Store) (Exported, []backendRow) {
	var rows []backendRow
	state, err := s.Export(context.Background(), func(key, value []byte) error {
		rows = append(rows, backendRow{bytes.Clone(key), bytes.Clone(value)})
		return nil
	})
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	return state, rows
}

func feed(rows []backendRow) func(func(key, value []byte) error) error {
	return func(fn func(key, value []byte) error) error {
		for _, r := range rows {
			if err := fn(r.key, r.value); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestAStoreFilledFromAnExportAnswersAsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := open(t, vfs.NewMem())
		defer from.close()
		g := requests{t: t}
		for range 1 + g.n(40, "commands") {
			from.do(g.command()) // refusals are part of it
		}
		state, rows := exportOf(t, from.Store)
		to := open(t, vfs.NewMem())
		defer func() { to.close() }()
		if err := to.Import(state, feed(rows)); err != nil {
			t.Fatalf("import: %v", err)
		}
		from.awaitCompaction()
		to.awaitCompaction()
		for rev := max(state.Compacted, 0); rev <= state.Revision; rev++ {
			sameAnswer(t, from, to, rev)
		}
		for range g.n(10, "later commands") { // and it goes on as the first
			req := g.command()
			a, errA := from.do(req)
			b, errB := to.do(req)
			if !proto.Equal(a, b) || (errA == nil) != (errB == nil) || errA != nil && errA.Error() != errB.Error() {
				t.Fatalf("%v is answered with\n%v %v\n%v %v", req, a, errA, b, errB)
			}
		}
		sameAnswer(t, from, to, 0)
	})
}

// sameAnswer compares everything that can be read at a revision, and the hash.
func sameAnswer(t *rapid.T, a, b *fixture, rev int64) {
	ctx := context.Background()
	all := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev}
	x, errX := a.Range(ctx, all)
	y, errY := b.Range(ctx, all)
	if !proto.Equal(x, y) || (errX == nil) != (errY == nil) {
		t.Fatalf("at revision %d:\n%v %v\n%v %v", rev, x, errX, y, errY)
	}
	h, errH := a.HashKV(ctx, rev)
	i, errI := b.HashKV(ctx, rev)
	if !proto.Equal(h, i) || (errH == nil) != (errI == nil) {
		t.Fatalf("hash at revision %d:\n%v %v\n%v %v", rev, h, errH, i, errI)
	}
}

func TestAnImportRefusesWhatNoSnapshotHas(t *testing.T) {
	from := newFixture(t)
	from.put("a", "1")
	from.put("a", "2")
	state, rows := exportOf(t, from.Store)
	broken := func(change func(r []backendRow) []backendRow) []backendRow {
		return change([]backendRow{{bytes.Clone(rows[0].key), rows[0].value}, {bytes.Clone(rows[1].key), rows[1].value}})
	}
	for _, tc := range []struct {
		name  string
		state Exported
		rows  []backendRow
		want  string
	}{
		{"a row cut short", state, broken(func(r []backendRow) []backendRow { r[0].key = r[0].key[:16]; return r }), "malformed row"},
		{"a value of another kind", state, broken(func(r []backendRow) []backendRow { r[0].value = []byte{0xff}; return r }), "malformed row"},
		{"rows out of order", state, broken(func(r []backendRow) []backendRow { return []backendRow{r[1], r[0]} }), "out of order"},
		{"a row twice", state, broken(func(r []backendRow) []backendRow { return []backendRow{r[0], r[0]} }), "out of order"},
		{"a row from the future", Exported{Revision: 2, Compacted: -1}, rows, "above the last revision"},
		{"a modification revision that is not the row's", state, broken(func(r []backendRow) []backendRow { r[1].key[7]++; return r }), "malformed row"},
	} {
		to := newFixture(t)
		if err := to.Import(tc.state, feed(tc.rows)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if err := from.Import(state, feed(rows)); err == nil {
		t.Error("a store that is not empty was imported into")
	}
}

func FuzzBackendRow(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x02_\x00\x00\x00\x00\x00\x00\x00\x00"), []byte("\x0a\x01a\x10\x02\x18\x02\x20\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x03_\x00\x00\x00\x00\x00\x00\x00\x00t"), []byte("\x0a\x01a"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		ver, err := parseBackendRow(key, value)
		if err != nil {
			return
		}
		row := appendBackendRow(nil, &ver)
		again, err := parseBackendRow(row[:len(key)], row[len(key):])
		if err != nil || again.at != ver.at || again.live != ver.live || again.created != ver.created || again.count != ver.count ||
			!bytes.Equal(again.key, ver.key) || !bytes.Equal(again.value, ver.value) {
			t.Fatalf("%x %x is read as %+v and then as %+v, %v", key, value, ver, again, err)
		}
	})
}
