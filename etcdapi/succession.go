package etcdapi

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// succession is what a lock and an election have in common: under one prefix each contender has a key with its lease, and the one whose key
// was created first holds it. It is the algorithm of etcd's clients, with the same keys, so that they and these services contend with each other.
type succession struct {
	*Server
	prefix []byte
}

func (s *Server) succession(name []byte) succession {
	return succession{s, append(slices.Clone(name), '/')}
}

// contender is one key under the prefix.
type contender struct {
	key     []byte
	created int64 // revision
}

// contenderTTL is of a lease that is granted to who brings none, in seconds.
const contenderTTL = 60

// leaseOr returns a lease's ID, that of a new one for 0.
func (s *Server) leaseOr(ctx context.Context, lease int64) (int64, error) {
	if lease != 0 {
		return lease, nil
	}
	resp, err := (&leaseService{Server: s}).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: contenderTTL})
	return resp.GetID(), err
}

// enter puts a contender's key unless its lease has one already, and returns the response: whether it was put, and what the key held if not.
func (s succession) enter(ctx context.Context, lease int64, value []byte) (contender, *pb.TxnResponse, error) {
	c := contender{key: fmt.Appendf(slices.Clone(s.prefix), "%x", lease)}
	resp, err := s.txn(ctx, c, // which was never created
		&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: c.key, Value: value, Lease: lease}}},
		&pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: c.key}}})
	if err != nil {
		return c, nil, err
	}
	c.created = resp.Header.Revision
	if !resp.Succeeded {
		c.created = resp.Responses[0].GetResponseRange().Kvs[0].CreateRevision
	}
	return c, resp, nil
}

// txn does one thing if the contender's key is the one that was created at its revision, else another; nil is nothing.
func (s *Server) txn(ctx context.Context, c contender, then, otherwise *pb.RequestOp) (*pb.TxnResponse, error) {
	r := &pb.TxnRequest{Compare: []*pb.Compare{{
		Key: c.key, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: c.created},
	}}, Success: []*pb.RequestOp{then}}
	if otherwise != nil {
		r.Failure = []*pb.RequestOp{otherwise}
	}
	return (&kvService{Server: s}).Txn(ctx, r)
}

// withdraw deletes a contender's key, if it is still that one. It goes on when the caller is gone.
func (s *Server) withdraw(ctx context.Context, c contender) (*pb.TxnResponse, error) {
	del := &pb.DeleteRangeRequest{Key: c.key}
	return s.txn(context.WithoutCancel(ctx), c, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del}}, nil)
}

// holder returns the key that was created first, nil if there is none.
func (s succession) holder(ctx context.Context) (*pb.ResponseHeader, *mvccpb.KeyValue, error) {
	return s.one(ctx, &pb.RangeRequest{SortOrder: pb.RangeRequest_ASCEND})
}

// one returns the first key under the prefix by creation, in r's order and of those that r admits.
func (s succession) one(ctx context.Context, r *pb.RangeRequest) (*pb.ResponseHeader, *mvccpb.KeyValue, error) {
	r.Key, r.RangeEnd, r.SortTarget, r.Limit = s.prefix, prefixEnd(s.prefix), pb.RangeRequest_CREATE, 1
	resp, err := (&kvService{Server: s.Server}).Range(ctx, r)
	if err != nil || len(resp.Kvs) == 0 {
		return resp.GetHeader(), nil, err
	}
	return resp.Header, resp.Kvs[0], nil
}

// prefixEnd is the end of the range of all keys with a prefix that ends in a slash.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

// await returns once every key that was created before a contender's is gone. It waits for one at a time, the one just before: so an end wakes one and not all.
func (s succession) await(ctx context.Context, c contender) error {
	for {
		header, before, err := s.one(ctx, &pb.RangeRequest{SortOrder: pb.RangeRequest_DESCEND, MaxCreateRevision: c.created - 1})
		if err != nil || before == nil {
			return err
		}
		r := &pb.WatchCreateRequest{Key: before.Key, StartRevision: header.Revision, Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}}
		err = s.watch(ctx, r, func(int64, *mvccpb.Event) (bool, error) { return false, nil })
		if err != nil && err != rpctypes.ErrGRPCCompacted { // then it is to be looked at again
			return err
		}
	}
}

// watch calls fn with each event, and the revision of the response that it is in, until fn wants no more. It returns rpctypes.ErrGRPCCompacted if events are gone.
func (s *Server) watch(ctx context.Context, r *pb.WatchCreateRequest, fn func(revision int64, e *mvccpb.Event) (more bool, err error)) error {
	watches := s.store.NewWatchStream()
	defer watches.Close()
	watches.Create(r)
	for {
		for resp, ok := watches.Next(); ok; resp, ok = watches.Next() {
			if resp.Canceled {
				return rpctypes.ErrGRPCCompacted
			}
			events := &pb.WatchResponse{}
			if err := proto.Unmarshal(resp.Events, events); err != nil {
				return err
			}
			for _, e := range events.Events {
				if more, err := fn(resp.Revision, e); !more || err != nil {
					return err
				}
			}
		}
		select {
		case <-watches.Ready():
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopped.Done():
			return rpctypes.ErrGRPCStopped
		case <-watches.Done():
			return rpctypes.ErrGRPCStopped
		}
	}
}
