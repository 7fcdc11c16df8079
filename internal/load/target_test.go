package load

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/internal/freeport"
)

// fake remembers which keys were put and tells each watcher of every put, twice.
type fake struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer

	mu       sync.Mutex
	puts     []string
	txns     []*pb.TxnRequest
	ranges   []*pb.RangeRequest
	created  []*pb.WatchCreateRequest
	watchers []chan struct{}
}

func (f *fake) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts = append(f.puts, string(r.Key))
	for _, w := range f.watchers {
		w <- struct{}{}
	}
	return &pb.PutResponse{}, nil
}

func (f *fake) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.txns = append(f.txns, r)
	return &pb.TxnResponse{}, nil
}

func (f *fake) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ranges = append(f.ranges, r)
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: currentRevision}, Count: 5}, nil
}

// RangeStream answers in two chunks whose sizes are those of the request.
func (f *fake) RangeStream(r *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	for range 2 {
		chunk := &pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: r.Key, Value: r.RangeEnd}}}}
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	if r.Revision != currentRevision || !r.Physical {
		return nil, errors.New("not this")
	}
	return &pb.CompactionResponse{}, nil
}

const currentRevision = 77

func (f *fake) Watch(stream pb.Watch_WatchServer) error {
	told := make(chan struct{}, 100)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.created = append(f.created, r.GetCreateRequest())
			f.watchers = append(f.watchers, told)
			f.mu.Unlock()
			if stream.Send(&pb.WatchResponse{Created: true}) != nil {
				return
			}
		}
	}()
	event := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v")}}
	for {
		select {
		case <-told:
			if err := stream.Send(&pb.WatchResponse{Events: []*mvccpb.Event{event, event}}); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// serve returns a target of three connections to f.
func serve(t *testing.T, f *fake) *Target {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	pb.RegisterWatchServer(s, f)
	go s.Serve(socket)
	t.Cleanup(s.Stop)
	target, err := Dial([]string{socket.Addr().String()}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

func run(t *testing.T, requests int, request Request) {
	t.Helper()
	if r := Run(t.Context(), Plan{Clients: 4, Requests: requests, Timeout: time.Minute}, request); r.Failed > 0 || r.Count() != int64(requests) {
		t.Fatalf("%d of %d requests failed: %v", r.Failed, requests, r.Err)
	}
}

func TestFillPutsEachKeyOnce(t *testing.T) {
	keys := Keys{Prefix: "p/", Count: 250}
	var want []string
	for n := range keys.Count {
		want = append(want, string(keys.Key(n)))
	}
	one := &fake{}
	run(t, keys.Count, serve(t, one).Fill(keys, NewValues(8)))
	if slices.Sort(one.puts); !slices.Equal(one.puts, want) {
		t.Errorf("puts of %d keys: %v", len(one.puts), one.puts)
	}
	many := &fake{}
	run(t, 3, serve(t, many).FillMany(keys, NewValues(8), 100))
	var got []string
	for _, txn := range many.txns {
		for _, op := range txn.Success {
			got = append(got, string(op.GetRequestPut().Key))
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("transactions put %d keys: %v", len(got), got)
	}
}

func TestPutsAndReadsAreSpreadOverAllKeys(t *testing.T) {
	f := &fake{}
	target, keys := serve(t, f), Keys{Prefix: "p/", Count: 10}
	run(t, 1000, target.Put(keys, NewValues(8)))
	run(t, 1000, target.Range(keys, true))
	puts, ranges := map[string]int{}, map[string]int{}
	for _, k := range f.puts {
		puts[k]++
	}
	for _, r := range f.ranges {
		if !r.Serializable {
			t.Fatal("a range is not serializable")
		}
		ranges[string(r.Key)]++
	}
	for n := range keys.Count {
		if k := string(keys.Key(n)); puts[k] < 50 || ranges[k] < 50 {
			t.Errorf("%s: %d puts, %d ranges of 1000", k, puts[k], ranges[k])
		}
	}
	if len(puts) != 10 || len(ranges) != 10 {
		t.Errorf("%d, %d keys", len(puts), len(ranges))
	}
}

func TestTransactionComparesReadsAndPutsOneKey(t *testing.T) {
	f := &fake{}
	run(t, 1, serve(t, f).Txn(Keys{Prefix: "p/", Count: 10}, NewValues(8)))
	r := f.txns[0]
	key := string(r.Compare[0].Key)
	if len(r.Compare) != 1 || len(r.Success) != 2 || string(r.Success[0].GetRequestRange().Key) != key || string(r.Success[1].GetRequestPut().Key) != key {
		t.Error(r)
	}
}

func TestValuesHaveTheirSizeAndAreNotAlike(t *testing.T) {
	v := NewValues(256)
	distinct := map[string]bool{}
	for n := range 1000 {
		if len(v.of(n)) != 256 {
			t.Fatalf("value %d has %d bytes", n, len(v.of(n)))
		}
		distinct[string(v.of(n))] = true
	}
	if len(distinct) < 500 {
		t.Errorf("%d distinct values of 1000", len(distinct))
	}
}

func TestWatchersCountEveryEventThatTheyAreTold(t *testing.T) {
	for _, test := range []struct {
		audience Audience
		key, end string
	}{{OneKey, "p/0000000000", ""}, {EveryKey, "p/", "p0"}, {OwnKey, "p/watcher", ""}} {
		f := &fake{}
		target, keys := serve(t, f), Keys{Prefix: "p/", Count: 1}
		w, err := target.Watch(t.Context(), keys, test.audience, 10, 3)
		if err != nil {
			t.Fatal(err)
		}
		run(t, 5, target.Put(keys, NewValues(8)))
		deadline := time.Now().Add(time.Minute)
		for w.Events() < 100 && time.Now().Before(deadline) && w.Err() == nil {
		}
		if w.Events() != 100 || w.Err() != nil { // 5 puts, of which 10 watchers are told twice
			t.Errorf("audience %d: %d events, %v", test.audience, w.Events(), w.Err())
		}
		w.Close()
		for _, r := range f.created {
			if !strings.HasPrefix(string(r.Key), test.key) || string(r.RangeEnd) != test.end {
				t.Errorf("audience %d watches %q to %q", test.audience, r.Key, r.RangeEnd)
			}
		}
		if len(f.created) != 10 || test.audience == OwnKey && string(f.created[0].Key) == string(f.created[1].Key) {
			t.Errorf("audience %d: %v", test.audience, f.created)
		}
	}
}

func TestListsAreReadWholeAtOnceOrInChunks(t *testing.T) {
	f := &fake{}
	target, keys := serve(t, f), Keys{Prefix: "p/", Count: 10}
	chunk := proto.Size(&pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: keys.Key(0), Value: keys.Key(5)}}}})
	if n, err := target.List(t.Context(), keys, 5, true); err != nil || n != int64(2*chunk) {
		t.Errorf("%d bytes in chunks of %d, %v", n, chunk, err)
	}
	if n, err := target.List(t.Context(), keys, 5, false); err != nil || n == 0 {
		t.Errorf("%d bytes at once, %v", n, err)
	}
	if r := f.ranges[0]; string(r.Key) != string(keys.Key(0)) || string(r.RangeEnd) != string(keys.Key(5)) {
		t.Errorf("the list is from %q to %q", r.Key, r.RangeEnd)
	}
}

func TestCompactionIsOfAllThatIsPast(t *testing.T) {
	if err := serve(t, &fake{}).Compact(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServerThatIsNotThereIsNamed(t *testing.T) {
	nobody, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	target, err := Dial(nobody, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := target.Await(ctx); err == nil || !strings.Contains(err.Error(), nobody[0]) || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

func FuzzEventsOfAWatchResponseAreCountedWithoutDecodingIt(f *testing.F) {
	for _, r := range []*pb.WatchResponse{
		{}, {Created: true, WatchId: 7}, {CancelReason: "gone", Canceled: true, CompactRevision: 9},
		{Header: &pb.ResponseHeader{Revision: 3}, Events: []*mvccpb.Event{{}, {Kv: &mvccpb.KeyValue{Key: []byte("k")}}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r pb.WatchResponse
		valid := proto.Unmarshal(b, &r) == nil
		n, err := events(mem.BufferSlice{mem.SliceBuffer(b)})
		if valid && (err != nil || n != int64(len(r.Events))) {
			t.Errorf("%d events, %v; there are %d", n, err, len(r.Events))
		}
	})
}
