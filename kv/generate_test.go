package kv

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// requests draws requests over few keys, some of them with the bytes that the layout treats specially.
type requests struct {
	t   *rapid.T
	rev int64 // revisions are drawn around here
}

var someKeys = [][]byte{
	[]byte("a"), []byte("a\x00"), []byte("a\x00\x01"), []byte("a\x00\xff"), []byte("a\xff"), []byte("b"), []byte("b/1"), []byte("b/2"),
	{0}, {0, 0}, {1}, {0xff}, {0xff, 0xff},
}

func (g requests) n(max int, label string) int { return rapid.IntRange(0, max-1).Draw(g.t, label) }
func (g requests) coin(label string) bool      { return rapid.Bool().Draw(g.t, label) }
func (g requests) key() []byte                 { return rapid.SampledFrom(someKeys).Draw(g.t, "key") }

func (g requests) end() []byte {
	return rapid.OneOf(rapid.Just([]byte(nil)), rapid.Just([]byte{0}), rapid.SampledFrom(someKeys)).Draw(g.t, "end")
}

func (g requests) revision() int64 {
	if g.coin("now") {
		return 0
	}
	return rapid.Int64Range(max(g.rev-12, -1), g.rev+1).Draw(g.t, "revision")
}

func (g requests) command() proto.Message {
	switch n := g.n(20, "command"); {
	case n < 9:
		return g.put()
	case n < 12:
		return g.deleteRange()
	case n < 16:
		return g.txn(2)
	case n < 18:
		return &pb.LeaseGrantRequest{ID: g.lease(), TTL: rapid.SampledFrom([]int64{1, 60, LeaseTTLMax, LeaseTTLMax + 1}).Draw(g.t, "ttl")}
	case n < 19:
		return &pb.LeaseRevokeRequest{ID: g.lease()}
	}
	return &pb.CompactionRequest{Revision: rapid.Int64Range(max(g.rev-8, 0), g.rev+1).Draw(g.t, "compact")}
}

func (g requests) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), PrevKv: g.coin("prev")}
	switch g.n(6, "ignore") {
	case 0:
		r.IgnoreValue = true
	case 1:
		r.IgnoreLease = true
	}
	if !r.IgnoreValue {
		r.Value = rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(g.t, "value")
	}
	if g.n(3, "leased") == 0 {
		r.Lease = g.lease()
	}
	return r
}

// lease is one of few, with ids that sort differently as numbers and as rows.
func (g requests) lease() int64 {
	return rapid.SampledFrom([]int64{1, 2, -1, math.MinInt64}).Draw(g.t, "lease")
}

func (g requests) deleteRange() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.coin("prev")}
}

func (g requests) ranges() *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), Revision: g.revision(), Limit: int64(g.n(6, "limit")) - 1}
	r.KeysOnly, r.CountOnly = g.n(4, "keys only") == 0, g.n(6, "count only") == 0
	if g.coin("sorted") {
		r.SortOrder = pb.RangeRequest_SortOrder(g.n(3, "order"))
		r.SortTarget = pb.RangeRequest_SortTarget(g.n(5, "target"))
	}
	if g.n(3, "filtered") == 0 {
		r.MinModRevision, r.MaxModRevision = g.revision(), g.revision()
		r.MinCreateRevision, r.MaxCreateRevision = g.revision(), g.revision()
	}
	return r
}

func (g requests) txn(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.n(3, "compares") {
		r.Compare = append(r.Compare, g.compare())
	}
	for _, ops := range []*[]*pb.RequestOp{&r.Success, &r.Failure} {
		for range g.n(4, "ops") {
			*ops = append(*ops, g.op(depth))
		}
	}
	return r
}

func (g requests) op(depth int) *pb.RequestOp {
	switch n := g.n(10, "op"); {
	case n < 4:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
	case n < 6:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRange()}}
	case n < 8 || depth == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.ranges()}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}}
}

func (g requests) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Target: pb.Compare_CompareTarget(g.n(5, "target")), Result: pb.Compare_CompareResult(g.n(4, "result"))}
	if g.coin("ranged") {
		c.RangeEnd = g.end()
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(g.n(3, "version"))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.revision()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.revision()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(g.n(3, "lease"))}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(g.t, "operand")}
	}
	return c
}
