package kv

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestWhatIsExecutedIsCounted(t *testing.T) {
	f := newFixture(t)
	put := func(key string, lease int64) *pb.PutRequest {
		return &pb.PutRequest{Key: []byte(key), Value: []byte("12345"), Lease: lease}
	}
	f.do(&pb.LeaseGrantRequest{ID: 7, TTL: 60})
	f.do(&pb.LeaseGrantRequest{ID: 7, TTL: 60}) // is refused, and so not counted
	f.do(put("a", 7))
	f.do(put("b", 7))
	f.do(put("c", 0))
	f.do(&pb.DeleteRangeRequest{Key: []byte("c")})
	f.do(&pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put("d", 0)}}}})
	if keys := f.Keys(); keys != 3 {
		t.Errorf("%d keys, want 3", keys)
	}
	f.do(&pb.LeaseRevokeRequest{ID: 7})
	if _, err := f.Range(t.Context(), &pb.RangeRequest{Key: []byte("d")}); err != nil {
		t.Error(err)
	}
	want := Counts{Puts: 4, PutBytes: 4 * 6, Deletes: 3, Txns: 1, Ranges: 1, LeasesGranted: 1, LeasesRevoked: 1}
	if got := f.Counts(); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if keys := f.Keys(); keys != 1 {
		t.Errorf("%d keys at last, want 1", keys)
	}
}
