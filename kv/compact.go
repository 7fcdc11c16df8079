package kv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// compact forbids reading below the revision. That is all of it as far as the state goes; the sweeper deletes later what
// cannot be read any more. Before the first compaction even revision 0 is above the last, as in etcd.
func (w *writer) compact(r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	switch {
	case r.Revision <= w.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	case r.Revision > w.revision:
		return nil, rpctypes.ErrGRPCFutureRev
	}
	w.compacted = r.Revision
	return &pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: w.revision}}, nil
}
