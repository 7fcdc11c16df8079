package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte("new")}}}
}

func deleteOp(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func txnOp(success, failure []*pb.RequestOp) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: success, Failure: failure}}}
}

func ops(ops ...*pb.RequestOp) []*pb.RequestOp { return ops }

// TestTxnIsValidatedAsEtcdDoes lists branches of a transaction with what etcd 3.7.3 answered to each.
func TestTxnIsValidatedAsEtcdDoes(t *testing.T) {
	duplicate := rpctypes.ErrGRPCDuplicateKey
	for _, c := range []struct {
		name string
		ops  []*pb.RequestOp
		want error
	}{
		{"puts of two keys", ops(putOp("a"), putOp("b")), nil},
		{"two puts of a key", ops(putOp("a"), putOp("a")), duplicate},
		{"a put in a deleted range", ops(deleteOp("a", "c"), putOp("a\x00")), duplicate},
		{"a put beside a deleted range", ops(deleteOp("a", "c"), putOp("c")), nil},
		{"a put in two deleted ranges that touch", ops(deleteOp("a", "c"), deleteOp("c", "d"), putOp("c")), duplicate},
		{"a put within a range that swallows another", ops(deleteOp("a", "z"), deleteOp("b", "c"), putOp("m")), duplicate},
		{"a put of a deleted key", ops(putOp("a"), deleteOp("a", "")), duplicate},
		{"a put next to a deleted key", ops(deleteOp("a", ""), putOp("a\x00")), nil},
		{"deletes that overlap", ops(deleteOp("a", "c"), deleteOp("b", "d")), nil},
		{"a put in a delete without end", ops(deleteOp("a", "\x00"), putOp("b")), nil},
		{"a put in a range whose end is before its key", ops(deleteOp("c", "a"), putOp("b")), nil},
		{"one key in both branches of a nested txn", ops(txnOp(ops(putOp("a")), ops(putOp("a")))), nil},
		{"put and delete in different branches", ops(txnOp(ops(putOp("a")), ops(deleteOp("a", "")))), nil},
		{"a put that a nested branch repeats", ops(txnOp(nil, ops(putOp("a"))), putOp("a")), duplicate},
		{"nested puts of one key", ops(txnOp(ops(putOp("a")), nil), txnOp(nil, ops(putOp("a")))), duplicate},
		{"a nested delete before a nested put", ops(txnOp(ops(deleteOp("a", "")), nil), txnOp(ops(putOp("a")), nil)), duplicate},
		{"a nested put before a nested delete", ops(txnOp(ops(putOp("a")), nil), txnOp(ops(deleteOp("a", "")), nil)), nil},
		{"a nested put in a deleted range", ops(deleteOp("a", "b"), txnOp(ops(putOp("a")), nil)), duplicate},
		{"a put of a key that a nested txn deletes", ops(txnOp(ops(deleteOp("a", "")), nil), putOp("a")), duplicate},
		{"an empty operation", ops(&pb.RequestOp{}), rpctypes.ErrGRPCKeyNotFound},
		{"an empty key", ops(putOp("")), rpctypes.ErrGRPCEmptyKey},
		{"an empty key in a nested txn", ops(txnOp(ops(deleteOp("", "")), nil)), rpctypes.ErrGRPCEmptyKey},
		{"a range that sorts by nothing known", ops(rangeOp(&pb.RangeRequest{Key: []byte("a"), SortTarget: 9})), rpctypes.ErrGRPCInvalidSortOption},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := ValidateTxn(&pb.TxnRequest{Success: c.ops}, 128); err != c.want {
				t.Errorf("as success: %v, want %v", err, c.want)
			}
			if err := ValidateTxn(&pb.TxnRequest{Failure: c.ops}, 128); err != c.want {
				t.Errorf("as failure: %v, want %v", err, c.want)
			}
		})
	}
}

