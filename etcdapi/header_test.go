package etcdapi

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func TestEachHeaderIsFilledAsEtcdFillsIt(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "k", "v") // revision 2
	k := []byte("k")
	kv, cluster, maintenance := s.kv(), pb.NewClusterClient(s.conn), pb.NewMaintenanceClient(s.conn)
	ctx := t.Context()
	stream := func() (*pb.ResponseHeader, error) {
		chunks, err := kv.RangeStream(ctx, &pb.RangeRequest{Key: k})
		if err != nil {
			return nil, err
		}
		chunk, err := chunks.Recv()
		return chunk.GetRangeResponse().GetHeader(), err
	}
	for _, c := range []struct {
		name     string
		ask      func() (*pb.ResponseHeader, error)
		revision int64
	}{
		{"Range", func() (*pb.ResponseHeader, error) {
			r, err := kv.Range(ctx, &pb.RangeRequest{Key: k, Revision: 1})
			return r.GetHeader(), err
		}, 2},
		{"RangeStream", stream, 2},
		{"read-only Txn", func() (*pb.ResponseHeader, error) {
			r, err := kv.Txn(ctx, &pb.TxnRequest{})
			return r.GetHeader(), err
		}, 2},
		{"Put", func() (*pb.ResponseHeader, error) {
			r, err := kv.Put(ctx, &pb.PutRequest{Key: k})
			return r.GetHeader(), err
		}, 3},
		{"DeleteRange", func() (*pb.ResponseHeader, error) {
			r, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: k})
			return r.GetHeader(), err
		}, 4},
		{"DeleteRange of nothing", func() (*pb.ResponseHeader, error) {
			r, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: k})
			return r.GetHeader(), err
		}, 4},
		{"Txn", func() (*pb.ResponseHeader, error) {
			r, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k}}}}})
			return r.GetHeader(), err
		}, 5},
		{"Compact", func() (*pb.ResponseHeader, error) {
			r, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: 3, Physical: true})
			return r.GetHeader(), err
		}, 5},
		{"MemberList", func() (*pb.ResponseHeader, error) {
			r, err := cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
			return r.GetHeader(), err
		}, 0},
		{"Status", func() (*pb.ResponseHeader, error) {
			r, err := maintenance.Status(ctx, &pb.StatusRequest{})
			return r.GetHeader(), err
		}, 5},
		{"HashKV", func() (*pb.ResponseHeader, error) {
			r, err := maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: 4})
			return r.GetHeader(), err
		}, 5},
		{"Hash", func() (*pb.ResponseHeader, error) {
			r, err := maintenance.Hash(ctx, &pb.HashRequest{})
			return r.GetHeader(), err
		}, 5},
		{"Alarm", func() (*pb.ResponseHeader, error) {
			r, err := maintenance.Alarm(ctx, &pb.AlarmRequest{})
			return r.GetHeader(), err
		}, 5},
	} {
		got, err := c.ask()
		want := &pb.ResponseHeader{ClusterId: testCluster, MemberId: uint64(testMember), RaftTerm: 5, Revision: c.revision}
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: header %v, not %v; %v", c.name, got, want, err)
		}
	}
	if r, err := maintenance.Defragment(ctx, &pb.DefragmentRequest{}); err != nil || r.Header != nil {
		t.Errorf("Defragment: %v, %v", r, err)
	}
}

func TestHeadersInsideATransactionCarryTheRevisionAlone(t *testing.T) {
	s := serve(t, nil)
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
	nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{}}}
	got, err := s.kv().Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{put, read, nested}})
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range []*pb.ResponseHeader{
		got.Responses[0].GetResponsePut().GetHeader(),
		got.Responses[1].GetResponseRange().GetHeader(),
		got.Responses[2].GetResponseTxn().GetHeader(),
	} {
		want := &pb.ResponseHeader{Revision: []int64{2, 2, 0}[i]}
		if !proto.Equal(h, want) {
			t.Errorf("operation %d: header %v, not %v", i, h, want)
		}
	}
}
