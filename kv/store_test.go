package kv

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
)

// TestStoreIsItsModel applies random commands, in calls of random length, and compares every result, and random reads in between, with
// the model, and in the end the digest with the rows. The sweeper works all the while.
func TestStoreIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := open(t, vfs.NewMem())
		defer f.close()
		m := newModel()
		for range rapid.IntRange(1, 25).Draw(t, "calls") {
			f.applyBoth(t, m, rapid.IntRange(1, 6).Draw(t, "commands"))
			f.compareReads(t, m, 4)
			if rapid.IntRange(0, 4).Draw(t, "wait") == 0 {
				f.awaitCompaction()
			}
		}
		if err := f.Verify(context.Background()); err != nil { // what was replaced was what is in the rows
			t.Fatal(err)
		}
	})
}

// applyBoth executes n random commands in one call of Apply, in slots of one or more, and in the model.
func (f *fixture) applyBoth(t *rapid.T, m *model, n int) {
	var commands []synod.Command
	var want []Result
	var requested []proto.Message
	for range n {
		req := requests{t, m.rev}.command()
		if len(commands) == 0 || rapid.Bool().Draw(t, "next slot") {
			f.slot++
		}
		commands = append(commands, synod.Command{Slot: f.slot, Data: encode(t, req)})
		resp, err := m.apply(req)
		want, requested = append(want, Result{Response: resp, Err: err}), append(requested, req)
	}
	for i, r := range f.Apply(commands) {
		compareResult(t, requested[i], r.(Result), want[i])
	}
	if f.Applied() != f.slot || f.Revision() != m.rev || f.CompactRevision() != m.compacted {
		t.Fatalf("slot %d revision %d compacted %d, want %d %d %d", f.Applied(), f.Revision(), f.CompactRevision(), f.slot, m.rev, m.compacted)
	}
}

func compareResult(t fataler, req proto.Message, got, want Result) {
	t.Helper()
	if !sameError(got.Err, want.Err) {
		t.Fatalf("%v\n got %v\nwant %v", req, got.Err, want.Err)
	}
	if got.Err == nil && !proto.Equal(got.Response, want.Response) {
		t.Fatalf("%v\n got %v\nwant %v", req, got.Response, want.Response)
	}
}

// compareReads makes random reads of both, each as one answer, as a listing and as a stream.
func (f *fixture) compareReads(t *rapid.T, m *model, n int) {
	for range n {
		r := requests{t, m.rev}.ranges()
		want, wantErr := m.rangeOf(r)
		got, err := f.Range(context.Background(), r)
		compareResult(t, r, Result{Response: got, Err: err}, Result{Response: want, Err: wantErr})
		got, err = listOf(f.Store, r)
		compareResult(t, r, Result{Response: got, Err: err}, Result{Response: want, Err: wantErr})
		if ValidateRangeStream(r) == nil && r.SortTarget == pb.RangeRequest_KEY {
			got, err := streamed(f.Store, r)
			compareResult(t, r, Result{Response: got, Err: err}, Result{Response: want, Err: wantErr})
		}
	}
}
