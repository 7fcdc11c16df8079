package kv

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// TestAPairIsEncodedAsProtobufDoes compares bytes, so that a client that looks at them sees no difference.
func TestAPairIsEncodedAsProtobufDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64())
		var encoded encodedPairs
		want := &pb.RangeResponse{}
		for range rapid.IntRange(0, 20).Draw(t, "pairs") {
			size := rapid.SampledFrom([]int{0, 1, 127, 128, 5000, pairsRoomMax, 2 * pairsRoomMax})
			v := &version{
				key: make([]byte, size.Draw(t, "key")), value: make([]byte, size.Draw(t, "value")), live: true,
				at: revision{main: number.Draw(t, "main")}, created: number.Draw(t, "created"), count: number.Draw(t, "count"), lease: number.Draw(t, "lease"),
			}
			encoded.add(v)
			want.Kvs = append(want.Kvs, v.keyValue())
			clear(v.key) // it is valid until the next one
		}
		b, err := proto.Marshal(want)
		if err != nil {
			t.Fatalf("%v", err)
		}
		all := encoded.all()
		defer all.Free()
		if got := all.Materialize(); !slices.Equal(got, b) {
			t.Fatalf("%d pairs:\n got %x\nwant %x", len(want.Kvs), got, b)
		}
	})
}

// TestALongListIsInMemoryOnce holds the buffers of a list against what is in it.
func TestALongListIsInMemoryOnce(t *testing.T) {
	f := newFixture(t)
	const n = 4000
	for i := range n {
		f.put(fmt.Sprintf("k%04d", i), strings.Repeat("v", 256))
	}
	l, err := f.List(t.Context(), &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Pairs.Free()
	room := 0
	for _, b := range l.Pairs {
		room += cap(b.ReadOnlyData())
	}
	if l.Head.Count != n || len(l.Head.Kvs) > 0 || room > l.Pairs.Len()*21/20+2*pairsRoomMax {
		t.Errorf("%d keys, %d of them in the head, %d bytes in %d of buffers", l.Head.Count, len(l.Head.Kvs), l.Pairs.Len(), room)
	}
}
