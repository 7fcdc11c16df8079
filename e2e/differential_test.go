// Package e2e holds the tests that run Synod as real processes, under faults and beside a real etcd.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"
)

var (
	requestsFlag        = flag.Int("requests", 50_000, "how many requests the differential test sends to a server in this process")
	clusterRequestsFlag = flag.Int("cluster-requests", 20_000, "how many it sends to a cluster of processes")
	seedFlag            = flag.Uint64("seed", 1, "seed of the differential test and of the nemesis; 0 takes one from the clock")
)

const (
	// epochRequests is how many requests are sent to the same stores before the next ones begin with empty ones.
	epochRequests = 5000
	// epochsAtATime are under way: etcd brings up watches that are behind only every 100 ms, and one alone would leave the machine idle meanwhile.
	epochsAtATime = 3
	// hashEvery is how many requests lie between two comparisons of the hash of everything.
	hashEvery = 1000
	// tokenTTL is longer than any run: no token expires in one.
	tokenTTL = 24 * time.Hour
)

// TestAnswersAreEtcds sends one stream of random requests, for keys, leases, users, watches and maintenance, to a real etcd and to Synod, one at a time, and demands the same
// from both: the whole answer but for who answers at which term, or the same code and text, and every event of every watch. The state is compared now and then by etcd's own hash of it.
// Every few thousand requests it begins anew, with empty stores and the next seed.
func TestAnswersAreEtcds(t *testing.T) {
	compareWithEtcd(t, *requestsFlag, func(t *testing.T, seed uint64) *comparison {
		etcd := server{connect(t, startEtcd(t, "--bcrypt-cost=4", fmt.Sprintf("--auth-token-ttl=%d", int(tokenTTL.Seconds()))))}
		awaitVersions(t, etcd)
		members, g := []server{{connect(t, startSequential(t))}}, newMixedGenerator(seed)
		return &comparison{
			etcd: etcd, members: members, g: g.generator, next: g.next, learn: g.learnUsers, root: func() *login { return g.latestOf("root") },
			watches: watches{servers: [2]server{etcd, members[0]}},
		}
	})
}

// awaitVersions waits until an etcd that has just begun has decided on the versions of cluster and storage, which it does beside serving.
func awaitVersions(t *testing.T, etcd server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startBound)
	defer cancel()
	for tick := time.NewTicker(progressPause); ; {
		a := etcd.do(ctx, request{Message: &pb.StatusRequest{}}, 0)
		if a.err != nil {
			t.Fatal(a.err)
		}
		if s := a.response.(*pb.StatusResponse); strings.HasPrefix(s.StorageVersion, version.Cluster(s.Version)+".") {
			return
		}
		<-tick.C
	}
}

// TestAClusterAnswersAsEtcdAloneDoes does the same for keys and leases with a cluster of processes, asking its members in turn. None of its reads is
// serializable: a member that is not asked may be behind. Its leader lasts, since a request that is under way when that changes may never have an outcome.
func TestAClusterAnswersAsEtcdAloneDoes(t *testing.T) {
	compareWithEtcd(t, *clusterRequestsFlag, func(t *testing.T, seed uint64) *comparison {
		g := newGenerator(seed, false)
		c := &comparison{etcd: server{connect(t, startEtcd(t))}, g: g, next: g.next, learn: func(request, answer, answer) {}, root: func() *login { return nil }}
		for _, m := range startLastingCluster(t, serve()).members {
			c.members = append(c.members, server{connect(t, m.client)})
		}
		return c
	})
}

// comparison is a real etcd, the members of Synod, which are asked in turn, and one history of both.
type comparison struct {
	etcd    server
	members []server
	g       *generator
	next    func() request
	learn   func(r request, etcd, synod answer) // beside g
	root    func() *login                       // who may do everything; nil if nobody need be
	watches watches
	kinds   map[string]int // what has become of how many requests
}

// compareWithEtcd sends requests in epochs, for each of which begin starts the servers.
func compareWithEtcd(t *testing.T, requests int, begin func(t *testing.T, seed uint64) *comparison) {
	t.Helper()
	first := *seedFlag
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	sum := tally{requests: requests, began: time.Now(), kinds: map[string]int{}}
	all := epochs{number: (requests + epochRequests - 1) / epochRequests}
	all.run = func(epoch int) (err error) {
		seed, n := first+uint64(epoch), min(epochRequests, requests-epoch*epochRequests)
		started := false
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			c := begin(t, seed)
			started = true
			if err = c.run(t.Context(), n); err != nil {
				err = fmt.Errorf("-seed=%d -requests=%d: %w", seed, n, err)
				t.Log(err)
				return
			}
			t.Log(sum.add(n, c))
		})
		if !started {
			return errors.New("an epoch did not begin")
		}
		return err
	}
	if err := all.runAll(epochsAtATime); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d epochs, %d broken runs; %d events of watches, %d watches ended by a compaction", all.number, all.broken, sum.events, sum.compacted)
	for _, kind := range slices.Sorted(maps.Keys(sum.kinds)) {
		t.Logf("%7d × %s", sum.kinds[kind], kind)
	}
}

// tally is what some epochs have covered.
type tally struct {
	requests int
	began    time.Time

	mu                      sync.Mutex
	done, events, compacted int
	kinds                   map[string]int
}