func TestTxnLimitIsOfTheLongestListAndSharedWithWhatIsNested(t *testing.T) {
	long := func(n int) (all []*pb.RequestOp) {
		for i := range n {
			all = append(all, putOp(fmt.Sprint(i)))
		}
		return all
	}
	compares := make([]*pb.Compare, 3)
	for i := range compares {
		compares[i] = &pb.Compare{Key: []byte("a")}
	}
	for _, c := range []struct {
		name string
		txn  *pb.TxnRequest
		want error
	}{
		{"as many as allowed on each list", &pb.TxnRequest{Compare: compares, Success: long(3), Failure: long(3)}, nil},
		{"one more", &pb.TxnRequest{Failure: long(4)}, rpctypes.ErrGRPCTooManyOps},
		{"nested, within what is left", &pb.TxnRequest{Success: ops(txnOp(long(2), nil))}, nil},
		{"nested, beyond what is left", &pb.TxnRequest{Success: ops(txnOp(long(3), nil))}, rpctypes.ErrGRPCTooManyOps},
		{"a compare without a key", &pb.TxnRequest{Compare: []*pb.Compare{{}}}, rpctypes.ErrGRPCEmptyKey},
	} {
		if err := ValidateTxn(c.txn, 3); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRequestsAreValidatedAsEtcdDoes(t *testing.T) {
	key := []byte("a")
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"range without key", ValidateRange(&pb.RangeRequest{}), rpctypes.ErrGRPCEmptyKey},
		{"range in unknown order", ValidateRange(&pb.RangeRequest{Key: key, SortOrder: 7}), rpctypes.ErrGRPCInvalidSortOption},
		{"put without key", ValidatePut(&pb.PutRequest{}), rpctypes.ErrGRPCEmptyKey},
		{"put that ignores the value it has", ValidatePut(&pb.PutRequest{Key: key, Value: key, IgnoreValue: true}), rpctypes.ErrGRPCValueProvided},
		{"put that ignores the lease it has", ValidatePut(&pb.PutRequest{Key: key, Lease: 1, IgnoreLease: true}), rpctypes.ErrGRPCLeaseProvided},
		{"delete without key", ValidateDeleteRange(&pb.DeleteRangeRequest{}), rpctypes.ErrGRPCEmptyKey},
		{"stream without key", ValidateRangeStream(&pb.RangeRequest{}), rpctypes.ErrGRPCEmptyKey},
		{"stream in key order", ValidateRangeStream(&pb.RangeRequest{Key: key, SortOrder: pb.RangeRequest_ASCEND}), nil},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for name, r := range map[string]*pb.RangeRequest{
		"descending": {Key: key, SortOrder: pb.RangeRequest_DESCEND}, "filtered": {Key: key, MinModRevision: 1},
	} {
		if err := ValidateRangeStream(r); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s stream: %v", name, err)
		}
	}
}

func TestCompactAtZeroSucceedsOnce(t *testing.T) {
	f := newFixture(t)
	if f.CompactRevision() != -1 {
		t.Fatalf("fresh store is compacted at %d", f.CompactRevision())
	}
	f.compactTo(0)
	for rev, want := range map[int64]error{0: rpctypes.ErrGRPCCompacted, -1: rpctypes.ErrGRPCCompacted, 2: rpctypes.ErrGRPCFutureRev} {
		if _, err := f.do(&pb.CompactionRequest{Revision: rev}); err != want {
			t.Errorf("then at %d: %v, want %v", rev, err, want)
		}
	}
	// Where etcd would now answer from a cache of revision 0 for ever, this store hashes what there is.
	before := f.hash(0).Hash
	f.put("a", "1")
	if after := f.hash(0); after.Hash == before || after.HashRevision != 2 {
		t.Fatalf("hash is stale: %v", after)
	}
}

// TestHashIsEtcdsWhenTheCompactionWouldKeepNothing: etcd 3.7.3 answered these after put a, compact 2, delete a, put b.
func TestHashIsEtcdsWhenTheCompactionWouldKeepNothing(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	f.compactTo(2)
	f.delete("a")
	for _, when := range []string{"at the current revision", "at an older one"} {
		if got := f.hash(3); got.Hash != 3520211144 || got.CompactRevision != 2 {
			t.Errorf("%s: %v", when, got)
		}
		f.put("b", "2")
	}
	if got := f.hash(4); got.Hash != 308633251 {
		t.Errorf("with a key: %v", got)
	}
}

// TestHashIsEtcdsWhereAllKeysWereMadeAgainInOneTransaction: etcd 3.7.3 answered this after put a, compact 2, and a transaction that deletes from a on and puts a. By its reckoning
// a compaction there would keep nothing.
func TestHashIsEtcdsWhereAllKeysWereMadeAgainInOneTransaction(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	f.compactTo(2)
	if _, err := f.do(&pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a"), Value: []byte("2")}}},
	}}); err != nil {
		t.Fatal(err)
	}
	if got := f.hash(3); got.Hash != 3830745096 {
		t.Errorf("%v", got)
	}
}

func TestHashOfTheStateIsThatOfAnyReplicaWithTheSameLog(t *testing.T) {
	a, b := newFixture(t), newFixture(t)
	defer b.stepping()()
	hash := func(f *fixture) uint32 {
		resp, err := f.Hash(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Hash
	}
	for _, f := range []*fixture{a, b} {
		f.put("k", "1")
		f.put("k", "2")
	}
	before := hash(a)
	for _, f := range []*fixture{a, b} {
		f.compactTo(3)
	}
	a.awaitCompaction()
	if hash(a) != hash(b) || hash(a) == before {
		t.Fatalf("hashes %d and %d, before the compaction %d", hash(a), hash(b), before)
	}
}

func TestKeysOnlyAnswersLackTheValueAndByValueAreSortedByItAllTheSame(t *testing.T) {
	f := newFixture(t)
	f.put("a", "2")
	f.put("b", "1")
	r := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, KeysOnly: true, SortTarget: pb.RangeRequest_VALUE}
	got := f.rangeOf(r)
	if len(got.Kvs) != 2 || string(got.Kvs[0].Key) != "b" || got.Kvs[0].Value != nil || got.Kvs[0].ModRevision != 3 {
		t.Fatalf("got %v", got)
	}
}

