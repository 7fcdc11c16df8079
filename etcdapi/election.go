package etcdapi

import (
	"bytes"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/etcdapi/v3electionpb"
)

// Errors with etcd's texts.
var (
	errNotElected       = status.Error(codes.Unknown, "election: not leader")
	errNobodyElected    = status.Error(codes.Unknown, "election: no leader")
	errMissingLeaderKey = status.Error(codes.Unknown, `"leader" field must be provided`)
)

// electionService serves v3electionpb.Election.
type electionService struct {
	v3electionpb.UnsafeElectionServer // a method that is missing does not compile
	*Server
}

// Campaign waits until the caller is elected.
func (s *electionService) Campaign(ctx context.Context, r *v3electionpb.CampaignRequest) (*v3electionpb.CampaignResponse, error) {
	lease, err := s.leaseOr(ctx, r.Lease)
	if err != nil {
		return nil, err
	}
	election := s.succession(r.Name)
	c, entered, err := election.enter(ctx, lease, r.Value)
	if err != nil {
		return nil, err
	}
	if !entered.Succeeded && !bytes.Equal(entered.Responses[0].GetResponseRange().Kvs[0].Value, r.Value) {
		if _, err := s.proclaim(ctx, c, lease, r.Value); err != nil {
			s.withdraw(ctx, c) // if that fails the lease will end it
			return nil, err
		}
	}
	if err := election.await(ctx, c); err != nil {
		s.withdraw(ctx, c)
		return nil, readError(ctx, err)
	}
	return &v3electionpb.CampaignResponse{
		Header: entered.Header,
		Leader: &v3electionpb.LeaderKey{Name: r.Name, Key: c.key, Rev: c.created, Lease: lease},
	}, nil
}

// Proclaim changes the value of a leader who still is one.
func (s *electionService) Proclaim(ctx context.Context, r *v3electionpb.ProclaimRequest) (*v3electionpb.ProclaimResponse, error) {
	if r.Leader == nil {
		return nil, errMissingLeaderKey
	}
	lease, err := s.leaseOr(ctx, r.Leader.Lease)
	if err != nil {
		return nil, err
	}
	header, err := s.proclaim(ctx, contender{r.Leader.Key, r.Leader.Rev}, lease, r.Value)
	if err != nil {
		return nil, err
	}
	return &v3electionpb.ProclaimResponse{Header: header}, nil
}

func (s *electionService) proclaim(ctx context.Context, c contender, lease int64, value []byte) (*pb.ResponseHeader, error) {
	put := &pb.PutRequest{Key: c.key, Value: value, Lease: lease}
	resp, err := s.txn(ctx, c, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}, nil)
	if err != nil {
		return nil, err
	}
	if !resp.Succeeded {
		return nil, errNotElected
	}
	return resp.Header, nil
}

// Resign ends a leadership. To end one that is over already is no error.
func (s *electionService) Resign(ctx context.Context, r *v3electionpb.ResignRequest) (*v3electionpb.ResignResponse, error) {
	if r.Leader == nil {
		return nil, errMissingLeaderKey
	}
	resp, err := s.withdraw(ctx, contender{r.Leader.Key, r.Leader.Rev})
	if err != nil {
		return nil, err
	}
	return &v3electionpb.ResignResponse{Header: resp.Header}, nil
}

// Leader tells who is elected.
func (s *electionService) Leader(ctx context.Context, r *v3electionpb.LeaderRequest) (*v3electionpb.LeaderResponse, error) {
	header, leader, err := s.succession(r.Name).holder(ctx)
	if err != nil {
		return nil, err
	}
	if leader == nil {
		return nil, errNobodyElected
	}
	return &v3electionpb.LeaderResponse{Header: header, Kv: leader}, nil
}

// Observe sends who is elected, each value that is proclaimed, and who comes next. Where events have been compacted it looks anew.
func (s *electionService) Observe(r *v3electionpb.LeaderRequest, stream v3electionpb.Election_ObserveServer) error {
	ctx, election := stream.Context(), s.succession(r.Name)
	for {
		header, leader, err := election.holder(ctx)
		if err == nil && leader == nil {
			leader, err = s.firstPut(ctx, election, header.Revision)
			header = s.header()
			header.Revision = leader.GetModRevision()
		}
		if err == nil {
			err = stream.Send(&v3electionpb.LeaderResponse{Header: header, Kv: leader})
		}
		if err == nil {
			err = s.observeLeader(stream, leader.Key, header.Revision+1)
		}
		if err != nil && err != rpctypes.ErrGRPCCompacted {
			return readError(ctx, err)
		}
	}
}

// firstPut waits for the first key of an election without any.
func (s *electionService) firstPut(ctx context.Context, election succession, from int64) (first *mvccpb.KeyValue, err error) {
	watch := &pb.WatchCreateRequest{
		Key: election.prefix, RangeEnd: prefixEnd(election.prefix), StartRevision: from,
		Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE},
	}
	err = s.watch(ctx, watch, func(_ int64, e *mvccpb.Event) (bool, error) {
		first = e.Kv
		return false, nil
	})
	return first, err
}

// observeLeader sends what a leader proclaims from a revision on, until its key is gone.
func (s *electionService) observeLeader(stream v3electionpb.Election_ObserveServer, key []byte, from int64) error {
	watch := &pb.WatchCreateRequest{Key: key, StartRevision: from}
	return s.watch(stream.Context(), watch, func(revision int64, e *mvccpb.Event) (bool, error) {
		if e.Type == mvccpb.Event_DELETE {
			return false, nil
		}
		header := &pb.ResponseHeader{Revision: revision}
		s.sign(header)
		return true, stream.Send(&v3electionpb.LeaderResponse{Header: header, Kv: e.Kv})
	})
}
