package etcdapi

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"

	"synod.dev/synod/etcdapi/v3electionpb"
	"synod.dev/synod/etcdapi/v3lockpb"
)

func (s *serving) locks() v3lockpb.LockClient { return v3lockpb.NewLockClient(s.conn) }
func (s *serving) elections() v3electionpb.ElectionClient {
	return v3electionpb.NewElectionClient(s.conn)
}

// locking is a call of Lock under way.
type locking struct {
	key []byte
	err error
}

func (s *serving) lockLater(ctx context.Context, lease int64) <-chan locking {
	done := make(chan locking, 1)
	go func() {
		resp, err := s.locks().Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l"), Lease: lease})
		done <- locking{resp.GetKey(), err}
	}()
	return done
}

// awaitKey waits until a key is there, or is not.
func (s *serving) awaitKey(t *testing.T, key string, there bool) {
	t.Helper()
	eventually(t, func() bool {
		resp, err := s.store.Range(t.Context(), &pb.RangeRequest{Key: []byte(key)})
		return err == nil && (resp.Count == 1) == there
	})
}

func TestLockIsHeldByOneAtATimeInTheOrderOfAsking(t *testing.T) {
	s := serve(t, nil)
	for id := int64(1); id <= 4; id++ {
		s.grant(t, id, 600)
	}
	first := <-s.lockLater(t.Context(), 1)
	if first.err != nil || string(first.key) != "l/1" {
		t.Fatalf("first: %s, %v", first.key, first.err)
	}
	if again := <-s.lockLater(t.Context(), 1); again.err != nil || string(again.key) != "l/1" {
		t.Fatalf("the holder again: %s, %v", again.key, again.err)
	}
	var waiting []<-chan locking
	gaveUp, giveUp := context.WithCancel(t.Context())
	waiting = append(waiting, s.lockLater(t.Context(), 2))
	s.awaitKey(t, "l/2", true)
	canceled := s.lockLater(gaveUp, 3)
	s.awaitKey(t, "l/3", true)
	waiting = append(waiting, s.lockLater(t.Context(), 4))
	s.awaitKey(t, "l/4", true)
	giveUp()
	if got := <-canceled; got.err == nil {
		t.Error("who gave up has the lock")
	}
	s.awaitKey(t, "l/3", false)
	select {
	case got := <-waiting[0]:
		t.Fatalf("two hold the lock: %s, %v", got.key, got.err)
	case got := <-waiting[1]:
		t.Fatalf("two hold the lock: %s, %v", got.key, got.err)
	default:
	}
	if _, err := s.locks().Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: first.key}); err != nil {
		t.Fatal(err)
	}
	if got := <-waiting[0]; got.err != nil || string(got.key) != "l/2" {
		t.Fatalf("second: %s, %v", got.key, got.err)
	}
	if _, err := s.lease().LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 2}); err != nil { // with which its lock ends
		t.Fatal(err)
	}
	if got := <-waiting[1]; got.err != nil || string(got.key) != "l/4" {
		t.Fatalf("fourth: %s, %v", got.key, got.err)
	}
}

func TestLockIsNotGivenToWhoseLeaseHasEndedWhileItWaited(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 600)
	s.grant(t, 2, 600)
	held := <-s.lockLater(t.Context(), 1)
	waiting := s.lockLater(t.Context(), 2)
	s.awaitKey(t, "l/2", true)
	if _, err := s.lease().LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.locks().Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: held.key}); err != nil {
		t.Fatal(err)
	}
	if got := <-waiting; status.Convert(got.err).Message() != "mutex: session is expired" {
		t.Fatalf("%s, %v", got.key, got.err)
	}
}

func TestLockWithoutALeaseGetsOne(t *testing.T) {
	s := serve(t, nil)
	if got := <-s.lockLater(t.Context(), 0); got.err != nil || len(got.key) < len("l/1") {
		t.Fatalf("%s, %v", got.key, got.err)
	}
	if list, err := s.lease().LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{}); err != nil || len(list.Leases) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if got := <-s.lockLater(t.Context(), 77); status.Convert(got.err).Message() != "etcdserver: requested lease not found" {
		t.Fatalf("with a lease that there is not: %v", got.err)
	}
}

func TestElectionIsObservedFromProclamationToSuccession(t *testing.T) {
	s := serve(t, nil)
	s.grant(t, 1, 600)
	s.grant(t, 2, 600)
	ctx, name := t.Context(), []byte("e")
	if _, err := s.elections().Leader(ctx, &v3electionpb.LeaderRequest{Name: name}); status.Convert(err).Message() != "election: no leader" {
		t.Fatalf("before anyone: %v", err)
	}
	observed, err := s.elections().Observe(ctx, &v3electionpb.LeaderRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	sees := func(value string) {
		t.Helper()
		if got, err := observed.Recv(); err != nil || string(got.Kv.Value) != value || got.Header.Revision < got.Kv.ModRevision {
			t.Fatalf("observed %v, %v; want %s", got, err, value)
		}
	}
	first, err := s.elections().Campaign(ctx, &v3electionpb.CampaignRequest{Name: name, Lease: 1, Value: []byte("a")})
	if err != nil || string(first.Leader.Key) != "e/1" || first.Leader.Lease != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	sees("a")
	second := make(chan error, 1)
	go func() {
		_, err := s.elections().Campaign(context.Background(), &v3electionpb.CampaignRequest{Name: name, Lease: 2, Value: []byte("c")})
		second <- err
	}()
	s.awaitKey(t, "e/2", true)
	if _, err := s.elections().Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: first.Leader, Value: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	sees("b")
	if got, err := s.elections().Leader(ctx, &v3electionpb.LeaderRequest{Name: name}); err != nil || string(got.Kv.Value) != "b" {
		t.Fatalf("%v, %v", got, err)
	}
	for range 2 { // the second time it is over already
		if _, err := s.elections().Resign(ctx, &v3electionpb.ResignRequest{Leader: first.Leader}); err != nil {
			t.Fatal(err)
		}
	}
	sees("c")
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if _, err := s.elections().Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: first.Leader, Value: []byte("x")}); status.Convert(err).Message() != "election: not leader" {
		t.Errorf("a proclamation of who resigned: %v", err)
	}
	if _, err := s.elections().Resign(ctx, &v3electionpb.ResignRequest{}); status.Convert(err).Message() != `"leader" field must be provided` {
		t.Errorf("a resignation of nobody: %v", err)
	}
}
