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

// RangeStream answers a request that ValidateRangeStream has passed in chunks, each given to send before the next is read; no
// more than one chunk is in memory. All chunks are of one revision, that of the request or the current one when the stream
// began. Merged they are what Range answers: the header, more and count come with the last. A compaction beyond the
// revision ends the stream with rpctypes.ErrGRPCCompacted, an error of send with that error. r is not changed.
// A sort target without an order sorts, so that all of the answer is one chunk and in memory.
func (s *Store) RangeStream(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error {
	if r.CountOnly || r.SortTarget != pb.RangeRequest_KEY {
		resp, err := s.Range(ctx, r)
		if err != nil {
			return err
		}
		return send(resp)
	}
	stream := rangeStream{request: r, span: spanOf(r.Key, r.RangeEnd), left: r.Limit, keys: firstChunkKeys}
	if stream.left <= 0 {
		stream.left = math.MaxInt64
	}
	for {
		var chunk *pb.RangeResponse
		err := s.readFor(ctx, r, func(v *view) (err error) {
			chunk, err = stream.next(ctx, v)
			return err
		})
		if err != nil {
			return err
		}
		if err := send(chunk); err != nil || chunk.Header != nil {
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
func (t *rangeStream) next(ctx context.Context, v *view) (*pb.RangeResponse, error) {
	want := t.request.Revision
	if t.current == 0 {
		t.current = v.revision
	} else {
		want = t.main
	}
	main, err := v.readable(want)
	if err != nil {
		return nil, err
	}
	t.main = main
	kvs, more, err := v.collect(ctx, t.span, main, t.request, limits{keys: min(t.keys, t.left), bytes: chunkBytes})
	if err != nil {
		return nil, err
	}
	chunk := &pb.RangeResponse{Kvs: kvs}
	t.sent += int64(len(kvs))
	t.left -= int64(len(kvs))
	t.keys = min(2*t.keys, chunkKeysMax)
	if more {
		t.span = t.span.beyond(kvs[len(kvs)-1].Key)
		if t.left > 0 {
			return chunk, nil
		}
	}
	chunk.Header = &pb.ResponseHeader{Revision: t.current}
	chunk.More = more
	chunk.Count = t.sent
	if more {
		rest, err := v.count(ctx, t.span, main)
		if err != nil {
			return nil, err
		}
		chunk.Count += rest
	}
	return chunk, nil
}

// beyond returns what is left of a span after key.
func (s span) beyond(key []byte) span {
	s.key = append(append([]byte(nil), key...), 0)
	s.lower = appendPrefix(nil, s.key)
	return s
}
