package kv

import (
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	firstChunkKeys = 10      // etcd's, so that a client sees the first keys soon
	chunkKeysMax   = 1 << 20 // beyond what chunkBytes can hold
	chunkBytes     = 1 << 20 // of keys and values, give or take one pair
)

// RangeStream answers a request that ValidateRangeStream has passed in chunks, each given to send, which has to free it, before the next is read; no
// more than one chunk is in memory. All chunks are of one revision, that of the request or the current one when the stream
// began. Merged they are what Range answers: the header, more and count come with the last. A compaction beyond the
// revision ends the stream with rpctypes.ErrGRPCCompacted, an error of send with that error. r is not changed.
// A sort target without an order sorts, so that all of the answer is one chunk and in memory.
func (s *Store) RangeStream(ctx context.Context, r *pb.RangeRequest, send func(Listing) error) error {
	if !listed(r) {
		resp, err := s.Range(ctx, r)
		if err != nil {
			return err
		}
		return send(Listing{Head: resp})
	}
	stream := rangeStream{request: r, span: spanOf(r.Key, r.RangeEnd), left: r.Limit, keys: firstChunkKeys}
	if stream.left <= 0 {
		stream.left = math.MaxInt64
	}
	for {
		var chunk Listing
		err := s.readFor(ctx, r, func(v *view) (err error) {
			chunk, err = stream.next(ctx, v)
			return err
		})
		if err != nil {
			return err
		}
		last := chunk.Head.Header != nil
		if err := send(chunk); err != nil || last {
			return err
		}
	}
}

// rangeStream is how far a stream has come.
type rangeStream struct {
	request *pb.RangeRequest
	span    span  // what has not been sent
	left    int64 // how many keys the limit still allows
	keys    int64 // limit of the next chunk, doubled from one to the next
	sent    int64
	main    int64 // the revision that is read
	current int64 // the current revision when the stream began
}

// next reads a chunk. Only the last has a header.
func (t *rangeStream) next(ctx context.Context, v *view) (Listing, error) {
	want := t.request.Revision
	if t.current == 0 {
		t.current = v.revision
	} else {
		want = t.main
	}
	main, err := v.readable(want)
	if err != nil {
		return Listing{}, err
	}
	t.main = main
	var chunk encodedPairs
	n, more, err := v.collect(ctx, t.span, main, t.request, limits{keys: min(t.keys, t.left), bytes: chunkBytes}, chunk.add)
	if err != nil {
		return Listing{}, err
	}
	head := &pb.RangeResponse{}
	t.sent += n
	t.left -= n
	t.keys = min(2*t.keys, chunkKeysMax)
	if more {
		t.span = t.span.beyond(chunk.last)
		if t.left > 0 {
			return Listing{Head: head, Pairs: chunk.all()}, nil
		}
	}
	head.Header = &pb.ResponseHeader{Revision: t.current}
	head.More = more
	head.Count = t.sent
	if more {
		rest, err := v.count(ctx, t.span, main)
		if err != nil {
			return Listing{}, err
		}
		head.Count += rest
	}
	return Listing{Head: head, Pairs: chunk.all()}, nil
}

// beyond returns what is left of a span after key.
func (s span) beyond(key []byte) span {
	s.key = append(append([]byte(nil), key...), 0)
	s.lower = appendPrefix(nil, s.key)
	return s
}
