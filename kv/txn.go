package kv

import (
	"bytes"
	"cmp"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// branch is the side that a transaction takes, with those of the transactions nested in it in order. All are chosen before
// anything is changed.
type branch struct {
	succeeded bool
	ops       []*pb.RequestOp
	nested    []*branch
}

// choose evaluates all compares of a transaction and of those nested in the branches that are taken.
func (v *view) choose(ctx context.Context, r *pb.TxnRequest) (*branch, error) {
	ok, err := v.compareAll(ctx, r.Compare)
	if err != nil {
		return nil, err
	}
	b := &branch{succeeded: ok, ops: r.Failure}
	if ok {
		b.ops = r.Success
	}
	for _, op := range b.ops {
		if t, is := op.Request.(*pb.RequestOp_RequestTxn); is {
			inner, err := v.choose(ctx, t.RequestTxn)
			if err != nil {
				return nil, err
			}
			b.nested = append(b.nested, inner)
		}
	}
	return b, nil
}

// check refuses a transaction, before it has changed anything, if any operation on the branches that it takes would fail.
// What is readable is decided by the compaction that the log has ordered, never by what has been deleted here.
func (v *view) check(b *branch) error {
	nested := b.nested
	for _, op := range b.ops {
		var err error
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = v.checkRevision(o.RequestRange.Revision)
		case *pb.RequestOp_RequestPut:
			err = v.checkPut(o.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = v.check(nested[0])
			nested = nested[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRevision is etcd's rule for a range within a transaction. Unlike a range of its own it may be refused a negative revision.
func (v *view) checkRevision(rev int64) error {
	switch {
	case rev == 0:
		return nil
	case rev > v.revision:
		return rpctypes.ErrGRPCFutureRev
	case rev < v.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

// txn executes a transaction: compares, checks, then effects in order, each seeing those before it.
func (w *writer) txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	b, err := w.choose(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := w.check(b); err != nil {
		return nil, err
	}
	resp, err := runBranch(ctx, b, &w.view, w)
	if err != nil {
		return nil, err
	}
	resp.Header.Revision = w.revision
	return resp, nil
}

// runBranch executes the operations of a branch that has been checked. w may be nil if it only reads.
// The header of a nested response stays empty, as in etcd.
func runBranch(ctx context.Context, b *branch, v *view, w *writer) (*pb.TxnResponse, error) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: b.succeeded, Responses: make([]*pb.ResponseOp, len(b.ops))}
	nested := b.nested
	for i, op := range b.ops {
		out := &pb.ResponseOp{}
		var err error
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			var r *pb.RangeResponse
			r, err = v.rangeKeys(ctx, o.RequestRange)
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: r}
		case *pb.RequestOp_RequestPut:
			var r *pb.PutResponse
			r, err = w.put(o.RequestPut)
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: r}
		case *pb.RequestOp_RequestDeleteRange:
			var r *pb.DeleteRangeResponse
			r, err = w.deleteRange(o.RequestDeleteRange)
			out.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: r}
		case *pb.RequestOp_RequestTxn:
			var r *pb.TxnResponse
			r, err = runBranch(ctx, nested[0], v, w)
			nested = nested[1:]
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: r}
		}
		if err != nil {
			return nil, err
		}
		resp.Responses[i] = out
	}
	return resp, nil
}

// IsReadOnly reports whether a transaction consists of ranges only, so that Store.Txn can answer it without the log.
// A nested transaction counts as a write, as in etcd.
func IsReadOnly(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}

// Txn answers a transaction for which IsReadOnly holds, from the latest published state. Any goroutine may call it.
func (s *Store) Txn(ctx context.Context, r *pb.TxnRequest) (resp *pb.TxnResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		b, err := v.choose(ctx, r)
		if err != nil {
			return err
		}
		if err := v.check(b); err != nil {
			return err
		}
		if resp, err = runBranch(ctx, b, v, nil); err != nil {
			return err
		}
		resp.Header.Revision = v.revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (v *view) compareAll(ctx context.Context, compares []*pb.Compare) (bool, error) {
	for _, c := range compares {
		if ok, err := v.compare(ctx, c); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare holds if it holds for every live key it names. If there is none it is made with zeros, except that a
// missing value equals nothing and differs from nothing.
func (v *view) compare(ctx context.Context, c *pb.Compare) (bool, error) {
	found := false
	s := spanOf(c.Key, c.RangeEnd)
	versions := v.versions(ctx, s, v.revision)
	if s.point {
		versions = func(yield func(version, error) bool) {
			yield(v.newest(c.Key, c.Target == pb.Compare_VALUE))
		}
	}
	for ver, err := range versions {
		if err != nil {
			return false, err
		}
		if !ver.live {
			continue
		}
		found = true
		if !holds(c, &ver) {
			return false, nil
		}
	}
	if !found {
		return c.Target != pb.Compare_VALUE && holds(c, &version{}), nil
	}
	return true, nil
}

// holds makes one compare with one version. An operand of another target than the compare's counts as zero; a target or
// result that etcd does not know always holds.
func holds(c *pb.Compare, ver *version) bool {
	var order int
	switch c.Target {
	case pb.Compare_VALUE:
		order = bytes.Compare(ver.value, c.GetValue())
	case pb.Compare_CREATE:
		order = cmp.Compare(ver.created, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(ver.at.main, c.GetModRevision())
	case pb.Compare_VERSION:
		order = cmp.Compare(ver.count, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(ver.lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	}
	return true
}
