package etcdapi

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
)

// watching is the client's side of a watch stream.
type watching struct {
	t testing.TB
	pb.Watch_WatchClient
	cancel context.CancelFunc
}

func (s *serving) watch(t testing.TB, metadataPairs ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), metadataPairs...), bound)
	t.Cleanup(cancel)
	stream, err := pb.NewWatchClient(s.conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &watching{t, stream, cancel}
}

func (w *watching) ask(r *pb.WatchRequest) {
	w.t.Helper()
	if err := w.Send(r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) create(r *pb.WatchCreateRequest) *pb.WatchResponse {
	w.t.Helper()
	w.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	return w.next()
}

func (w *watching) stop(id int64) {
	w.t.Helper()
	w.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

func (w *watching) askProgress() {
	w.t.Helper()
	w.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

func (w *watching) next() *pb.WatchResponse {
	w.t.Helper()
	r, err := w.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	h := r.Header
	if h.GetClusterId() != testCluster || h.MemberId != uint64(testMember) || h.RaftTerm != 5 {
		w.t.Errorf("header %v", h)
	}
	return r
}

// expect demands a response that is like want, header but for its revision aside.
func (w *watching) expect(got *pb.WatchResponse, want *pb.WatchResponse) {
	w.t.Helper()
	got = proto.Clone(got).(*pb.WatchResponse)
	got.Header = &pb.ResponseHeader{Revision: got.Header.Revision}
	if !proto.Equal(got, want) {
		w.t.Errorf("got  %v\nwant %v", got, want)
	}
}

func at(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }

func TestWatchAnswersAreEtcds(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "k", "1") // revision 2
	s.mustPut(t, "k", "2")
	s.mustPut(t, "k", "3")
	if _, err := s.kv().Compact(t.Context(), &pb.CompactionRequest{Revision: 3}); err != nil {
		t.Fatal(err)
	}
	w := s.watch(t)
	k := []byte("k")
	refused := func(reason string) *pb.WatchResponse {
		return &pb.WatchResponse{Header: at(4), WatchId: -1, Created: true, Canceled: true, CancelReason: reason}
	}

	w.expect(w.create(&pb.WatchCreateRequest{Key: k}), &pb.WatchResponse{Header: at(4), Created: true})
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, WatchId: 7}), &pb.WatchResponse{Header: at(4), WatchId: 7, Created: true})
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, WatchId: 7}), refused("mvcc: duplicate watch ID provided on the WatchStream"))
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, RangeEnd: k}), refused("mvcc: watcher range is empty"))
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, StartRevision: -1}), refused("etcdserver: mvcc: required revision has been compacted"))
	w.expect(w.create(&pb.WatchCreateRequest{Key: k}), &pb.WatchResponse{Header: at(4), WatchId: 1, Created: true})

	w.stop(99) // is ignored
	w.stop(1)
	w.expect(w.next(), &pb.WatchResponse{Header: at(4), WatchId: 1, Canceled: true})

	// A start that is compacted: created, then canceled with no reason and no revision, and still there for the client to cancel.
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, StartRevision: 2, WatchId: 20}), &pb.WatchResponse{Header: at(4), WatchId: 20, Created: true})
	w.expect(w.next(), &pb.WatchResponse{Header: at(0), WatchId: 20, Canceled: true, CompactRevision: 3})
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, WatchId: 20}), refused("mvcc: duplicate watch ID provided on the WatchStream"))
	w.askProgress() // such a watcher keeps nobody from hearing of progress, as it does in etcd
	w.expect(w.next(), &pb.WatchResponse{Header: at(4), WatchId: -1})
	w.stop(20)
	w.expect(w.next(), &pb.WatchResponse{Header: at(4), WatchId: 20, Canceled: true})

	// The compacted revision itself can be watched; what it replaced is not to be had.
	w.expect(w.create(&pb.WatchCreateRequest{Key: k, StartRevision: 3, WatchId: 30, PrevKv: true}), &pb.WatchResponse{Header: at(4), WatchId: 30, Created: true})
	pair := func(mod, version int64, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: k, Value: []byte(value), CreateRevision: 2, ModRevision: mod, Version: version}
	}
	w.expect(w.next(), &pb.WatchResponse{Header: at(4), WatchId: 30, Events: []*mvccpb.Event{
		{Kv: pair(3, 2, "2")}, {Kv: pair(4, 3, "3"), PrevKv: pair(3, 2, "2")},
	}})
}

