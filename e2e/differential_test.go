// Package e2e holds the tests that run Synod as real processes, under faults and beside a real etcd.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var (
	requestsFlag        = flag.Int("requests", 100_000, "how many requests the differential test sends to a server in this process")
	clusterRequestsFlag = flag.Int("cluster-requests", 20_000, "how many it sends to a cluster of processes")
	seedFlag            = flag.Uint64("seed", 1, "seed of the differential test and of the nemesis; 0 takes one from the clock")
	targetFlag          = flag.String("target", "", "host:port of an empty server to compare with etcd, instead of one in this process")
)

// hashEvery is how many requests lie between two comparisons of the hash of everything.
const hashEvery = 2000

// TestKVAnswersAreEtcds sends one stream of random requests to a real etcd and to Synod, one at a time, and demands the same answer
// from both: the whole response but for who answers at which term, or the same code and text. The state is compared
// now and then by etcd's own hash of it.
func TestKVAnswersAreEtcds(t *testing.T) {
	target := *targetFlag
	if target == "" {
		target = startSequential(t)
	}
	compareWithEtcd(t, []server{{connect(t, target)}}, *requestsFlag)
}

// TestAClusterAnswersAsEtcdAloneDoes does the same with a cluster of processes, asking its members in turn. None of its reads is
// serializable: a member that is not asked may be behind.
func TestAClusterAnswersAsEtcdAloneDoes(t *testing.T) {
	var members []server
	for _, m := range startCluster(t, 3).members {
		members = append(members, server{connect(t, m.client)})
	}
	compareWithEtcd(t, members, *clusterRequestsFlag)
}

// compareWithEtcd sends requests to a real etcd and to members of Synod in turn.
func compareWithEtcd(t *testing.T, members []server, requests int) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	etcd := server{connect(t, startEtcd(t))}
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), serializable: len(members) == 1, revision: 1, compactions: map[int64]bool{}}
	seen := map[string]int{}
	for i := range requests {
		r, synod := g.next(), members[i%len(members)]
		want, got := both(t.Context(), etcd, synod, func(ctx context.Context, s server) answer {
			a := s.do(ctx, r)
			if a.err == nil {
				settle(r.Message, a.response)
			}
			if r, ok := a.response.(*pb.LeaseKeepAliveResponse); ok && len(members) > 1 {
				r.Header.Revision = 0 // it is of before the renewal, and the member may be behind
			}
			return a
		})
		if !want.equals(got) {
			t.Fatalf("seed %d, request %d: %T %v\nstream: %v\netcd:  %v\nsynod: %v", seed, i, r.Message, brief(r.Message), r.stream, want, got)
		}
		seen[want.kind(r)]++
		g.learn(r, want)
		if i%hashEvery == 0 || i == requests-1 {
			for _, synod := range members {
				compareHashes(t, etcd, synod, g, seed, i)
			}
		}
	}
	t.Logf("seed %d: %d requests, revision %d, compacted at %d", seed, requests, g.revision, g.compacted)
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d × %s", seen[kind], kind)
	}
}

// compareHashes compares the hash of all revisions up to the current one, up to some before it, and up to one that lies ahead. Revision 0,
// and those at which there was a compaction, are left out: etcd answers with what it hashed at the time of
// the compaction, as long as it remembers that.
func compareHashes(t *testing.T, etcd, synod server, g *generator, seed uint64, i int) {
	t.Helper()
	if a := synod.do(t.Context(), request{Message: &pb.RangeRequest{Key: []byte("k")}}); a.err != nil { // it has caught up once it answers
		t.Fatalf("seed %d, after request %d: %v", seed, i, a.err)
	}
	for _, revision := range []int64{g.revision, g.near(), g.compacted + 1, g.compacted - 1, g.revision + 1} {
		if revision <= 0 || g.compactions[revision] {
			continue
		}
		want, got := both(t.Context(), etcd, synod, func(ctx context.Context, s server) answer { return s.hash(ctx, revision) })
		if !want.equals(got) {
			t.Fatalf("seed %d, after request %d: HashKV(%d)\netcd:  %v\nsynod: %v", seed, i, revision, want, got)
		}
	}
}

// learn takes from an answer what later requests are made from.
func (g *generator) learn(r request, a answer) {
	if headed, ok := a.response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.revision = max(g.revision, headed.GetHeader().GetRevision())
	}
	if compaction, ok := r.Message.(*pb.CompactionRequest); ok && a.err == nil {
		g.compacted = compaction.Revision
		g.compactions[g.compacted] = true
	}
}

// server is one of the two that are compared.
type server struct{ conn *grpc.ClientConn }

// both asks the two servers at the same time.
func both(ctx context.Context, a, b server, ask func(context.Context, server) answer) (fromA, fromB answer) {
	var wait sync.WaitGroup
	wait.Go(func() { fromA = ask(ctx, a) })
	fromB = ask(ctx, b)
	wait.Wait()
	return fromA, fromB
}

func (s server) do(ctx context.Context, r request) answer {
	kv := pb.NewKVClient(s.conn)
	switch m := r.Message.(type) {
	case *pb.RangeRequest:
		if r.stream {
			return collect(kv.RangeStream(ctx, m))
		}
		return answered(kv.Range(ctx, m))
	case *pb.PutRequest:
		return answered(kv.Put(ctx, m))
	case *pb.DeleteRangeRequest:
		return answered(kv.DeleteRange(ctx, m))
	case *pb.TxnRequest:
		return answered(kv.Txn(ctx, m))
	case *pb.CompactionRequest:
		return answered(kv.Compact(ctx, m))
	}
	return s.doLease(ctx, r.Message)
}

func (s server) hash(ctx context.Context, revision int64) answer {
	return answered(pb.NewMaintenanceClient(s.conn).HashKV(ctx, &pb.HashKVRequest{Revision: revision}))
}

// answer is what a server said, with what may differ between two servers taken out.
type answer struct {
	response proto.Message // nil if err is not
	err      error
}

type headed interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

func answered[R headed](response R, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	if h := response.GetHeader(); h != nil {
		if h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 {
			return answer{err: fmt.Errorf("a header without cluster, member or term: %v", h)}
		}
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	return answer{response: response}
}

// collect merges the chunks of a stream, which must come to what Range answers; only the last has a header.
func collect(stream grpc.ServerStreamingClient[pb.RangeStreamResponse], err error) answer {
	if err != nil {
		return answer{err: err}
	}
	merged := &pb.RangeResponse{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answered(merged, nil)
		}
		if err != nil {
			return answer{err: err}
		}
		if merged.Header != nil {
			return answer{err: fmt.Errorf("a chunk after the one with the header: %v", brief(chunk))}
		}
		proto.Merge(merged, chunk.RangeResponse)
	}
}

func (a answer) equals(b answer) bool {
	if a.err != nil || b.err != nil {
		return status.Code(a.err) == status.Code(b.err) && status.Convert(a.err).Message() == status.Convert(b.err).Message()
	}
	return proto.Equal(a.response, b.response)
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return brief(a.response)
}

// kind names what became of a request, so that a run shows what it has covered.
func (a answer) kind(r request) string {
	name := string(r.ProtoReflect().Descriptor().Name())
	if r.stream {
		name += " (stream)"
	}
	if a.err == nil {
		return name + " " + codes.OK.String()
	}
	return name + " " + a.err.Error()
}

// brief renders a message on one line, cut where it gets long.
func brief(m proto.Message) string {
	const most = 4000
	s := prototext.MarshalOptions{}.Format(m)
	if len(s) > most {
		s = s[:most] + fmt.Sprintf("… (%d more)", len(s)-most)
	}
	return s
}
