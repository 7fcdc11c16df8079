package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	// lineMax bounds a line of the log, in bytes.
	lineMax = 4 << 20
	// proofKey is written after everything, by nobody whose requests are judged.
	proofKey = "proof"
)

// logged is a line of `synod disk dump --json`.
type logged struct {
	Slot    uint64          `json:"slot"`
	Kind    string          `json:"kind"`
	Request json.RawMessage `json:"request"`
}

// readLog reads a chosen log and returns its requests as etcd's validators know them.
func readLog(r io.Reader) ([]model.EtcdRequest, error) {
	var all []model.EtcdRequest
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var l logged
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("the log: %w", err)
		}
		request, err := l.etcdRequest()
		if err != nil {
			return nil, err
		}
		if request != nil {
			all = append(all, *request)
		}
	}
	return all, lines.Err()
}

// read decodes the request into etcd's message.
func (l *logged) read(into proto.Message) error {
	if err := protojson.Unmarshal(l.Request, into); err != nil {
		return fmt.Errorf("slot %d: %w", l.Slot, err)
	}
	return nil
}

// etcdRequest is the request as etcd's validators know it; nil if it does not concern them.
func (l *logged) etcdRequest() (*model.EtcdRequest, error) {
	switch l.Kind {
	case "put":
		var r pb.PutRequest
		if err := l.read(&r); err != nil || string(r.Key) == proofKey {
			return nil, err
		}
		return txnOf(putOf(&r)), nil
	case "delete-range":
		var r pb.DeleteRangeRequest
		err := l.read(&r)
		return txnOf(deleteOf(&r)), err
	case "txn":
		var r pb.TxnRequest
		if err := l.read(&r); err != nil {
			return nil, err
		}
		return l.etcdTxn(&r)
	case "lease-grant":
		var r pb.LeaseGrantRequest
		err := l.read(&r)
		return &model.EtcdRequest{Type: model.LeaseGrant, LeaseGrant: &model.LeaseGrantRequest{LeaseID: r.ID}}, err
	case "lease-revoke":
		var r pb.LeaseRevokeRequest
		err := l.read(&r)
		return &model.EtcdRequest{Type: model.LeaseRevoke, LeaseRevoke: &model.LeaseRevokeRequest{LeaseID: r.ID}}, err
	case "compaction":
		var r pb.CompactionRequest
		err := l.read(&r)
		return &model.EtcdRequest{Type: model.Compact, Compact: &model.CompactRequest{Revision: r.Revision}}, err
	case "member", "unknown": // of the latter are those that keep leases alive; one that changed anything would leave requests unexplained
		return nil, nil
	}
	return nil, fmt.Errorf("slot %d: etcd's validators know no request of kind %s", l.Slot, l.Kind)
}

func (l *logged) etcdTxn(r *pb.TxnRequest) (*model.EtcdRequest, error) {
	txn := &model.TxnRequest{}
	for _, c := range r.Compare {
		switch {
		case c.Result == pb.Compare_EQUAL && c.Target == pb.Compare_MOD:
			txn.Conditions = append(txn.Conditions, model.EtcdCondition{Key: string(c.Key), ExpectedRevision: c.GetModRevision()})
		case c.Result == pb.Compare_EQUAL && c.Target == pb.Compare_VERSION:
			txn.Conditions = append(txn.Conditions, model.EtcdCondition{Key: string(c.Key), ExpectedVersion: c.GetVersion()})
		default:
			return nil, fmt.Errorf("slot %d: etcd's validators know no condition %v", l.Slot, c)
		}
	}
	for _, op := range r.Success {
		txn.OperationsOnSuccess = append(txn.OperationsOnSuccess, operationOf(op))
	}
	for _, op := range r.Failure {
		txn.OperationsOnFailure = append(txn.OperationsOnFailure, operationOf(op))
	}
	return &model.EtcdRequest{Type: model.Txn, Txn: txn}, nil
}

func txnOf(op model.EtcdOperation) *model.EtcdRequest {
	return &model.EtcdRequest{Type: model.Txn, Txn: &model.TxnRequest{OperationsOnSuccess: []model.EtcdOperation{op}}}
}

func operationOf(op *pb.RequestOp) model.EtcdOperation {
	switch {
	case op.GetRequestPut() != nil:
		return putOf(op.GetRequestPut())
	case op.GetRequestDeleteRange() != nil:
		return deleteOf(op.GetRequestDeleteRange())
	}
	r := op.GetRequestRange()
	return model.EtcdOperation{Type: model.RangeOperation, Range: model.RangeOptions{
		Start: string(r.GetKey()), End: string(r.GetRangeEnd()), Limit: r.GetLimit(), KeysOnly: r.GetKeysOnly(),
	}}
}

func putOf(r *pb.PutRequest) model.EtcdOperation {
	return model.EtcdOperation{Type: model.PutOperation, Put: model.PutOptions{
		Key: string(r.Key), Value: model.ToValueOrHash(string(r.Value)), LeaseID: r.Lease,
	}}
}

func deleteOf(r *pb.DeleteRangeRequest) model.EtcdOperation {
	return model.EtcdOperation{Type: model.DeleteOperation, Delete: model.DeleteOptions{Key: string(r.Key)}}
}
