package kv

import (
	"math"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The functions of this file look at nothing but the request. They return nil or a gRPC status with etcd's text and code.

// noLimit lets a txn have any number of operations.
const noLimit = math.MaxInt

// ValidateRange checks a range request on its own or within a txn.
func ValidateRange(r *pb.RangeRequest) error {
	if len(r.Key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	if _, ok := pb.RangeRequest_SortOrder_name[int32(r.SortOrder)]; !ok {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	if _, ok := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; !ok {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

// ValidateRangeStream checks the request of a range stream.
func ValidateRangeStream(r *pb.RangeRequest) error {
	if err := ValidateRange(r); err != nil {
		return err
	}
	if !inKeyOrder(r) {
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	}
	if filtersRevisions(r) {
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	return nil
}

// ValidatePut checks a put request on its own or within a txn.
func ValidatePut(r *pb.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

// ValidateDeleteRange checks a delete request on its own or within a txn.
func ValidateDeleteRange(r *pb.DeleteRangeRequest) error {
	if len(r.Key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

// ValidateTxn checks a txn with all that is nested in it. maxOps (etcd's --max-txn-ops, 128 by default) bounds its longest list, and
// a nested txn may use what its parent leaves.
func ValidateTxn(r *pb.TxnRequest, maxOps int) error {
	if err := validateOps(r, maxOps); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		if _, err := writesOf(ops); err != nil {
			return err
		}
	}
	return nil
}

func validateOps(r *pb.TxnRequest, maxOps int) error {
	longest := max(len(r.Compare), len(r.Success), len(r.Failure))
	if longest > maxOps {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.Compare {
		if len(c.Key) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if err := validateOp(op, maxOps-longest); err != nil {
				return err
			}
		}
	}
	return nil
}

func validateOp(op *pb.RequestOp, maxOps int) error {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return ValidateRange(o.RequestRange)
	case *pb.RequestOp_RequestPut:
		return ValidatePut(o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return ValidateDeleteRange(o.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return validateOps(o.RequestTxn, maxOps)
	}
	return rpctypes.ErrGRPCKeyNotFound // an empty operation
}

// writes is what a branch of a txn may write, whichever way the txns nested in it go.
type writes struct {
	puts    map[string]struct{}
	deletes intervals
}

// writesOf refuses a branch in which one key may be put twice, or put and deleted. Deletes may overlap, and so may the two
// branches of a nested txn, of which only one is taken. A put in a nested txn before a delete in a later sibling is let through, as in etcd.
func writesOf(ops []*pb.RequestOp) (writes, error) {
	w := writes{puts: map[string]struct{}{}}
	for _, op := range ops {
		if r := op.GetRequestDeleteRange(); r != nil {
			w.deletes = append(w.deletes, intervalOf(r))
		}
	}
	w.deletes.merge()
	for _, op := range ops {
		if r := op.GetRequestTxn(); r != nil {
			if err := w.addNested(r); err != nil {
				return writes{}, err
			}
		}
	}
	for _, op := range ops {
		if r := op.GetRequestPut(); r != nil {
			if err := w.addPut(string(r.Key)); err != nil {
				return writes{}, err
			}
		}
	}
	return w, nil
}

func (w *writes) addPut(key string) error {
	if _, twice := w.puts[key]; twice || w.deletes.contain(key) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	w.puts[key] = struct{}{}
	return nil
}

func (w *writes) addNested(r *pb.TxnRequest) error {
	success, err := writesOf(r.Success)
	if err != nil {
		return err
	}
	failure, err := writesOf(r.Failure)
	if err != nil {
		return err
	}
	for key := range success.puts {
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	for key := range failure.puts {
		if _, both := success.puts[key]; both {
			continue
		}
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	w.deletes = append(append(w.deletes, success.deletes...), failure.deletes...)
	w.deletes.merge()
	return nil
}

// interval is the keys from key up to but not including end. As in etcd a delete without end ("\x00") makes an empty one: such a delete
// may stand beside any put, and the two happen in their order.
type interval struct{ key, end string }

func intervalOf(r *pb.DeleteRangeRequest) interval {
	if len(r.RangeEnd) == 0 {
		return interval{key: string(r.Key), end: string(r.Key) + "\x00"}
	}
	return interval{key: string(r.Key), end: string(r.RangeEnd)}
}

// intervals are in order and apart from one another once they have been merged.
type intervals []interval

func (is *intervals) merge() {
	slices.SortFunc(*is, func(a, b interval) int { return strings.Compare(a.key, b.key) })
	merged := (*is)[:0]
	for _, i := range *is {
		switch n := len(merged); {
		case i.end <= i.key:
		case n > 0 && i.key <= merged[n-1].end:
			merged[n-1].end = max(merged[n-1].end, i.end)
		default:
			merged = append(merged, i)
		}
	}
	*is = merged
}

func (is intervals) contain(key string) bool {
	n, exact := slices.BinarySearchFunc(is, key, func(i interval, key string) int { return strings.Compare(i.key, key) })
	return exact || n > 0 && key < is[n-1].end
}
