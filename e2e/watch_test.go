package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

const (
	watchRequests = 2000
	watchersMost  = 24
	// watchCheckEvery is after how many writes the streams are compared, beside before each compaction: a watcher that a compaction overtakes
	// is canceled or not as it happens.
	watchCheckEvery = 60
	progressPause   = 20 * time.Millisecond
	watchPatience   = 30 * time.Second
)

// pairedWatch is the same watch on a real etcd and on Synod, each on a stream of its own.
type pairedWatch struct {
	request     *pb.WatchCreateRequest
	etcd, synod pb.Watch_WatchClient
}

// TestWatchStreamsAreEtcds sends random writes and compactions to a real etcd and to Synod, lets watches of every kind begin in
// past, present and future, and demands the same of both: what the creation is answered, and every event with its order, or the compaction that ended it.
func TestWatchStreamsAreEtcds(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	etcd, synod := server{connect(t, startEtcd(t))}, server{connect(t, startSequential(t))}
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), revision: 1, compactions: map[int64]bool{}}
	var watches []*pairedWatch
	events, compacted := 0, 0
	check := func(i int) {
		watches = slices.DeleteFunc(watches, func(w *pairedWatch) bool {
			if w.request.StartRevision > g.revision {
				return false // it must stay silent, which the next check tells
			}
			want, got := w.upTo(t, w.etcd, g.revision), w.upTo(t, w.synod, g.revision)
			if err := want.differs(got); err != nil {
				t.Fatalf("seed %d, after request %d: watch %v: %v", seed, i, w.request, err)
			}
			events += len(want.events)
			if want.compacted != 0 {
				compacted++
			}
			return want.compacted != 0
		})
	}
	for i := range watchRequests {
		r := g.next()
		if _, read := r.Message.(*pb.RangeRequest); read || proto.Size(r.Message) > 100_000 {
			continue
		}
		_, compaction := r.Message.(*pb.CompactionRequest)
		if compaction || i%watchCheckEvery == 0 {
			check(i)
		}
		if !compaction && len(watches) < watchersMost && g.oneIn(8) {
			if w := g.watch(t, etcd, synod); w != nil {
				watches = append(watches, w)
			}
		}
		want, got := both(t.Context(), etcd, synod, func(ctx context.Context, s server) answer {
			a := s.do(ctx, r)
			if a.err == nil {
				settle(r.Message, a.response)
			}
			return a
		})
		if !want.equals(got) {
			t.Fatalf("seed %d, request %d: %v\netcd:  %v\nsynod: %v", seed, i, brief(r.Message), want, got)
		}
		g.learn(r, want)
		if len(watches) == watchersMost && g.oneIn(4) {
			watches = slices.Delete(watches, 0, 1)
		}
	}
	check(watchRequests)
	if events == 0 || compacted == 0 {
		t.Errorf("seed %d covers little: %d events, %d watches ended by a compaction", seed, events, compacted)
	}
	t.Logf("seed %d: revision %d, %d events, %d watches ended by a compaction", seed, g.revision, events, compacted)
}

// watch begins a random watch on both. It is nil if both refuse it.
func (g *generator) watch(t *testing.T, etcd, synod server) *pairedWatch {
	t.Helper()
	r := &pb.WatchCreateRequest{PrevKv: g.bit(), Fragment: g.oneIn(4), WatchId: int64(g.IntN(3))}
	r.Key, r.RangeEnd = g.span()
	if g.bit() {
		r.StartRevision = max(g.near(), -1)
	}
	for _, filter := range []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE} {
		if g.oneIn(6) {
			r.Filters = append(r.Filters, filter)
		}
	}
	w := &pairedWatch{request: r}
	var answers [2]*pb.WatchResponse
	for i, s := range []server{etcd, synod} {
		stream, err := pb.NewWatchClient(s.conn).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
			t.Fatal(err)
		}
		if answers[i], err = stream.Recv(); err != nil {
			t.Fatal(err)
		}
		h := answers[i].Header
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
		*[]*pb.Watch_WatchClient{&w.etcd, &w.synod}[i] = stream
	}
	if !proto.Equal(answers[0], answers[1]) {
		t.Fatalf("watch %v\netcd:  %v\nsynod: %v", r, answers[0], answers[1])
	}
	if answers[0].Canceled {
		return nil
	}
	return w
}