func TestProgressComesAfterEventsAndOnlyWhenAllWatchersAreThere(t *testing.T) {
	s := serve(t, nil)
	w := s.watch(t)
	w.askProgress() // without watchers: nothing
	w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	s.mustPut(t, "k", "1")
	w.askProgress()
	if r := w.next(); len(r.Events) != 1 || r.Header.Revision != 2 {
		t.Errorf("not the event: %v", r)
	}
	w.expect(w.next(), &pb.WatchResponse{Header: at(2), WatchId: -1})

	w.create(&pb.WatchCreateRequest{Key: []byte("later"), StartRevision: 4})
	w.askProgress() // dropped: a watcher begins above
	s.mustPut(t, "later", "too early")
	s.mustPut(t, "later", "in time")
	if r := w.next(); r.WatchId != 1 || len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "in time" {
		t.Errorf("a watch of the future got %v", r)
	}
	w.askProgress()
	w.expect(w.next(), &pb.WatchResponse{Header: at(4), WatchId: -1})
}

func TestIdleWatchersAreToldOfProgress(t *testing.T) {
	s := serve(t, func(c *Config) { c.ProgressInterval = time.Nanosecond })
	w := s.watch(t)
	for _, r := range []*pb.WatchCreateRequest{
		{Key: []byte("k"), ProgressNotify: true}, {Key: []byte("k")}, {Key: []byte("k"), ProgressNotify: true, StartRevision: 3},
	} {
		w.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}) // progress may be told before the last is created
	}
	for told := 0; told < 2; {
		if r := w.next(); !r.Created {
			w.expect(r, &pb.WatchResponse{Header: at(1)}) // and nothing for the other two
			told++
		}
	}
}

func TestLargeResponsesComeInFragmentsToThoseWhoWantThem(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxRequestBytes = 1 << 20 })
	value := strings.Repeat("v", 400<<10)
	for i := range 9 {
		s.mustPut(t, fmt.Sprint("k", i), value)
	}
	all := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}}}}}
	whole, cut := s.watch(t), s.watch(t)
	for w, fragment := range map[*watching]bool{whole: false, cut: true} {
		w.create(&pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true, Fragment: fragment})
	}
	if _, err := s.kv().Txn(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if r, err := whole.Recv(); err != nil || len(r.Events) != 9 || r.Fragment {
		t.Errorf("whole: %d events, %v", len(r.GetEvents()), err)
	}
	keys := 0
	for more := true; more; {
		r := cut.next()
		more = r.Fragment
		if size := proto.Size(r); size >= 1<<20+wireOverhead || len(r.Events) == 0 {
			t.Errorf("a fragment of %d bytes, %d events", size, len(r.Events))
		}
		for _, e := range r.Events {
			if want := fmt.Sprint("k", keys); string(e.Kv.Key) != want || !bytes.Equal(e.PrevKv.Value, []byte(value)) {
				t.Errorf("event %d is of %q", keys, e.Kv.Key)
			}
			keys++
		}
	}
	if keys != 9 {
		t.Errorf("%d events in fragments", keys)
	}
}

func TestStreamsThatDemandALeaderEndWithoutOne(t *testing.T) {
	s := serve(t, func(c *Config) { c.LeaderTimeout = 30 * time.Millisecond })
	demanding, content := s.watch(t, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader), s.watch(t)
	demanding.create(&pb.WatchCreateRequest{Key: []byte("k")})
	content.create(&pb.WatchCreateRequest{Key: []byte("k")})
	s.node.leaderless.Store(true)
	if _, err := demanding.Recv(); !sameStatus(err, rpctypes.ErrGRPCNoLeader) {
		t.Errorf("ended with %v", err)
	}
	s.node.leaderless.Store(false)
	s.mustPut(t, "k", "1")
	if r := content.next(); len(r.Events) != 1 {
		t.Errorf("the other stream got %v", r)
	}
}

func TestWatchStreamsEndWithTheServerAndWithTheirClient(t *testing.T) {
	s := serve(t, nil)
	gone, left := s.watch(t), s.watch(t)
	gone.create(&pb.WatchCreateRequest{Key: []byte("k")})
	left.create(&pb.WatchCreateRequest{Key: []byte("k")})
	gone.cancel()
	eventually(t, func() bool { return s.store.WatchStats() == kv.WatchStats{Streams: 1, Watchers: 1} })
	if err := left.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.mustPut(t, "k", "1")
	if r := left.next(); len(r.Events) != 1 { // it has nothing more to ask, but listens
		t.Errorf("got %v", r)
	}
	s.stop()
	if _, err := left.Recv(); status.Code(err) != codes.Unavailable || !sameStatus(err, rpctypes.ErrGRPCStopped) {
		t.Errorf("ended with %v", err)
	}
}

func TestRequestsAreAnsweredInOrderHoweverManyComeAtOnce(t *testing.T) {
	s := serve(t, nil)
	w := s.watch(t)
	w.create(&pb.WatchCreateRequest{Key: []byte("k")})
	const requests = 20_000
	sent := make(chan error, 1)
	go func() {
		for range requests {
			r := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k"), WatchId: 0}}}
			if err := w.Send(r); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range requests {
		if r := w.next(); !r.Created || r.WatchId != int64(i+1) {
			t.Fatalf("answer %d is %v", i, r)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
