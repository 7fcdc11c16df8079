package main

import (
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// generator makes requests over a handful of keys, so that they meet one another, and mostly of revisions that exist.
type generator struct {
	*rand.Rand
	revision, compacted int64
	compactions         map[int64]bool
	inTxn, endless      bool
}

var keys = []string{"a", "a\x00", "a\x00\x01", "a\xff", "aa", "b", "b\x00\xff", "c", "k/1", "k/2", "k/3", "\x00", "\x01", "\xff", "\xff\xff"}

func (g *generator) learn(request, response proto.Message) {
	if h, ok := response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.revision = max(g.revision, h.GetHeader().GetRevision())
	}
	if r, ok := request.(*pb.CompactionRequest); ok {
		g.compacted = r.Revision
		g.compactions[r.Revision] = true
	}
}

func (g *generator) next() (string, proto.Message) {
	switch n := g.IntN(100); {
	case n < 28:
		return "put", g.put()
	case n < 37:
		return "delete", g.deleteRange()
	case n < 62:
		// A put that ignores the value or the lease of a key that the same txn has deleted crashes etcd. Only a delete without end gets
		// past its check for that, so a txn has one or the other.
		g.endless = g.IntN(2) == 0
		r := g.txn(3)
		g.inTxn = false
		return "txn", r
	case n < 83:
		return "range", g.ranges()
	case n < 92:
		return "stream", &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), Limit: g.small(), Revision: g.rev(), KeysOnly: g.IntN(4) == 0, CountOnly: g.IntN(4) == 0}
	case n < 95:
		return "compact", &pb.CompactionRequest{Revision: g.compaction(), Physical: true}
	}
	return "hash", &pb.HashKVRequest{Revision: g.hashed()}
}

func (g *generator) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), PrevKv: g.IntN(3) == 0, IgnoreValue: g.IntN(8) == 0, IgnoreLease: g.IntN(8) == 0}
	if g.inTxn && g.endless {
		r.IgnoreValue, r.IgnoreLease = false, false
	}
	if !r.IgnoreValue || g.IntN(8) == 0 {
		r.Value = g.value()
	}
	if g.IntN(20) == 0 {
		r.Lease = 7 // never granted
	}
	return r
}

func (g *generator) deleteRange() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.IntN(2) == 0}
	if g.inTxn && !g.endless && string(r.RangeEnd) == "\x00" {
		r.RangeEnd = g.key()
	}
	return r
}

func (g *generator) ranges() *pb.RangeRequest {
	r := &pb.RangeRequest{
		Key: g.key(), RangeEnd: g.end(), Limit: g.small(), Revision: g.rev(), KeysOnly: g.IntN(4) == 0, CountOnly: g.IntN(6) == 0,
		SortOrder: pb.RangeRequest_SortOrder(g.IntN(3)), SortTarget: pb.RangeRequest_SortTarget(g.IntN(5)),
	}
	if g.IntN(2) == 0 {
		r.SortOrder, r.SortTarget = 0, 0
	}
	if g.IntN(40) == 0 {
		r.SortTarget = 9
	}
	if g.IntN(4) == 0 {
		r.MinModRevision, r.MaxModRevision = g.rev(), g.rev()
	}
	if g.IntN(4) == 0 {
		r.MinCreateRevision, r.MaxCreateRevision = g.rev(), g.rev()
	}
	return r
}

func (g *generator) txn(depth int) *pb.TxnRequest {
	g.inTxn = true
	r := &pb.TxnRequest{Success: g.ops(depth), Failure: g.ops(depth)}
	for range g.IntN(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	return r
}

func (g *generator) ops(depth int) (ops []*pb.RequestOp) {
	for range g.IntN(4) {
		op := &pb.RequestOp{}
		switch n := g.IntN(40); {
		case n < 15:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: g.put()}
		case n < 22:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRange()}
		case n < 31 || depth == 0:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: g.ranges()}
		case n < 39:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}
		}
		ops = append(ops, op)
	}
	return ops
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.IntN(4)), Target: pb.Compare_CompareTarget(g.IntN(5))}
	if g.IntN(3) == 0 {
		c.RangeEnd = g.end()
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: g.small()}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.rev()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.rev()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(g.IntN(2))}
	}
	if g.IntN(10) == 0 {
		c.TargetUnion = nil
	}
	return c
}

func (g *generator) key() []byte {
	if g.IntN(50) == 0 {
		return nil
	}
	return []byte(keys[g.IntN(len(keys))])
}

func (g *generator) end() []byte {
	switch g.IntN(4) {
	case 0:
		return nil
	case 1:
		return []byte{0}
	}
	return g.key()
}

func (g *generator) value() []byte { return []byte("value")[:g.IntN(6)] }

func (g *generator) small() int64 { return int64(g.IntN(6)) - 1 }

// rev is mostly the current revision or one that can be read.
func (g *generator) rev() int64 {
	switch n := g.IntN(12); {
	case n < 5:
		return 0
	case n < 10:
		return max(g.compacted, g.revision-g.Int64N(20))
	case n == 10:
		return g.revision - g.Int64N(g.revision+4)
	}
	return g.revision + g.Int64N(4)
}

func (g *generator) compaction() int64 {
	if g.IntN(8) == 0 {
		return g.rev()
	}
	return g.revision - g.Int64N(6)
}

// hashed is never a revision of a compaction, for which etcd answers from a cache made before it deleted anything.
func (g *generator) hashed() int64 {
	rev := g.rev()
	if rev <= 0 {
		rev = g.revision
	}
	for g.compactions[rev] {
		rev++
	}
	return rev
}
