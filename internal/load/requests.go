package load

import (
	"context"
	"fmt"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Keys are the keys that requests are about: prefix0000000000 and so on.
type Keys struct {
	Prefix string
	Count  int
}

// Key returns key n, 0 to Count-1.
func (k Keys) Key(n int) []byte { return fmt.Appendf(nil, "%s%010d", k.Prefix, n) }

// scattered returns the key that request n is about: each about as often as any other, in no order, the same in every run.
func (k Keys) scattered(n int) []byte { return k.Key(int(mix(uint64(n)) % uint64(k.Count))) }

// mix is the finalizer of SplitMix64: numbers in order go in, numbers in no order come out.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Values are values of one size that cannot be compressed and are mostly not alike.
type Values struct {
	pool []byte
	size int
}

// valueStride is by how much, in bytes, one value's place in the pool differs from the next one's, and variety how many places there are.
const valueStride, variety = 64, 1024

// NewValues makes values of a size in bytes, the same in every run.
func NewValues(size int) Values {
	v := Values{pool: make([]byte, size+valueStride*variety), size: size}
	rand.NewChaCha8([32]byte{}).Read(v.pool) // which never fails
	return v
}

func (v Values) of(n int) []byte {
	first := int(mix(uint64(n))%variety) * valueStride
	return v.pool[first : first+v.size]
}

// Fill puts each key once, in order: request n puts key n modulo their count.
func (t *Target) Fill(keys Keys, values Values) Request {
	return func(ctx context.Context, client, n int) error {
		_, err := t.kvOf(client).Put(t.as(ctx), &pb.PutRequest{Key: keys.Key(n % keys.Count), Value: values.of(n)})
		return err
	}
}

// FillMany is Fill by transactions of size puts.
func (t *Target) FillMany(keys Keys, values Values, size int) Request {
	return func(ctx context.Context, client, n int) error {
		request := new(pb.TxnRequest)
		for i := n * size; i < (n+1)*size && i < keys.Count; i++ {
			put := &pb.PutRequest{Key: keys.Key(i), Value: values.of(i)}
			request.Success = append(request.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
		}
		_, err := t.kvOf(client).Txn(t.as(ctx), request)
		return err
	}
}

// Put puts keys in no order.
func (t *Target) Put(keys Keys, values Values) Request {
	return func(ctx context.Context, client, n int) error {
		_, err := t.kvOf(client).Put(t.as(ctx), &pb.PutRequest{Key: keys.scattered(n), Value: values.of(n)})
		return err
	}
}

// Range reads keys in no order, one at a time: linearizably, or serializably, that is as the member that is asked has them.
func (t *Target) Range(keys Keys, serializable bool) Request {
	return func(ctx context.Context, client, n int) error {
		_, err := t.kvOf(client).Range(t.as(ctx), &pb.RangeRequest{Key: keys.scattered(n), Serializable: serializable})
		return err
	}
}

// Txn makes transactions about keys in no order: if a key has been written less than a billion times, as it always has,
// read it and put it.
func (t *Target) Txn(keys Keys, values Values) Request {
	return func(ctx context.Context, client, n int) error {
		key := keys.scattered(n)
		_, err := t.kvOf(client).Txn(t.as(ctx), &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, Target: pb.Compare_VERSION, Result: pb.Compare_LESS, TargetUnion: &pb.Compare_Version{Version: 1e9}}},
			Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}},
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: values.of(n)}}},
			},
		})
		return err
	}
}