func TestCountOnlyIgnoresTheLimit(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 9, 1)
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true, Limit: 2}); got.Count != 9 || got.More {
		t.Fatalf("got %v", got)
	}
}

func TestCompareOfAMissingKeysValueIsFalseWhateverTheResult(t *testing.T) {
	f := newFixture(t)
	for result := range pb.Compare_CompareResult_name {
		c := &pb.Compare{Key: []byte("none"), Target: pb.Compare_VALUE, Result: pb.Compare_CompareResult(result), TargetUnion: &pb.Compare_Value{Value: []byte("x")}}
		if resp := f.must(&pb.TxnRequest{Compare: []*pb.Compare{c}}).(*pb.TxnResponse); resp.Succeeded {
			t.Errorf("%v of a missing value holds", c.Result)
		}
	}
	for target := range pb.Compare_CompareTarget_name {
		if pb.Compare_CompareTarget(target) == pb.Compare_VALUE {
			continue
		}
		c := &pb.Compare{Key: []byte("none"), RangeEnd: []byte{0}, Target: pb.Compare_CompareTarget(target)}
		if resp := f.must(&pb.TxnRequest{Compare: []*pb.Compare{c}}).(*pb.TxnResponse); !resp.Succeeded {
			t.Errorf("%v of a missing key is not zero", c.Target)
		}
	}
}

func TestSecondOfTwoOverlappingDeletesFindsNothing(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	resp := f.must(&pb.TxnRequest{Success: ops(deleteOp("a", ""), deleteOp("a", "b"))}).(*pb.TxnResponse)
	first, second := resp.Responses[0].GetResponseDeleteRange(), resp.Responses[1].GetResponseDeleteRange()
	if first.Deleted != 1 || second.Deleted != 0 || second.Header.Revision != 3 {
		t.Fatalf("got %v", resp)
	}
}

// TestKeyDeletedAndPutByOneCommandSurvivesCompactionThere: etcd 3.7.3 loses such a key when it is compacted at that revision, and
// then crashes when it is read.
func TestKeyDeletedAndPutByOneCommandSurvivesCompactionThere(t *testing.T) {
	f := newFixture(t)
	f.put("b", "old")
	resp := f.must(&pb.TxnRequest{Success: ops(deleteOp("a", "\x00"), putOp("b"))}).(*pb.TxnResponse)
	f.compactTo(resp.Header.Revision)
	f.awaitCompaction()
	kv := f.at(0).Kvs
	if len(kv) != 1 || string(kv[0].Value) != "new" || kv[0].CreateRevision != 3 || kv[0].Version != 1 {
		t.Fatalf("got %v", kv)
	}
	f.compactTo(f.put("c", "x"))
	f.awaitCompaction()
	if versions, _ := f.stored(); len(versions) != 2 || f.at(0).Count != 2 {
		t.Fatalf("left: %v", versions)
	}
}

// TestPutThatIgnoresTheValueOfAKeyDeletedBeforeItInTheTxnPutsNone: etcd 3.7.3 crashes, and again whenever it starts.
func TestPutThatIgnoresTheValueOfAKeyDeletedBeforeItInTheTxnPutsNone(t *testing.T) {
	f := newFixture(t)
	f.put("b", "old")
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b"), IgnoreValue: true, IgnoreLease: true}}}
	f.must(&pb.TxnRequest{Success: ops(deleteOp("a", "\x00"), put)})
	if kv := f.at(0).Kvs; len(kv) != 1 || len(kv[0].Value) != 0 || kv[0].Version != 1 {
		t.Fatalf("got %v", kv)
	}
}

func TestRangeOfANegativeRevisionIsCurrentButInATxnMayBeCompacted(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte("a"), Revision: -5}); got.Count != 1 {
		t.Fatalf("on its own: %v", got)
	}
	for rev, want := range map[int64]error{-1: nil, -5: rpctypes.ErrGRPCCompacted, 3: rpctypes.ErrGRPCFutureRev} {
		_, err := f.Txn(context.Background(), &pb.TxnRequest{Success: ops(rangeOp(&pb.RangeRequest{Key: []byte("a"), Revision: rev}))})
		if err != want {
			t.Errorf("in a txn, at %d: %v, want %v", rev, err, want)
		}
	}
}

