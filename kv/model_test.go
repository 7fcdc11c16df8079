package kv

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/paxos"
)

// model is etcd's key-value store without any cleverness: for each revision, a map of all that there is.
type model struct {
	history   map[int64]map[string]*mvccpb.KeyValue
	rev       int64
	compacted int64
	keys      map[string][]stamp // of every key that ever was, in order
	leases    map[int64]lease
	clock     time.Duration // the lease clock
	slot      paxos.Slot    // of the command; tests that look at it set it
}

// stamp says that a key was put or deleted at a revision.
type stamp struct {
	rev  int64
	live bool
}

func newModel() *model {
	return &model{history: map[int64]map[string]*mvccpb.KeyValue{1: {}}, rev: 1, compacted: -1, keys: map[string][]stamp{}, leases: map[int64]lease{}}
}

func (m *model) clone() *model {
	c := *m
	c.history = maps.Clone(m.history)
	c.leases = maps.Clone(m.leases)
	c.keys = map[string][]stamp{}
	for k, s := range m.keys {
		c.keys[k] = slices.Clone(s)
	}
	return &c
}

// attempt is a command under way: a copy of the newest state.
type attempt struct {
	*model
	now     map[string]*mvccpb.KeyValue
	at      int64
	changed map[string]bool
}

func (m *model) apply(req proto.Message) (proto.Message, error) {
	a := &attempt{model: m, now: maps.Clone(m.history[m.rev]), at: m.rev, changed: map[string]bool{}}
	resp, err := a.execute(req)
	if err != nil {
		return nil, err
	}
	a.take()
	return resp, nil
}

// take makes the attempt the newest state.
func (a *attempt) take() {
	m := a.model
	if a.at > m.rev {
		m.rev = a.at
		m.history[m.rev] = a.now
		for k := range a.changed {
			m.keys[k] = append(m.keys[k], stamp{m.rev, a.now[k] != nil})
		}
	}
}

func (a *attempt) execute(req proto.Message) (proto.Message, error) {
	switch r := req.(type) {
	case *pb.CompactionRequest:
		if r.Revision <= a.compacted {
			return nil, rpctypes.ErrGRPCCompacted
		}
		if r.Revision > a.rev {
			return nil, rpctypes.ErrGRPCFutureRev
		}
		a.compacted = r.Revision
		return &pb.CompactionResponse{Header: a.header()}, nil
	case *pb.PutRequest:
		if err := ValidatePut(r); err != nil {
			return nil, err
		}
		if err := a.refusesPut(r); err != nil {
			return nil, err
		}
		return a.put(r), nil
	case *pb.DeleteRangeRequest:
		if err := ValidateDeleteRange(r); err != nil {
			return nil, err
		}
		return a.deleteRange(r), nil
	case *pb.LeaseGrantRequest:
		switch {
		case r.TTL > LeaseTTLMax:
			return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
		case a.leases[r.ID].exists():
			return nil, rpctypes.ErrGRPCLeaseExist
		}
		a.leases[r.ID] = lease{r.TTL, a.slot, a.clock}
		return &pb.LeaseGrantResponse{Header: a.header(), ID: r.ID, TTL: r.TTL}, nil
	case *pb.LeaseRevokeRequest:
		if !a.leases[r.ID].exists() {
			return nil, rpctypes.ErrGRPCLeaseNotFound
		}
		a.endLease(r.ID)
		return &pb.LeaseRevokeResponse{Header: a.header()}, nil
	}
	r := req.(*pb.TxnRequest)
	if err := ValidateTxn(r, 128); err != nil {
		return nil, err
	}
	var taken []bool
	a.decide(r, &taken)
	if err := a.refuses(r, slices.Clone(taken), new(int)); err != nil {
		return nil, err
	}
	resp := a.run(r, taken, new(int))
	resp.Header = a.header()
	return resp, nil
}

// endLease deletes what is attached to a lease, and returns how many keys that was.
func (a *attempt) endLease(id int64) (n int) {
	delete(a.leases, id)
	for _, key := range a.attached(id) {
		a.at = a.rev + 1
		delete(a.now, key)
		a.changed[key] = true
		n++
	}
	return n
}