// watched is what a watch was told up to some revision.
type watched struct {
	events    []*mvccpb.Event
	compacted int64 // the revision of the compaction that ended it
}

func (w watched) differs(got watched) error {
	if w.compacted != got.compacted {
		return fmt.Errorf("etcd ends it for the compaction at %d, Synod at %d", w.compacted, got.compacted)
	}
	for i := range max(len(w.events), len(got.events)) {
		if i >= len(w.events) || i >= len(got.events) || !proto.Equal(w.events[i], got.events[i]) {
			return fmt.Errorf("event %d of %d and %d differs\netcd:  %v\nsynod: %v", i, len(w.events), len(got.events), tail(w.events, i), tail(got.events, i))
		}
	}
	return nil
}

func tail(events []*mvccpb.Event, i int) []*mvccpb.Event {
	return events[min(i, len(events)):min(i+3, len(events))]
}

// upTo takes what a stream has to say until it tells of a progress at a revision, for which it is asked again and again, as clients must.
func (w *pairedWatch) upTo(t *testing.T, stream pb.Watch_WatchClient, revision int64) (told watched) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), watchPatience)
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		for tick := time.NewTicker(progressPause); ; {
			if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}) != nil {
				return // Recv says why
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		<-asking
	}()
	var last int64
	for parts := false; ; {
		if ctx.Err() != nil {
			t.Fatalf("watch %v has not come to revision %d", w.request, revision)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Canceled:
			told.compacted = r.CompactRevision
			return told
		case len(r.Events) == 0 && r.Header.Revision >= revision:
			return told
		case len(r.Events) > 0:
			if first := r.Events[0].Kv.ModRevision; first < last || first == last && !parts {
				t.Fatalf("watch %v: a response that begins with revision %d after one that ended with it", w.request, first)
			}
			last, parts = r.Events[len(r.Events)-1].Kv.ModRevision, r.Fragment
			told.events = append(told.events, r.Events...)
		}
	}
}

// TestClientResumesItsWatchOnAnotherMember lets etcd's own client watch a cluster of three while each member in turn is killed and comes back.
func TestClientResumesItsWatchOnAnotherMember(t *testing.T) {
	c := startCluster(t, 3)
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.client)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: startBound})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := client.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(1))
	const rounds, writes = 3, 40
	var wrote []int64
	for round := range rounds {
		for i := range writes {
			if i == writes/2 {
				c.members[round].process.kill()
			}
			for {
				r, err := client.Put(ctx, fmt.Sprint("k", i), fmt.Sprint(round))
				if err == nil {
					wrote = append(wrote, r.Header.Revision)
					break
				}
				if ctx.Err() != nil {
					t.Fatal(err)
				}
			}
		}
		c.members[round].start()
	}
	var last int64
	heard := map[int64]bool{}
	for !heard[wrote[len(wrote)-1]] {
		r, ok := <-told
		if !ok || r.Err() != nil {
			t.Fatalf("the watch ended after revision %d: %v", last, r.Err())
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision <= last {
				t.Fatalf("revision %d after %d", e.Kv.ModRevision, last)
			}
			if e.IsModify() && e.PrevKv == nil {
				t.Errorf("revision %d without what it replaced", e.Kv.ModRevision)
			}
			last = e.Kv.ModRevision
			heard[last] = true
		}
	}
	for _, revision := range wrote {
		if !heard[revision] {
			t.Errorf("the write at revision %d was acknowledged and not heard of", revision)
		}
	}
}
