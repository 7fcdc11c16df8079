package etcdapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

func TestEveryMethodIsServedAndNoOther(t *testing.T) {
	s := serve(t, nil)
	asked := 0
	for service, info := range s.grpc.GetServiceInfo() {
		for _, method := range info.Methods {
			name := service + "/" + method.Name
			if err := s.invoke(t, "/"+name, method); status.Code(err) == codes.Unimplemented {
				t.Errorf("%s answers %v", name, err)
			}
			asked++
		}
	}
	if want := 52; asked != want { // etcd's 49, and three of health
		t.Errorf("%d methods are registered, not %d", asked, want)
	}
	for _, unknown := range []string{"/etcdserverpb.KV/Nothing", "/v3lockpb.Lock/Nothing", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		if err := s.invoke(t, unknown, grpc.MethodInfo{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s answers %v", unknown, err)
		}
	}
}

// waits are methods that answer when another contender is gone, which may be never.
var waits = map[string]bool{"/v3lockpb.Lock/Lock": true, "/v3electionpb.Election/Campaign": true, "/v3electionpb.Election/Observe": true}

// invoke calls a method with an empty message and returns how its first answer came out.
func (s *serving) invoke(t *testing.T, name string, method grpc.MethodInfo) error {
	t.Helper()
	ctx := t.Context()
	if waits[name] {
		bounded, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		ctx = bounded
	}
	if !method.IsClientStream && !method.IsServerStream {
		return s.conn.Invoke(ctx, name, &emptypb.Empty{}, &emptypb.Empty{})
	}
	desc := &grpc.StreamDesc{ClientStreams: method.IsClientStream, ServerStreams: method.IsServerStream}
	stream, err := s.conn.NewStream(ctx, desc, name)
	if err != nil {
		return err
	}
	first := proto.Message(&emptypb.Empty{})
	if name == pb.Watch_Watch_FullMethodName { // which says nothing before it is asked for something
		first = &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{}}}
	}
	if err := stream.SendMsg(first); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}

func TestStatusTellsOfThisMember(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "k", "v")
	change := func(status synod.Status) synod.Status {
		status.Leader, status.Chosen, status.Applied = 9, 12, 11
		return status
	}
	s.node.status.Store(&change)
	got, err := pb.NewMaintenanceClient(s.conn).Status(t.Context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != "3.7.3" || got.StorageVersion != "3.7.0" || got.Leader != 9 || got.RaftIndex != 12 || got.RaftAppliedIndex != 11 ||
		got.RaftTerm != 5 || got.DbSize <= 0 || got.DbSizeInUse <= 0 || got.DowngradeInfo == nil || len(got.Errors) != 0 {
		t.Errorf("%v", got)
	}
	change = func(status synod.Status) synod.Status {
		status.Leader = 0
		return status
	}
	s.node.status.Store(&change)
	if got, err = pb.NewMaintenanceClient(s.conn).Status(t.Context(), &pb.StatusRequest{}); err != nil || fmt.Sprint(got.Errors) != "[etcdserver: no leader]" {
		t.Errorf("without a leader: %v, %v", got, err)
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "k", "v")
	for _, version := range []string{"3.7", strings.Repeat("3", 65)} {
		s.call(metadata.AppendToOutgoingContext(t.Context(), "client-api-version", version), &pb.RangeRequest{Key: []byte("k")})
	}
	s.call(t.Context(), &pb.PutRequest{})
	s.node.failWith(synod.ErrOverloaded)
	s.call(t.Context(), &pb.PutRequest{Key: []byte("k")})
	s.node.failWith(nil)
	for _, leader := range []paxos.NodeID{7, 7, 0, 7, 8} { // three changes: 7, 7 again after there was none, 8
		s.observer.Events().LeaderChanged(synod.LeaderChange{Leader: leader})
	}
	s.observer.Events().Synced(synod.SyncDone{Duration: 300_000, Bytes: 77})
	if got := get(t, s.web, s.url+"/readyz").status; got != 200 {
		t.Errorf("readyz: %d", got)
	}
	text := "\n" + get(t, s.web, s.url+"/metrics").body
	for _, line := range []string{
		"etcd_server_has_leader 1", "etcd_server_is_leader 1", "etcd_server_is_learner 0", "etcd_server_leader_changes_seen_total 3",
		"etcd_server_proposals_committed_total 2", "etcd_server_proposals_applied_total 2", // the member's publication, and the put
		"etcd_server_proposals_pending 0", "etcd_server_proposals_failed_total 1",
		`etcd_disk_wal_fsync_duration_seconds_bucket{le="0.00025"} 0`, `etcd_disk_wal_fsync_duration_seconds_bucket{le="0.0005"} 1`,
		`etcd_server_request_duration_seconds_count{success="true",type="Put"} 1`,
		`etcd_server_request_duration_seconds_count{success="false",type="Put"} 1`,
		`grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 3`,
		`grpc_server_msg_sent_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="ResourceExhausted",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 0`,
		`etcd_server_healthcheck{name="linearizable_read",type="readyz"} 1`,
		`etcd_server_healthchecks_total{name="linearizable_read",status="success",type="readyz"} 1`,
		`etcd_server_version{server_version="3.7.3"} 1`, `etcd_cluster_version{cluster_version="3.7"} 1`,
		`etcd_server_id{server_id="8e9e05c52164694d"} 1`,
		"etcd_mvcc_put_total 1", "etcd_debugging_mvcc_keys_total 1", "etcd_debugging_mvcc_total_put_size_in_bytes 2", "etcd_disk_wal_write_bytes_total 77",
		`etcd_server_client_requests_total{client_api_version="3.7",type="unary"} 1`,
		`etcd_server_client_requests_total{client_api_version="other",type="unary"} 1`,
		"synod_ballot_round 5", "etcd_debugging_mvcc_current_revision 2", "etcd_debugging_mvcc_compact_revision -1",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, name := range []string{"etcd_mvcc_db_total_size_in_bytes", "etcd_network_client_grpc_received_bytes_total",
		"etcd_network_client_grpc_sent_bytes_total", "process_resident_memory_bytes", "go_goroutines"} {
		if !strings.Contains(text, "\n"+name+" ") || strings.Contains(text, "\n"+name+" 0\n") {
			t.Errorf("no %s, or 0", name)
		}
	}
}