// attached lists the keys that name a lease, in order.
func (a *attempt) attached(id int64) (keys []string) {
	for key, kv := range a.now {
		if kv.Lease == id {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (a *attempt) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: a.at} }

func (a *attempt) refusesPut(r *pb.PutRequest) error {
	if r.Lease != 0 && !a.leases[r.Lease].exists() {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	if (r.IgnoreLease || r.IgnoreValue) && a.now[string(r.Key)] == nil {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

func (a *attempt) put(r *pb.PutRequest) *pb.PutResponse {
	k := string(r.Key)
	old := a.now[k]
	a.at = a.rev + 1
	kv := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, CreateRevision: a.at, ModRevision: a.at, Version: 1, Lease: r.Lease}
	resp := &pb.PutResponse{Header: a.header()}
	if old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if r.IgnoreValue {
			kv.Value = old.Value
		}
		if r.IgnoreLease {
			kv.Lease = old.Lease
		}
		if r.PrevKv {
			resp.PrevKv = old
		}
	}
	a.now[k], a.changed[k] = kv, true
	return resp
}

func (a *attempt) deleteRange(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	resp := &pb.DeleteRangeResponse{}
	for _, kv := range within(a.now, r.Key, r.RangeEnd) {
		a.at = a.rev + 1
		delete(a.now, string(kv.Key))
		a.changed[string(kv.Key)] = true
		resp.Deleted++
		if r.PrevKv {
			resp.PrevKvs = append(resp.PrevKvs, kv)
		}
	}
	resp.Header = a.header()
	return resp
}

// within lists the pairs of a range in key order.
func within(all map[string]*mvccpb.KeyValue, key, end []byte) (kvs []*mvccpb.KeyValue) {
	for _, kv := range all {
		in := bytes.Equal(kv.Key, key)
		if len(end) > 0 {
			in = bytes.Compare(kv.Key, key) >= 0 && (string(end) == "\x00" || bytes.Compare(kv.Key, end) < 0)
		}
		if in {
			kvs = append(kvs, kv)
		}
	}
	sort.Slice(kvs, func(i, j int) bool { return bytes.Compare(kvs[i].Key, kvs[j].Key) < 0 })
	return kvs
}

// decide appends whether r's compares hold, and then those of the transactions in the branch that is taken.
func (a *attempt) decide(r *pb.TxnRequest, taken *[]bool) {
	ok := true
	for _, c := range r.Compare {
		ok = ok && a.holds(c)
	}
	*taken = append(*taken, ok)
	for _, op := range opsOf(r, ok) {
		if t := op.GetRequestTxn(); t != nil {
			a.decide(t, taken)
		}
	}
}

func opsOf(r *pb.TxnRequest, ok bool) []*pb.RequestOp {
	if ok {
		return r.Success
	}
	return r.Failure
}

func (a *attempt) holds(c *pb.Compare) bool {
	kvs := within(a.now, c.Key, c.RangeEnd)
	if len(kvs) == 0 {
		if c.Target == pb.Compare_VALUE {
			return false
		}
		kvs = []*mvccpb.KeyValue{{}}
	}
	for _, kv := range kvs {
		diff := map[pb.Compare_CompareTarget]int{
			pb.Compare_VERSION: cmp.Compare(kv.Version, c.GetVersion()),
			pb.Compare_CREATE:  cmp.Compare(kv.CreateRevision, c.GetCreateRevision()),
			pb.Compare_MOD:     cmp.Compare(kv.ModRevision, c.GetModRevision()),
			pb.Compare_LEASE:   cmp.Compare(kv.Lease, c.GetLease()), // a difference would not fit: a lease may be the least number there is
			pb.Compare_VALUE:   bytes.Compare(kv.Value, c.GetValue()),
		}[c.Target]
		ok := map[pb.Compare_CompareResult]bool{
			pb.Compare_EQUAL: diff == 0, pb.Compare_NOT_EQUAL: diff != 0, pb.Compare_LESS: diff < 0, pb.Compare_GREATER: diff > 0,
		}[c.Result]
		if !ok {
			return false
		}
	}
	return true
}

func (a *attempt) refuses(r *pb.TxnRequest, taken []bool, i *int) error {
	ok := taken[*i]
	*i++
	for _, op := range opsOf(r, ok) {
		var err error
		switch {
		case op.GetRequestPut() != nil:
			err = a.refusesPut(op.GetRequestPut())
		case op.GetRequestTxn() != nil:
			err = a.refuses(op.GetRequestTxn(), taken, i)
		case op.GetRequestRange() != nil:
			if rev := op.GetRequestRange().Revision; rev > a.rev {
				err = rpctypes.ErrGRPCFutureRev
			} else if rev != 0 && rev < a.compacted {
				err = rpctypes.ErrGRPCCompacted
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) run(r *pb.TxnRequest, taken []bool, i *int) *pb.TxnResponse {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: taken[*i]}
	*i++
	for _, op := range opsOf(r, resp.Succeeded) {
		out := &pb.ResponseOp{}
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: a.put(o.RequestPut)}
		case *pb.RequestOp_RequestDeleteRange:
			out.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: a.deleteRange(o.RequestDeleteRange)}
		case *pb.RequestOp_RequestRange:
			all := a.now
			if rev := o.RequestRange.Revision; rev > 0 {
				all = a.history[rev]
			}
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: selected(o.RequestRange, all, a.at)}
		case *pb.RequestOp_RequestTxn:
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: a.run(o.RequestTxn, taken, i)}
		}
		resp.Responses = append(resp.Responses, out)
	}
	return resp
}

