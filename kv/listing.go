package kv

import (
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
)

// Listing is a RangeResponse, or a chunk of a stream of them, whose pairs are encoded already: a pair goes from the database to where it is sent from in one
// copy, and a long list is in memory once.
type Listing struct {
	// Head is all but the pairs, which may be encoded after it; or all there is, if Pairs is nil.
	Head *pb.RangeResponse
	// Pairs are the pairs as fields of a RangeResponse. Whoever has the listing frees them, once.
	Pairs mem.BufferSlice
}

// List is Range, with the pairs encoded if they are answered in the order in which they are stored.
func (s *Store) List(ctx context.Context, r *pb.RangeRequest) (l Listing, err error) {
	if !listed(r) {
		l.Head, err = s.Range(ctx, r)
		return l, err
	}
	s.ranges.Add(1)
	err = s.readFor(ctx, r, func(v *view) error {
		l, err = v.list(ctx, r)
		return err
	})
	return l, err
}

// listed reports whether the answer to a request is pairs, each of which can be sent when it has been read.
func listed(r *pb.RangeRequest) bool {
	return !r.CountOnly && r.SortTarget == pb.RangeRequest_KEY && r.SortOrder != pb.RangeRequest_DESCEND && !filtersRevisions(r)
}

func (v *view) list(ctx context.Context, r *pb.RangeRequest) (Listing, error) {
	main, err := v.readable(r.Revision)
	if err != nil {
		return Listing{}, err
	}
	limit := r.Limit
	if limit <= 0 {
		limit = math.MaxInt64
	}
	s := spanOf(r.Key, r.RangeEnd)
	head := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: v.revision}}
	var encoded encodedPairs
	if head.Count, head.More, err = v.collect(ctx, s, main, r, limits{keys: limit, bytes: math.MaxInt}, encoded.add); err != nil {
		return Listing{}, err
	}
	if head.More {
		if head.Count, err = v.count(ctx, s, main); err != nil {
			return Listing{}, err
		}
	}
	return Listing{Head: head, Pairs: encoded.all()}, nil
}
