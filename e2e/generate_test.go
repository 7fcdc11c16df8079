package e2e

import (
	"bytes"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// keys are few, so that requests meet; among them are all bytes that make trouble: 0, 255, a key that is another's prefix.
var keys = func() (keys [][]byte) {
	for _, k := range []string{
		"\x00", "\x00\x00", "\x00\x01", "\xff", "\xff\xff", "a", "a\x00", "a\x00b", "a\x01", "a\xff", "aa", "aaa", "ab", "b", "b\x00\xff",
		"c", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "d", "e", "f/1", "f/2", "f/3", "f0", "z",
	} {
		keys = append(keys, []byte(k))
	}
	return keys
}()

// generator makes requests for keys and leases from a seed and from what the servers last said of their revisions, and nothing else.
type generator struct {
	*rand.Rand
	serializable bool // half of the reads are; otherwise none

	revision  int64 // the servers' revision
	compacted int64 // where they were last compacted
	enforced  bool  // users are

	corrupt map[uint64]bool // for which members CORRUPT is raised

	compactions map[int64]bool // at which revisions there has been a compaction
}

func newGenerator(seed uint64, serializable bool) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0)), serializable: serializable, revision: 1, compactions: map[int64]bool{}, corrupt: map[uint64]bool{}}
}

func (g *generator) next() request {
	switch n := g.IntN(1000); {
	case n < 300:
		return request{Message: g.put()}
	case n < 360:
		return request{Message: g.deleteRange()}
	case n < 420:
		return request{Message: g.leaseRequest()}
	case n < 620:
		return request{Message: g.rangeKeys()}
	case n < 680:
		return request{Message: g.streamed(), stream: true}
	case n < 990:
		return request{Message: g.txn(g.mix(), 3)}
	case n < 998:
		return request{Message: g.compaction()}
	}
	return request{Message: g.oversized()}
}

func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func (g *generator) key() []byte {
	if g.oneIn(200) {
		return nil // must be refused
	}
	return keys[g.IntN(len(keys))]
}

// span returns a key and a range end of every form, the empty and the inverted one among them.
func (g *generator) span() (key, end []byte) {
	key = g.key()
	switch g.IntN(6) {
	case 0:
		return key, nil
	case 1:
		return key, []byte{0}
	case 2:
		return []byte{0}, []byte{0}
	case 3:
		return key, prefixEnd(key)
	}
	if end = g.key(); g.enforced {
		return ordered(key, end)
	}
	return key, end
}

// ordered makes a range that ends before it begins begin there. Whether etcd permits such a range, or what one in a permission permits, depends on the shape of a tree of its own.
func ordered(key, end []byte) (k, e []byte) {
	if len(end) > 0 && !bytes.Equal(end, []byte{0}) && bytes.Compare(end, key) < 0 {
		return end, key
	}
	return key, end
}

func prefixEnd(key []byte) []byte {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] < 0xff {
			end := bytes.Clone(key[:i+1])
			end[i]++
			return end
		}
	}
	return []byte{0}
}

// value is short and often repeated, and now and then long enough for a list to fill several chunks of a stream.
func (g *generator) value() []byte {
	switch {
	case g.oneIn(300):
		return bytes.Repeat([]byte{'v'}, g.IntN(200_000))
	case g.oneIn(8):
		return nil
	}
	return []byte{'v', byte('0' + g.IntN(6))}
}

// near returns a revision around those that matter: 0, the compacted and the current one, and all in between.
func (g *generator) near() int64 {
	switch g.IntN(8) {
	case 0:
		return g.compacted + g.Int64N(5) - 2
	case 1:
		return g.revision + g.Int64N(5) - 2
	case 2:
		return -g.Int64N(3)
	}
	return g.compacted + g.Int64N(max(1, g.revision-g.compacted)+1)
}

func (g *generator) bit() bool { return g.oneIn(2) }

func (g *generator) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.oneIn(4)}
	switch g.IntN(40) {
	case 0:
		r.IgnoreValue = true // refused, unless the value happens to be empty
	case 1, 2:
		r.IgnoreValue, r.Value = true, nil
	case 3, 4, 5:
		r.IgnoreLease = true
	case 6:
		r.IgnoreLease, r.Lease = true, g.lease() // refused, unless the lease is none
	case 7, 8, 9, 10, 11, 12, 13, 14, 15:
		r.Lease = g.lease()
	}
	return r
}

func (g *generator) deleteRange() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{PrevKv: g.bit()}
	if r.Key, r.RangeEnd = g.key(), nil; g.oneIn(4) {
		r.Key, r.RangeEnd = g.span()
	}
	return r
}