// add adds an epoch of n requests and returns a line about how far the run is.
func (s *tally) add(n int, c *comparison) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.events, s.compacted = s.done+n, s.events+c.watches.events, s.compacted+c.watches.compacted
	for kind, n := range c.kinds {
		s.kinds[kind] += n
	}
	return fmt.Sprintf("%d requests of %d, %.0f a second; revision %d, compacted at %d", s.done, s.requests, float64(s.done)/time.Since(s.began).Seconds(), c.g.revision, c.g.compacted)
}

// run sends n requests and returns how the answers differ, or a *slowness.
func (c *comparison) run(ctx context.Context, n int) error {
	c.kinds = map[string]int{}
	for i := range n {
		r := c.next()
		want, err := c.step(ctx, r, i)
		if err == nil && (i%hashEvery == 0 || i == n-1) {
			err = c.compareState(ctx, i)
		}
		if err != nil {
			if isSlow(err) {
				err = &slowness{i, err}
			}
			return fmt.Errorf("request %d, %v %v, as %v, stream %v: %w", i, r.ProtoReflect().Descriptor().Name(), brief(r.Message), r.as, r.stream, err)
		}
		c.kinds[want.kind(r)]++
	}
	return nil
}

// step makes one request of both servers, and returns etcd's answer. A compaction may overtake a watch that is behind, or not, as it happens; so all are brought up first.
func (c *comparison) step(ctx context.Context, r request, i int) (answer, error) {
	switch r.Message.(type) {
	case *pb.WatchRequest:
		said, err := c.watches.do(ctx, r, c.g.revision, c.g.compacted)
		return watchAnswer(said), err
	case *pb.CompactionRequest:
		if c.watches.awaitFuture(c.g.revision) {
			return answer{err: errors.New("left out: a watch is yet to begin")}, nil
		}
		if err := c.watches.compare(ctx, c.g.revision); err != nil {
			return answer{}, err
		}
	}
	answers := both(ctx, [2]server{c.etcd, c.members[i%len(c.members)]}, func(ctx context.Context, s server, side int) answer {
		return s.do(ctx, r, side)
	})
	for _, a := range answers {
		if isSlow(a.err) {
			return answer{}, &slowness{i, &difference{answers[0], answers[1]}}
		}
		c.settle(r, a)
	}
	c.learn(r, answers[0], answers[1])
	c.g.learn(r, answers[0])
	if answers[0].equals(answers[1]) {
		return answers[0], nil
	}
	if why := c.g.explanation(r, answers[0], answers[1]); why != "" {
		return answer{err: errors.New("explained: " + why)}, nil
	}
	return answer{}, &difference{answers[0], answers[1]}
}

func (c *comparison) settle(r request, a answer) {
	if a.err != nil {
		return
	}
	settle(r.Message, a.response)
	if r, ok := a.response.(*pb.LeaseKeepAliveResponse); ok && len(c.members) > 1 {
		r.Header.Revision = 0 // it is of before the renewal, and the member may be behind
	}
}

// watchAnswer is what became of a request for a watch.
func watchAnswer(said *pb.WatchResponse) answer {
	switch {
	case said.GetCompactRevision() != 0:
		return answer{err: errors.New("ended by a compaction")}
	case said.GetCreated() && said.GetCanceled():
		return answer{err: errors.New(said.CancelReason)}
	case said.GetCreated():
		return answer{err: errors.New("created")}
	case said.GetCanceled():
		return answer{err: errors.New("canceled")}
	}
	return answer{}
}

// compareState compares what watches were told, and the hash of all revisions up to the current one, up to some before it, and up to one that lies ahead. Revision 0,
// and those at which there was a compaction, are left out: etcd answers with what it hashed at the time of
// the compaction, as long as it remembers that.
func (c *comparison) compareState(ctx context.Context, i int) error {
	if err := c.watches.compare(ctx, c.g.revision); err != nil {
		return err
	}
	for _, synod := range c.members {
		if a := synod.do(ctx, request{Message: &pb.RangeRequest{Key: []byte("k")}, as: c.root()}, 1); isSlow(a.err) { // it has caught up once it answers
			return a.err
		}
		for _, revision := range []int64{c.g.revision, c.g.near(), c.g.compacted + 1, c.g.compacted - 1, c.g.revision + 1} {
			if revision <= 0 || c.g.compactions[revision] {
				continue
			}
			r := request{Message: &pb.HashKVRequest{Revision: revision}, as: c.root()}
			answers := both(ctx, [2]server{c.etcd, synod}, func(ctx context.Context, s server, side int) answer { return s.do(ctx, r, side) })
			if slices.ContainsFunc(answers[:], func(a answer) bool { return isSlow(a.err) }) {
				return &slowness{i, &difference{answers[0], answers[1]}}
			}
			if !answers[0].equals(answers[1]) {
				return fmt.Errorf("after request %d, HashKV(%d): %w", i, revision, &difference{answers[0], answers[1]})
			}
		}
	}
	return nil
}

// learn takes from an answer what later requests are made from.
func (g *generator) learn(r request, a answer) {
	if headed, ok := a.response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.revision = max(g.revision, headed.GetHeader().GetRevision())
	}
	if a.err != nil {
		return
	}
	switch m := r.Message.(type) {
	case *pb.CompactionRequest:
		g.compacted = m.Revision
		g.compactions[g.compacted] = true
	case *pb.AlarmRequest:
		switch {
		case m.Alarm != pb.AlarmType_CORRUPT:
		case m.Action == pb.AlarmRequest_ACTIVATE:
			g.corrupt[m.MemberID] = true
		case m.Action == pb.AlarmRequest_DEACTIVATE:
			delete(g.corrupt, m.MemberID)
		}
	}
}
