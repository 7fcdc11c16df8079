package kv

import (
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The limit of a chunk's keys used to be doubled for ever, until it was negative and the store ended with a panic.
func TestAStreamMayHaveAnyNumberOfChunks(t *testing.T) {
	const keys = 70 // each of them a chunk, and more of them than an integer can be doubled
	f := newFixture(t)
	value := strings.Repeat("v", chunkBytes)
	for i := range keys {
		f.put(fmt.Sprintf("k%03d", i), value)
	}
	seen := 0
	err := f.RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}, func(chunk Listing) error {
		whole := &pb.RangeResponse{}
		err := chunk.mergeInto(whole)
		seen += len(whole.Kvs)
		return err
	})
	if seen != keys || err != nil {
		t.Errorf("%d keys, %v; want %d", seen, err, keys)
	}
}