func TestLargestLimitIsNoLimit(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 3, 1)
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: math.MaxInt64}); len(got.Kvs) != 3 || got.More {
		t.Fatalf("got %v", got)
	}
}

func TestStreamOfAnInterruptedClientOrRevisionEnds(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 100, 1)
	gone := errors.New("client is gone")
	chunks := 0
	err := f.RangeStream(t.Context(), everything, func(Listing) error {
		if chunks++; chunks == 2 {
			return gone
		}
		return nil
	})
	if err != gone || chunks != 2 || f.Err() != nil {
		t.Fatalf("%d chunks, %v; store %v", chunks, err, f.Err())
	}
	err = f.RangeStream(t.Context(), everything, func(Listing) error {
		f.compactTo(f.put("z", "1"))
		return nil
	})
	if err != rpctypes.ErrGRPCCompacted {
		t.Fatalf("compacted under the stream: %v", err)
	}
}

func TestStreamHoldsOneChunkOfBoundedSize(t *testing.T) {
	f := newFixture(t)
	const size, n = 300 << 10, 12
	for i := range n {
		f.put(fmt.Sprint(i), string(make([]byte, size)))
	}
	keys, chunks := 0, 0
	err := f.RangeStream(t.Context(), everything, func(chunk Listing) error {
		r := &pb.RangeResponse{}
		if err := chunk.mergeInto(r); err != nil {
			return err
		}
		keys += len(r.Kvs)
		chunks++
		if len(r.Kvs)*size > chunkBytes+size {
			t.Errorf("a chunk of %d values", len(r.Kvs))
		}
		return nil
	})
	if err != nil || keys != n || chunks < 3 {
		t.Fatalf("%d keys in %d chunks, %v", keys, chunks, err)
	}
}

// TestStreamOfATargetWithoutAnOrderIsSorted: etcd sorts each chunk by itself, and loses and repeats keys as soon as there are two.
func TestStreamOfATargetWithoutAnOrderIsSorted(t *testing.T) {
	f := newFixture(t)
	const n = 5 * firstChunkKeys
	for i := range n {
		f.put(fmt.Sprintf("%02d", i), fmt.Sprintf("%02d", n-i))
	}
	for target := range pb.RangeRequest_SortTarget_name {
		for _, limit := range []int64{0, 3, n + 1} {
			r := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, SortTarget: pb.RangeRequest_SortTarget(target), Limit: limit}
			merged := &pb.RangeResponse{}
			err := f.RangeStream(t.Context(), r, func(chunk Listing) error { return chunk.mergeInto(merged) })
			if want := f.rangeOf(r); err != nil || !proto.Equal(merged, want) {
				t.Errorf("%v: %v, %v; want %v", r, merged, err, want)
			}
		}
	}
}

func TestOnlyRequestsThatAreCommandsAreEncoded(t *testing.T) {
	if _, err := Encode(&pb.RangeRequest{Key: []byte("a")}); err == nil {
		t.Fatal("a range became a command")
	}
}

func FuzzDecode(f *testing.F) {
	for _, req := range []*pb.TxnRequest{{}, {Success: ops(putOp("a"), deleteOp("b", "\x00"), txnOp(ops(putOp("c")), nil))}} {
		command, err := Encode(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(command)
	}
	f.Add([]byte{byte(kindPut), 0x0a, 1, 'a'})
	f.Add([]byte{byte(kindCompaction), 0x08, 1})
	f.Add([]byte{99})
	for _, u := range []upkeep{leaseRenewal{[]int64{1, -1}}, leaseExpiry{[]expired{{7, 9}}}, clockAdvance{1, 2}, historyTrim{3}} {
		f.Add(u.encode())
	}
	f.Fuzz(func(t *testing.T, command []byte) {
		if isUpkeep(command) {
			u, err := decodeUpkeep(command)
			if err != nil {
				if err != errMalformed {
					t.Fatalf("%v", err)
				}
				return
			}
			if again, err := decodeUpkeep(u.encode()); err != nil || !reflect.DeepEqual(again, u) {
				t.Fatalf("%v is read as %v, %v", u, again, err)
			}
			return
		}
		req, err := decode(command)
		if err != nil {
			if !errors.Is(err, errUnknownKind) && !errors.Is(err, errMalformed) {
				t.Fatalf("%v", err)
			}
			return
		}
		if again, err := Encode(req); err != nil || again[0] != command[0] {
			t.Fatalf("%v is encoded as %x, %v", req, again, err)
		}
		if txn, ok := req.(*pb.TxnRequest); ok {
			if err := ValidateTxn(txn, 128); err != nil && !isAnswer(err) {
				t.Fatalf("%v", err)
			}
		}
	})
}