func (g *generator) rangeKeys() *pb.RangeRequest {
	r := &pb.RangeRequest{Serializable: g.bit() && g.serializable}
	r.Key, r.RangeEnd = g.span()
	if g.oneIn(3) {
		r.Revision = g.near()
	}
	if g.oneIn(3) {
		r.Limit = g.Int64N(int64(len(keys))) - 1
	}
	if g.oneIn(4) {
		r.SortTarget = pb.RangeRequest_SortTarget(g.IntN(5))
		r.SortOrder = pb.RangeRequest_SortOrder(g.IntN(3))
	}
	if g.oneIn(100) {
		r.SortTarget = 9
	}
	if g.oneIn(100) {
		r.SortOrder = -1
	}
	r.KeysOnly, r.CountOnly = g.oneIn(6), g.oneIn(8)
	for _, filter := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.oneIn(15) {
			*filter = g.near()
		}
	}
	return r
}

// streamed leaves one thing out: a target without an order. Etcd takes that for the order of keys, then sorts each chunk by the target
// and goes on behind the key that comes last, so that keys are lost or come twice. Within a first chunk both answer the same, which etcd's own suite tries.
func (g *generator) streamed() *pb.RangeRequest {
	r := g.rangeKeys()
	if r.SortOrder == pb.RangeRequest_NONE {
		r.SortTarget = pb.RangeRequest_KEY
	}
	return r
}

// compaction is usually a step forward, so that history stays long enough to be read.
func (g *generator) compaction() *pb.CompactionRequest {
	r := &pb.CompactionRequest{Physical: g.bit()}
	switch g.IntN(12) {
	case 0:
		r.Revision = g.near()
	case 1:
		r.Revision = g.revision - g.Int64N(3)
	default:
		r.Revision = g.compacted + g.Int64N(max(1, g.revision-g.compacted)/2+1)
	}
	return r
}

// oversized is around one of the two limits: that of a request, or that of a message on the wire. The exact limit of a request depends on
// an ID that etcd puts beside it and is left alone.
func (g *generator) oversized() proto.Message {
	const requestMax, wireMax = 1536 << 10, 2 << 20
	size := requestMax - 200
	switch g.IntN(4) {
	case 0:
		size = requestMax + 1
	case 1:
		size = wireMax - 200
	case 2:
		size = wireMax + 1
	}
	put := &pb.PutRequest{Key: []byte("z"), Value: bytes.Repeat([]byte{'z'}, size)}
	if g.bit() {
		return put
	}
	return &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}}}
}

// mix is what the operations of a transaction may be.
//
// Where there are puts, a delete does not go on to the end of all keys (a range that ends in "\x00"): etcd's checks let a put of one of its keys pass then, and such a transaction brings
// etcd down: at once, and again at each start, if the put is to keep the value; else when the key is read after a compaction at that revision.
type mix struct {
	puts, deletes bool
	ignoring      bool // puts may keep the value or the lease of a key, and must find it; they do not mix with deletes
}

func (g *generator) mix() mix {
	switch g.IntN(6) {
	case 0:
		return mix{}
	case 5:
		return mix{deletes: true}
	case 1, 2:
		return mix{puts: true, ignoring: true}
	}
	return mix{puts: true, deletes: true}
}

func (g *generator) txn(m mix, depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.IntN(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	for _, branch := range []*[]*pb.RequestOp{&r.Success, &r.Failure} {
		for range g.operations() {
			*branch = append(*branch, g.operation(m, depth))
		}
	}
	return r
}

// operations is how many operations a branch gets: few, or now and then about as many as are allowed.
func (g *generator) operations() int {
	if g.oneIn(150) {
		return 126 + g.IntN(5)
	}
	return g.IntN(4)
}

func (g *generator) operation(m mix, depth int) *pb.RequestOp {
	switch n := g.IntN(100); {
	case n < 35 && m.puts:
		put := g.put()
		if !m.ignoring {
			put.IgnoreValue, put.IgnoreLease = false, false
		}
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	case n < 50 && m.deletes:
		del := g.deleteRange()
		if m.puts && bytes.Equal(del.RangeEnd, []byte{0}) {
			del.RangeEnd = nil
		}
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del}}
	case n < 70 && m.puts && depth > 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(m, depth-1)}}
	case n == 99:
		return &pb.RequestOp{} // must be refused
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.rangeKeys()}}
}

// compare makes comparisons of every target and result, with the operand that goes with the target or, rarely, another.
func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{
		Result: pb.Compare_CompareResult(g.IntN(4)),
		Target: pb.Compare_CompareTarget(g.IntN(5)),
	}
	if c.Key = g.key(); g.oneIn(5) {
		c.Key, c.RangeEnd = g.span()
	}
	operand := c.Target
	if g.oneIn(30) {
		operand = pb.Compare_CompareTarget(g.IntN(6))
	}
	switch operand {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: g.Int64N(4)}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.operand()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.operand()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: g.lease()}
	}
	if g.oneIn(60) {
		c.Result = 7
	}
	if g.oneIn(60) {
		c.Target = 7
	}
	return c
}

func (g *generator) operand() int64 {
	if g.bit() {
		return 0
	}
	return g.near()
}