func (m *model) rangeOf(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	rev := r.Revision
	switch {
	case rev > m.rev:
		return nil, rpctypes.ErrGRPCFutureRev
	case rev <= 0:
		rev = m.rev
	case rev < m.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	}
	return selected(r, m.history[rev], m.rev), nil
}

// selected answers a range from all pairs of a revision.
func selected(r *pb.RangeRequest, all map[string]*mvccpb.KeyValue, rev int64) *pb.RangeResponse {
	kvs := within(all, r.Key, r.RangeEnd)
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: rev}, Count: int64(len(kvs))}
	if r.CountOnly {
		return resp
	}
	filters := r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
	if early := r.SortOrder == pb.RangeRequest_NONE && !filters; early && r.Limit > 0 && resp.Count > r.Limit {
		kvs = kvs[:r.Limit+1]
	}
	var kept []*mvccpb.KeyValue
	for _, kv := range kvs {
		kv = proto.Clone(kv).(*mvccpb.KeyValue)
		if r.KeysOnly && r.SortTarget != pb.RangeRequest_VALUE {
			kv.Value, kv.Lease = nil, 0
		}
		if (r.MaxModRevision == 0 || kv.ModRevision <= r.MaxModRevision) && (r.MinModRevision == 0 || kv.ModRevision >= r.MinModRevision) &&
			(r.MaxCreateRevision == 0 || kv.CreateRevision <= r.MaxCreateRevision) && (r.MinCreateRevision == 0 || kv.CreateRevision >= r.MinCreateRevision) {
			kept = append(kept, kv)
		}
	}
	less := map[pb.RangeRequest_SortTarget]func(a, b *mvccpb.KeyValue) bool{
		pb.RangeRequest_KEY:     func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 },
		pb.RangeRequest_VERSION: func(a, b *mvccpb.KeyValue) bool { return a.Version < b.Version },
		pb.RangeRequest_CREATE:  func(a, b *mvccpb.KeyValue) bool { return a.CreateRevision < b.CreateRevision },
		pb.RangeRequest_MOD:     func(a, b *mvccpb.KeyValue) bool { return a.ModRevision < b.ModRevision },
		pb.RangeRequest_VALUE:   func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Value, b.Value) < 0 },
	}[r.SortTarget]
	sort.SliceStable(kept, func(i, j int) bool {
		if r.SortOrder == pb.RangeRequest_DESCEND {
			i, j = j, i
		}
		return less(kept[i], kept[j])
	})
	if r.Limit > 0 && int64(len(kept)) > r.Limit {
		kept, resp.More = kept[:r.Limit], true
	}
	for _, kv := range kept {
		if r.KeysOnly {
			kv.Value = nil
		}
	}
	resp.Kvs = kept
	return resp
}
