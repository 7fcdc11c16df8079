package etcdapi

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/etcdapi/v3lockpb"
)

// errSessionExpired has etcd's text: the lease has ended while its owner was waiting.
var errSessionExpired = status.Error(codes.Unknown, "mutex: session is expired")

// lockService serves v3lockpb.Lock. A lock is held as long as its key exists, which is no guarantee for who has stopped looking: whatever is written under a lock should
// be written on condition that the key is there.
type lockService struct {
	v3lockpb.UnsafeLockServer // a method that is missing does not compile
	*Server
}

// Lock waits for the lock and returns the key that stands for it. It is the same lock for the same lease.
func (s *lockService) Lock(ctx context.Context, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	lease, err := s.leaseOr(ctx, r.Lease)
	if err != nil {
		return nil, err
	}
	lock := s.succession(r.Name)
	c, _, err := lock.enter(ctx, lease, nil)
	if err != nil {
		return nil, err
	}
	if err := lock.await(ctx, c); err != nil {
		s.withdraw(ctx, c) // if that fails the lease will end it
		return nil, readError(ctx, err)
	}
	owned, err := (&kvService{Server: s.Server}).Range(ctx, &pb.RangeRequest{Key: c.key})
	if err != nil {
		s.withdraw(ctx, c)
		return nil, err
	}
	if len(owned.Kvs) == 0 || owned.Kvs[0].CreateRevision != c.created {
		return nil, errSessionExpired
	}
	return &v3lockpb.LockResponse{Header: owned.Header, Key: c.key}, nil
}

// Unlock deletes the key.
func (s *lockService) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	resp, err := (&kvService{Server: s.Server}).DeleteRange(ctx, &pb.DeleteRangeRequest{Key: r.Key})
	if err != nil {
		return nil, err
	}
	return &v3lockpb.UnlockResponse{Header: resp.Header}, nil
}
