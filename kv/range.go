package kv

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Range answers a request that ValidateRange has passed, from one instant: the state that the last Apply to return has
// left, or a later one. Any goroutine may call it. The header holds the current revision and nothing else.
func (s *Store) Range(ctx context.Context, r *pb.RangeRequest) (resp *pb.RangeResponse, err error) {
	s.ranges.Add(1)
	err = s.readFor(ctx, r, func(v *view) error {
		resp, err = v.rangeKeys(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// readable returns the main revision to read at for a request's revision, of which 0 and less mean the current one.
func (v *view) readable(rev int64) (int64, error) {
	switch {
	case rev > v.revision:
		return 0, rpctypes.ErrGRPCFutureRev
	case rev <= 0:
		return v.revision, nil
	case rev < v.compacted:
		return 0, rpctypes.ErrGRPCCompacted
	}
	return rev, nil
}

func (v *view) rangeKeys(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	main, err := v.readable(r.Revision)
	if err != nil {
		return nil, err
	}
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: v.revision}}
	s := spanOf(r.Key, r.RangeEnd)
	if r.CountOnly {
		resp.Count, err = v.count(ctx, s, main)
		return resp, err
	}
	fetch := int64(math.MaxInt64)
	if cutsEarly(r) && r.Limit < fetch {
		fetch = r.Limit + 1
	}
	var kvs []*mvccpb.KeyValue
	var made pairs
	n, more, err := v.collect(ctx, s, main, r, limits{keys: fetch, bytes: math.MaxInt}, func(ver *version) { kvs = append(kvs, made.of(ver)) })
	if err != nil {
		return nil, err
	}
	resp.Count = n
	if more {
		if resp.Count, err = v.count(ctx, s, main); err != nil {
			return nil, err
		}
	}
	kvs = slices.DeleteFunc(kvs, func(kv *mvccpb.KeyValue) bool { return filteredOut(r, kv) })
	sortBy(r, kvs)
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs, resp.More = kvs[:r.Limit], true
	}
	resp.Kvs = kvs
	if r.KeysOnly {
		for _, kv := range resp.Kvs {
			kv.Value = nil
		}
	}
	return resp, nil
}

// limits end a collection early.
type limits struct {
	keys  int64
	bytes int // of keys and values; one pair is collected however large it is
}

// collect gives the live pairs of a span to add, which must copy what it keeps. It returns how many there were, and whether there are more.
func (v *view) collect(ctx context.Context, s span, main int64, r *pb.RangeRequest, l limits, add func(*version)) (n int64, more bool, err error) {
	size := 0
	for ver, err := range v.versions(ctx, s, main) {
		if err != nil {
			return n, false, err
		}
		if !ver.live {
			continue
		}
		if n >= l.keys || size >= l.bytes {
			return n, true, nil
		}
		if r.KeysOnly && r.SortTarget != pb.RangeRequest_VALUE {
			ver.value, ver.lease = nil, 0 // etcd 3.7 serves these from its index, which does not know the lease
		}
		add(&ver)
		n++
		size += len(ver.key) + len(ver.value)
	}
	return n, false, nil
}

// cutsEarly reports whether a range ends once it has its limit and one more. An order of NONE does so whatever the target: etcd then
// sorts the first keys, not all of them.
func cutsEarly(r *pb.RangeRequest) bool {
	return r.Limit > 0 && inKeyOrder(r) && !filtersRevisions(r)
}

// inKeyOrder reports whether a request is answered in the order in which keys are stored, as far as etcd's limits and streams go.
func inKeyOrder(r *pb.RangeRequest) bool {
	return r.SortOrder == pb.RangeRequest_NONE ||
		r.SortTarget == pb.RangeRequest_KEY && r.SortOrder == pb.RangeRequest_ASCEND
}

func filtersRevisions(r *pb.RangeRequest) bool {
	return r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
}

func filteredOut(r *pb.RangeRequest, kv *mvccpb.KeyValue) bool {
	return r.MaxModRevision != 0 && kv.ModRevision > r.MaxModRevision ||
		r.MinModRevision != 0 && kv.ModRevision < r.MinModRevision ||
		r.MaxCreateRevision != 0 && kv.CreateRevision > r.MaxCreateRevision ||
		r.MinCreateRevision != 0 && kv.CreateRevision < r.MinCreateRevision
}

// sortBy sorts by the target, ties in key order. A target other than the key with no order given means ascending.
func sortBy(r *pb.RangeRequest, kvs []*mvccpb.KeyValue) {
	if r.SortTarget == pb.RangeRequest_KEY && r.SortOrder != pb.RangeRequest_DESCEND {
		return
	}
	compare := func(a, b *mvccpb.KeyValue) int {
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
	if r.SortOrder == pb.RangeRequest_DESCEND {
		slices.SortStableFunc(kvs, func(a, b *mvccpb.KeyValue) int { return compare(b, a) })
		return
	}
	slices.SortStableFunc(kvs, compare)
}
