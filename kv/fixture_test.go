package kv

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fixture is a store in memory with a log of its own.
type fixture struct {
	*Store
	t    fataler
	slot paxos.Slot
}

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// open opens the store on fs, which must stay healthy.
func open(t fataler, fs vfs.FS) *fixture {
	t.Helper()
	return openSmall(t, fs, memTableBytes)
}

// openSmall is open with memtables of another size, in bytes.
func openSmall(t fataler, fs vfs.FS, memTable uint64) *fixture {
	t.Helper()
	failed := func(err error) { t.Errorf("the store has failed: %v", err) }
	s, err := openStore(Config{Dir: "db", FS: fs, Logger: quiet, CacheBytes: 8 << 20, Fail: failed}, memTable)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return &fixture{Store: s, t: t, slot: s.Applied()}
}

func newFixture(t testing.TB) *fixture {
	f := open(t, vfs.NewMem())
	t.Cleanup(f.close)
	return f
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
}

// do executes a request as the only command of the next slot.
func (f *fixture) do(req proto.Message) (proto.Message, error) {
	f.t.Helper()
	f.slot++
	r := f.Apply([]synod.Command{{Slot: f.slot, Data: encode(f.t, req)}})[0].(Result)
	return r.Response, r.Err
}

// must is do for a request that succeeds.
func (f *fixture) must(req proto.Message) proto.Message {
	f.t.Helper()
	resp, err := f.do(req)
	if err != nil {
		f.t.Fatalf("%v: %v", req, err)
	}
	return resp
}

func (f *fixture) put(key, value string) int64 {
	f.t.Helper()
	return f.must(&pb.PutRequest{Key: []byte(key), Value: []byte(value)}).(*pb.PutResponse).Header.Revision
}

func (f *fixture) delete(key string) int64 {
	f.t.Helper()
	return f.must(&pb.DeleteRangeRequest{Key: []byte(key)}).(*pb.DeleteRangeResponse).Header.Revision
}

func (f *fixture) compactTo(rev int64) {
	f.t.Helper()
	f.must(&pb.CompactionRequest{Revision: rev})
}

func (f *fixture) awaitCompaction() {
	f.t.Helper()
	if err := f.AwaitCompaction(context.Background()); err != nil {
		f.t.Fatalf("await compaction: %v", err)
	}
}

func (f *fixture) rangeOf(r *pb.RangeRequest) *pb.RangeResponse {
	f.t.Helper()
	resp, err := f.Range(context.Background(), r)
	if err != nil {
		f.t.Fatalf("range %v: %v", r, err)
	}
	return resp
}

func encode(t fataler, req proto.Message) []byte {
	t.Helper()
	command, err := Encode(req)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return command
}

// sameError reports whether two errors are the same to a client.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return status.Code(a) == status.Code(b) && status.Convert(a).Message() == status.Convert(b).Message()
}

// streamed merges the chunks of a range stream and checks that only the last has a header.
func streamed(s *Store, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	merged := &pb.RangeResponse{}
	err := s.RangeStream(context.Background(), r, func(chunk Listing) error {
		if merged.Header != nil {
			return errors.New("a chunk after the last")
		}
		return chunk.mergeInto(merged)
	})
	if err != nil {
		return nil, err
	}
	return merged, nil
}

// mergeInto adds what the listing says to a response, as whoever receives it does, and frees it.
func (l Listing) mergeInto(response *pb.RangeResponse) error {
	proto.Merge(response, l.Head)
	if l.Pairs == nil {
		return nil
	}
	defer l.Pairs.Free()
	return proto.UnmarshalOptions{Merge: true}.Unmarshal(l.Pairs.Materialize(), response)
}

// listOf is Store.List, as whoever receives it has it.
func listOf(s *Store, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	l, err := s.List(context.Background(), r)
	if err != nil {
		return nil, err
	}
	response := &pb.RangeResponse{}
	return response, l.mergeInto(response)
}
