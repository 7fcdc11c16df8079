package etcdapi

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/kv"
)

// leaseService serves etcdserverpb.Lease. Any member serves all of it: what changes a lease goes through the log, and what is left of its life each member measures by itself.
type leaseService struct {
	pb.UnsafeLeaseServer // a method that is missing does not compile
	*Server
}

// LeaseGrant grants a lease under the client's ID, or a random one, for the time that the client asks for, or the least that this server grants.
func (s *leaseService) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	grant := &pb.LeaseGrantRequest{ID: r.ID, TTL: max(r.TTL, s.minLeaseTTL)}
	for grant.ID == 0 {
		grant.ID = rand.Int64()
	}
	resp, err := s.write(ctx, grant, s.metrics.leaseGrants)
	if err != nil {
		return nil, err
	}
	s.metrics.leaseTTLs.Observe(float64(resp.(*pb.LeaseGrantResponse).TTL))
	return resp.(*pb.LeaseGrantResponse), nil
}

func (s *leaseService) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	resp, err := s.write(ctx, r, s.metrics.leaseRevokes)
	if err != nil {
		return nil, err
	}
	return resp.(*pb.LeaseRevokeResponse), nil
}

// LeaseTimeToLive answers with what is left as this member has measured it.
func (s *leaseService) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	if err := s.confirm(ctx); err != nil {
		return nil, err
	}
	resp, err := s.store.LeaseTimeToLive(ctx, r)
	if err != nil {
		return nil, readError(ctx, err)
	}
	s.fill(resp.Header)
	return resp, nil
}

func (s *leaseService) LeaseLeases(ctx context.Context, r *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	if err := s.confirm(ctx); err != nil {
		return nil, err
	}
	resp, err := s.store.LeaseLeases(ctx, r)
	if err != nil {
		return nil, readError(ctx, err)
	}
	s.fill(resp.Header)
	return resp, nil
}

// keepAlivesMax is how many requests of one stream are renewed together; more of them wait in the client.
const keepAlivesMax = 1024

// LeaseKeepAlive answers each request in its turn. Those that have come while others were being renewed are renewed together.
func (s *leaseService) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	ctx := stream.Context()
	requests, ended := make(chan *pb.LeaseKeepAliveRequest, keepAlivesMax), make(chan error, 1)
	go func() { ended <- receiveKeepAlives(stream, requests) }()
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return keepAliveError(ctx, <-ended)
			}
			if err := s.keepAlive(stream, waiting(r, requests)); err != nil {
				return keepAliveError(ctx, err)
			}
		case <-s.stopped.Done():
			return rpctypes.ErrGRPCStopped
		case <-ctx.Done():
			return keepAliveError(ctx, ctx.Err())
		}
	}
}

// receiveKeepAlives passes requests on until the client has no more, which is no error, or is gone.
func receiveKeepAlives(stream pb.Lease_LeaseKeepAliveServer, requests chan<- *pb.LeaseKeepAliveRequest) error {
	defer close(requests)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case requests <- r:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// waiting returns a request and those that have come after it.
func waiting(first *pb.LeaseKeepAliveRequest, more <-chan *pb.LeaseKeepAliveRequest) []*pb.LeaseKeepAliveRequest {
	all := []*pb.LeaseKeepAliveRequest{first}
	for range len(more) {
		all = append(all, <-more)
	}
	return all
}

// keepAlive renews leases and answers. The headers are of before: so a client that sees a revision knows that its lease was alive at it or later.
func (s *leaseService) keepAlive(stream pb.Lease_LeaseKeepAliveServer, requests []*pb.LeaseKeepAliveRequest) error {
	ctx, err := s.admit(stream.Context(), pb.Lease_LeaseKeepAlive_FullMethodName, nil) // anew: what was shown may have expired, and its use renews it
	if err != nil {
		return err
	}
	header := s.header()
	ids := make([]int64, len(requests))
	for i, r := range requests {
		if _, err := s.permit(ctx, r); err != nil {
			return err
		}
		ids[i] = r.ID
	}
	ttls, err := s.keepAlives.renew(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := stream.Send(&pb.LeaseKeepAliveResponse{Header: header, ID: id, TTL: ttls[i]}); err != nil {
			return err
		}
	}
	return nil
}

// keepAliveError says why a stream has ended.
func keepAliveError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case context.Cause(ctx) == rpctypes.ErrGRPCNoLeader:
		return rpctypes.ErrGRPCNoLeader
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return answerTo(err)
}

// renewLeases replicates the renewal of some leases and returns their TTLs, 0 for those that do not exist.
func (s *Server) renewLeases(ids []int64) ([]int64, error) {
	answer, err := s.propose(s.stopped, MachineKV, kv.EncodeLeaseRenewal(ids))
	if err != nil {
		return nil, err
	}
	result := answer.(kv.Result)
	return result.Renewed, result.Err
}
