package e2e

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// settle takes out of a response what may differ from one server to another.
func settle(request, response proto.Message) {
	switch r := request.(type) {
	case *pb.RangeRequest:
		settleRange(r, response.(*pb.RangeResponse))
	case *pb.TxnRequest:
		settleTxn(r, response.(*pb.TxnResponse))
	case *pb.LeaseTimeToLiveRequest:
		settleTimeToLive(response.(*pb.LeaseTimeToLiveResponse))
	case *pb.StatusRequest:
		settleStatus(response.(*pb.StatusResponse))
	case *pb.AlarmRequest:
		settleAlarms(response.(*pb.AlarmResponse))
	case *pb.HashRequest:
		response.(*pb.HashResponse).Hash = 0 // of another form of store
	}
}

func settleTxn(r *pb.TxnRequest, response *pb.TxnResponse) {
	branch := r.Success
	if !response.Succeeded {
		branch = r.Failure
	}
	for i, op := range branch {
		if i >= len(response.Responses) {
			return // to be found by the comparison
		}
		if inner := response.Responses[i].GetResponseRange(); inner != nil && op.GetRequestRange() != nil {
			settleRange(op.GetRequestRange(), inner)
		}
		if inner := response.Responses[i].GetResponseTxn(); inner != nil && op.GetRequestTxn() != nil {
			settleTxn(op.GetRequestTxn(), inner)
		}
	}
}

// settleRange takes out of a response what a sort by anything but the key leaves open. Etcd sorts with an algorithm that is
// not stable: in what order keys with equal targets come, and, if a limit cuts through them, which of them come at all, is an accident
// of the algorithm, which no client can rely on. Here ties come in the order of keys, and of those at a cut only the target counts.
func settleRange(r *pb.RangeRequest, response *pb.RangeResponse) {
	if r.SortTarget == pb.RangeRequest_KEY {
		return
	}
	tie := func(a, b *mvccpb.KeyValue) bool { return compareTargets(r, a, b) == 0 }
	for run := range runs(response.Kvs, tie) {
		slices.SortFunc(run, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
		if last := &run[len(run)-1] == &response.Kvs[len(response.Kvs)-1]; last && response.More {
			for i, kv := range run {
				run[i] = targetOf(r, kv)
			}
		}
	}
}

// runs yields the longest stretches of kvs whose neighbours are tied.
func runs(kvs []*mvccpb.KeyValue, tie func(a, b *mvccpb.KeyValue) bool) func(func([]*mvccpb.KeyValue) bool) {
	return func(yield func([]*mvccpb.KeyValue) bool) {
		for begin, end := 0, 1; end <= len(kvs); end++ {
			if end < len(kvs) && tie(kvs[end-1], kvs[end]) {
				continue
			}
			if !yield(kvs[begin:end]) {
				return
			}
			begin = end
		}
	}
}

// compareTargets compares what r sorts by. Of values that the response leaves out all seem equal.
func compareTargets(r *pb.RangeRequest, a, b *mvccpb.KeyValue) int {
	switch r.SortTarget {
	case pb.RangeRequest_VERSION:
		return cmp.Compare(a.Version, b.Version)
	case pb.RangeRequest_CREATE:
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	case pb.RangeRequest_MOD:
		return cmp.Compare(a.ModRevision, b.ModRevision)
	case pb.RangeRequest_VALUE:
		return bytes.Compare(a.Value, b.Value)
	}
	return bytes.Compare(a.Key, b.Key)
}

// targetOf keeps of kv what r sorts by.
func targetOf(r *pb.RangeRequest, kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	switch r.SortTarget {
	case pb.RangeRequest_VERSION:
		return &mvccpb.KeyValue{Version: kv.Version}
	case pb.RangeRequest_CREATE:
		return &mvccpb.KeyValue{CreateRevision: kv.CreateRevision}
	case pb.RangeRequest_MOD:
		return &mvccpb.KeyValue{ModRevision: kv.ModRevision}
	}
	return &mvccpb.KeyValue{Value: kv.Value}
}
