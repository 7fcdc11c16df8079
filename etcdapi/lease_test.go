package etcdapi

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
	"synod.dev/synod/kv"
)

func (s *serving) lease() pb.LeaseClient { return pb.NewLeaseClient(s.conn) }

func (s *serving) grant(t testing.TB, id, ttl int64) *pb.LeaseGrantResponse {
	t.Helper()
	resp, err := s.lease().LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func (s *serving) mustPutLeased(t testing.TB, key string, lease int64) {
	t.Helper()
	if _, err := s.kv().Put(t.Context(), &pb.PutRequest{Key: []byte(key), Lease: lease}); err != nil {
		t.Fatal(err)
	}
}

func TestLeaseIsGrantedUnderTheIDAskedForOrAPositiveOneForNoLessThanTheMinimum(t *testing.T) {
	s := serve(t, nil)
	for _, c := range []struct{ id, ttl, want int64 }{{0, 60, 60}, {0, 60, 60}, {5, 0, 2}, {-5, -7, 2}, {6, 9_000_000_000, 9_000_000_000}} {
		got := s.grant(t, c.id, c.ttl)
		if c.id != 0 && got.ID != c.id || got.ID == 0 || c.id == 0 && got.ID < 0 || got.TTL != c.want || got.Header.Revision != 1 || got.Header.RaftTerm == 0 {
			t.Errorf("a grant of %d for %d s: %v", c.id, c.ttl, got)
		}
	}
	for _, c := range []struct {
		id, ttl int64
		want    error
	}{{5, 60, rpctypes.ErrGRPCLeaseExist}, {5, 9_000_000_001, rpctypes.ErrGRPCLeaseTTLTooLarge}, {0, 9_000_000_001, rpctypes.ErrGRPCLeaseTTLTooLarge}} {
		_, err := s.lease().LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: c.id, TTL: c.ttl})
		if status.Code(err) != status.Code(c.want) || status.Convert(err).Message() != status.Convert(c.want).Message() {
			t.Errorf("a grant of %d for %d s: %v, want %v", c.id, c.ttl, err, c.want)
		}
	}
	long := serve(t, func(c *Config) { c.MinLeaseTTL = 15 })
	if got := long.grant(t, 1, 3); got.TTL != 15 {
		t.Errorf("the least TTL is %d s, not 15", got.TTL)
	}
}

func TestRevocationDeletesTheKeysAndTellsOfTheirRevision(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 7, 60)
	s.mustPutLeased(t, "a", 7)
	resp, err := s.lease().LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 7})
	if err != nil || resp.Header.Revision != 3 {
		t.Fatalf("%v, %v", resp, err)
	}
	if got, err := s.kv().Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); err != nil || got.Count != 0 {
		t.Errorf("the key: %v, %v", got, err)
	}
	_, err = s.lease().LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 7})
	if status.Convert(err).Message() != status.Convert(rpctypes.ErrGRPCLeaseNotFound).Message() {
		t.Errorf("again: %v", err)
	}
}

func TestTimeToLiveAndTheListAreOfWhatTheLogHas(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 7, 100)
	s.grant(t, -2, 50)
	s.mustPutLeased(t, "b", 7)
	s.mustPutLeased(t, "a", 7)
	reads := s.node.reads.Load()
	got, err := s.lease().LeaseTimeToLive(t.Context(), &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true})
	if err != nil || got.GrantedTTL != 100 || got.TTL < 90 || got.TTL > 100 || len(got.Keys) != 2 || string(got.Keys[0]) != "a" || got.Header.Revision != 3 {
		t.Errorf("time to live: %v, %v", got, err)
	}
	if got, err := s.lease().LeaseTimeToLive(t.Context(), &pb.LeaseTimeToLiveRequest{ID: 8}); err != nil || got.TTL != -1 || got.ID != 8 || got.Header.MemberId == 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
	list, err := s.lease().LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
	if err != nil || len(list.Leases) != 2 || list.Leases[0].ID != -2 || list.Leases[1].ID != 7 || list.Header.Revision != 3 {
		t.Errorf("list: %v, %v", list, err)
	}
	if n := s.node.reads.Load() - reads; n != 3 {
		t.Errorf("the log was asked %d times for three reads", n)
	}
}

// exchange sends requests on a stream, then takes as many answers, and closes it.
func (s *serving) exchange(t testing.TB, ids ...int64) (answers []*pb.LeaseKeepAliveResponse) {
	t.Helper()
	stream, err := s.lease().LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answers
		}
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, resp)
	}
}

func TestEachKeepAliveIsAnsweredInItsTurn(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 60)
	s.grant(t, 2, 70)
	var ids, ttls []int64
	for _, resp := range s.exchange(t, 2, 1, 9, 2) {
		ids, ttls = append(ids, resp.ID), append(ttls, resp.TTL)
	}
	if !slices.Equal(ids, []int64{2, 1, 9, 2}) || !slices.Equal(ttls, []int64{70, 60, 0, 70}) {
		t.Fatalf("answers for %v with TTLs %v", ids, ttls)
	}
}

