package kv

import (
	"encoding/binary"

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

// historyTrim is a compaction that a member proposes by itself. One that comes too late, or where a client's would be refused, does nothing.
type historyTrim struct{ revision int64 }

// EncodeHistoryTrim makes the command that compacts at revision on nobody's behalf. Its Result is empty.
func EncodeHistoryTrim(revision int64) []byte { return historyTrim{revision}.encode() }

// encode: varint revision.
func (t historyTrim) encode() []byte {
	return binary.AppendVarint([]byte{byte(kindHistoryTrim)}, t.revision)
}

func (t historyTrim) run(w *writer) (Result, error) {
	request := &pb.CompactionRequest{Revision: t.revision}
	if t.revision <= 0 || w.alarms.refuse(request) != nil {
		return Result{}, nil
	}
	if _, err := w.compact(request); err != nil && !isAnswer(err) {
		return Result{}, err
	}
	return Result{}, nil
}