// TestHeaderOfAKeepAliveIsOfBeforeTheRenewal: a client must never see a lease as alive at a revision at which it may have been revoked.
func TestHeaderOfAKeepAliveIsOfBeforeTheRenewal(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 60)
	write := func(context.Context) error {
		s.node.hold.Store(nil)
		s.mustPut(t, "k", "v") // gets ahead of the renewal
		return nil
	}
	s.node.hold.Store(&write)
	if got := s.exchange(t, 1); len(got) != 1 || got[0].Header.Revision != 1 || got[0].TTL != 60 {
		t.Fatalf("answered %v", got)
	}
}

func TestRenewalsThatComeWhileOneIsUnderWayShareACommand(t *testing.T) {
	const clients = 50
	begun, finish := make(chan int, clients), make(chan struct{})
	ended, end := context.WithCancel(t.Context())
	var commands atomic.Int64
	k := newKeepAlives(ended, func(ids []int64) ([]int64, error) {
		commands.Add(1)
		begun <- len(ids)
		<-finish
		return ids, nil // a TTL that tells whose it is
	})
	go k.run()
	answers := make(chan error, clients)
	renew := func(id int64) {
		ttls, err := k.renew(t.Context(), []int64{id, -id})
		if err == nil && !slices.Equal(ttls, []int64{id, -id}) {
			err = errors.New("the answer is another's")
		}
		answers <- err
	}
	go renew(1)
	if n := <-begun; n != 2 {
		t.Fatalf("the first command has %d", n)
	}
	for id := int64(2); id <= clients; id++ {
		go renew(id)
	}
	eventually(t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.waiting) == 1 && len(k.waiting[0].ids) == 2*(clients-1)
	})
	close(finish)
	for range clients {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := commands.Load(); n != 2 {
		t.Errorf("%d commands", n)
	}
	end()
}

func TestRenewalsAreRefusedWhenTooManyWait(t *testing.T) {
	k := newKeepAlives(t.Context(), nil) // which does not run
	ids := make([]int64, kv.MaxLeaseRenewals)
	for range roundsMax {
		if r, _ := k.join(ids); r == nil {
			t.Fatal("refused too early")
		}
	}
	if r, _ := k.join(ids[:1]); r != nil {
		t.Fatal("there is a round beyond the bound")
	}
	if _, err := k.renew(t.Context(), ids[:1]); err != rpctypes.ErrGRPCRequestTooManyRequests {
		t.Fatalf("beyond the bound: %v", err)
	}
}

func TestKeepAliveWhoseOutcomeIsUnknownEndsTheStream(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 60)
	for _, c := range []struct{ outcome, want error }{
		{synod.ErrUnknown, rpctypes.ErrGRPCTimeoutDueToLeaderFail}, {synod.ErrNoLeader, rpctypes.ErrGRPCNoLeader},
	} {
		stream, err := s.lease().LeaseKeepAlive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.node.failWith(c.outcome)
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Convert(err).Message() != status.Convert(c.want).Message() {
			t.Errorf("%v: the stream ended with %v", c.outcome, err)
		}
		s.node.failWith(nil)
	}
}

func TestShutdownEndsKeepAliveStreams(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 60)
	stream, err := s.lease().LeaseKeepAlive(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != status.Convert(rpctypes.ErrGRPCStopped).Message() {
		t.Errorf("the stream ended with %v", err)
	}
}

// leaseClock is a store's monotonic clock that passes when it is told to.
type leaseClock struct{ now atomic.Int64 }

func (c *leaseClock) elapsed() time.Duration { return time.Duration(c.now.Load()) }
func (c *leaseClock) pass(d time.Duration)   { c.now.Add(int64(d)) }

func TestLeaderEndsLeasesWhoseTimeIsOverAndNoOtherMemberDoes(t *testing.T) {
	clock := &leaseClock{}
	s := serveWith(t, kv.Config{Elapsed: clock.elapsed}, func(c *Config) { c.Node.(*node).leaderless.Store(true) })
	s.grant(t, 1, 60)
	s.grant(t, 2, 600)
	s.mustPutLeased(t, "k", 1)
	clock.pass(70 * time.Second)
	if rest := s.leaseUpkeep(); rest != upkeepPause || s.store.Revision() != 2 {
		t.Errorf("a member that does not lead rests for %v at revision %d", rest, s.store.Revision())
	}
	s.node.leaderless.Store(false)
	eventually(t, func() bool { return s.store.Revision() == 3 })
	list, err := s.lease().LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
	if err != nil || len(list.Leases) != 1 || list.Leases[0].ID != 2 {
		t.Errorf("left are %v, %v", list, err)
	}
}

func TestUpkeepThatFailsIsTriedAgainAfterAPause(t *testing.T) {
	clock := &leaseClock{}
	s := serveWith(t, kv.Config{Elapsed: clock.elapsed}, nil)
	s.grant(t, 1, 60)
	s.node.failWith(synod.ErrUnknown)
	clock.pass(70 * time.Second)
	if rest := s.leaseUpkeep(); rest != upkeepPause {
		t.Errorf("after a failure it rests for %v", rest)
	}
	s.node.failWith(nil)
	eventually(t, func() bool {
		list, err := s.store.LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
		return err == nil && len(list.Leases) == 0
	})
}
