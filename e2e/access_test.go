package e2e

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// accessCalls are the calls of every service that etcd and Synod are asked by callers of every kind. Those that would change the cluster are not made by root.
var accessCalls = []struct {
	method  string
	req     proto.Message
	notRoot bool
}{
	{"KV/Range", &pb.RangeRequest{Key: []byte("k")}, false},
	{"KV/Range", &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte{0}}, false},
	{"KV/RangeStream", &pb.RangeRequest{Key: []byte("k")}, false},
	{"KV/Put", &pb.PutRequest{Key: []byte("k")}, false},
	{"KV/Put", &pb.PutRequest{Key: []byte("k"), Lease: 1}, false},
	{"KV/Put", &pb.PutRequest{Key: []byte("k"), Lease: 2}, false},
	{"KV/DeleteRange", &pb.DeleteRangeRequest{Key: []byte("k"), PrevKv: true}, false},
	{"KV/Txn", &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("k")}}}, false},
	{"KV/Compact", &pb.CompactionRequest{Revision: 1}, false},
	{"Watch/Watch", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}}, false},
	{"Watch/Watch", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte{0}}}}, false},
	{"Watch/Watch", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{}}}, false},
	{"Lease/LeaseGrant", &pb.LeaseGrantRequest{ID: 9, TTL: 100}, false},
	{"Lease/LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 1}, false},
	{"Lease/LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 1, Keys: true}, false},
	{"Lease/LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 2, Keys: true}, false},
	{"Lease/LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 3, Keys: true}, false},
	{"Lease/LeaseLeases", &pb.LeaseLeasesRequest{}, false},
	{"Lease/LeaseKeepAlive", &pb.LeaseKeepAliveRequest{ID: 1}, false},
	{"Lease/LeaseKeepAlive", &pb.LeaseKeepAliveRequest{ID: 2}, false},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 1}, true},
	{"Lease/LeaseRevoke", &pb.LeaseRevokeRequest{ID: 3}, false},
	{"Cluster/MemberList", &pb.MemberListRequest{}, false},
	{"Cluster/MemberList", &pb.MemberListRequest{Linearizable: true}, false},
	{"Cluster/MemberAdd", &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}}, true},
	{"Cluster/MemberRemove", &pb.MemberRemoveRequest{ID: 9}, true},
	{"Cluster/MemberUpdate", &pb.MemberUpdateRequest{ID: 9, PeerURLs: []string{"http://127.0.0.1:9"}}, true},
	{"Cluster/MemberPromote", &pb.MemberPromoteRequest{ID: 9}, true},
	{"Maintenance/Status", &pb.StatusRequest{}, false},
	{"Maintenance/Alarm", &pb.AlarmRequest{}, false},
	{"Maintenance/Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}, false},
	{"Maintenance/Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE}, true},
	{"Maintenance/Defragment", &pb.DefragmentRequest{}, false},
	{"Maintenance/Hash", &pb.HashRequest{}, false},
	{"Maintenance/HashKV", &pb.HashKVRequest{}, false},
	{"Maintenance/Snapshot", &pb.SnapshotRequest{}, true},
	{"Maintenance/Downgrade", &pb.DowngradeRequest{Version: "3.6"}, true},
	{"Auth/AuthStatus", &pb.AuthStatusRequest{}, false},
	{"Auth/UserList", &pb.AuthUserListRequest{}, false},
	{"Auth/UserGet", &pb.AuthUserGetRequest{Name: "alice"}, false},
	{"Auth/RoleGet", &pb.AuthRoleGetRequest{Role: "r"}, false},
	{"Auth/RoleGet", &pb.AuthRoleGetRequest{Role: "nothing"}, false},
	{"Auth/RoleList", &pb.AuthRoleListRequest{}, false},
	{"Auth/UserAdd", &pb.AuthUserAddRequest{Name: "alice", Password: "x"}, false},
	{"Auth/AuthEnable", &pb.AuthEnableRequest{}, false},
	{"Auth/AuthDisable", &pb.AuthDisableRequest{}, true},
}

// TestEveryServiceLetsInWhomEtcdLetsIn asks both servers as nobody, with a token that is none, as a user without rights, as one who may do everything with "k", and as root.
func TestEveryServiceLetsInWhomEtcdLetsIn(t *testing.T) {
	servers := [2]server{{connect(t, startEtcd(t, "--bcrypt-cost=4"))}, {connect(t, startSequential(t))}}
	callers := []string{"nobody", "forged", "bob", "alice", "root"}
	var tokens [2]map[string]string
	for i, s := range servers {
		s.prepareAccess(t)
		tokens[i] = map[string]string{"nobody": "", "forged": strings.Repeat("x", 43)}
		for _, user := range callers[2:] {
			login, err := pb.NewAuthClient(s.conn).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: user, Password: "p"})
			if err != nil {
				t.Fatal(err)
			}
			tokens[i][user] = login.Token
		}
	}
	for _, call := range accessCalls {
		for _, caller := range callers {
			if caller == "root" && call.notRoot {
				continue
			}
			want := servers[0].refusal(t, tokens[0][caller], call.method, call.req)
			got := servers[1].refusal(t, tokens[1][caller], call.method, call.req)
			if want != got {
				t.Errorf("%s by %s: etcd says %q, synod %q (%v)", call.method, caller, want, got, brief(call.req))
			}
		}
	}
}

// prepareAccess makes users, a key and leases: 1 is on a key that alice may not touch, 2 on hers, 3 on none.
func (s server) prepareAccess(t *testing.T) {
	t.Helper()
	for _, m := range []proto.Message{
		&pb.AuthUserAddRequest{Name: "root", Password: "p"}, &pb.AuthRoleAddRequest{Name: "root"}, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"},
		&pb.AuthUserAddRequest{Name: "alice", Password: "p"}, &pb.AuthRoleAddRequest{Name: "r"}, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r"},
		&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("k")}},
		&pb.AuthUserAddRequest{Name: "bob", Password: "p"}, &pb.AuthRoleAddRequest{Name: "nothing"}, &pb.AuthUserGrantRoleRequest{User: "bob", Role: "nothing"},
		&pb.AuthEnableRequest{},
	} {
		if _, enable := m.(*pb.AuthEnableRequest); enable {
			s.prepareLeases(t)
		}
		if a := s.call(t.Context(), m); a.err != nil {
			t.Fatalf("%T: %v", m, a.err)
		}
	}
}

func (s server) prepareLeases(t *testing.T) {
	t.Helper()
	for id, key := range map[int64]string{1: "other", 2: "k", 3: ""} {
		_, err := pb.NewLeaseClient(s.conn).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: 1000})
		if err == nil && key != "" {
			_, err = pb.NewKVClient(s.conn).Put(t.Context(), &pb.PutRequest{Key: []byte(key), Lease: id})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// refusal returns how a call is refused for who its caller is, "" if it is not, however it ends then.
func (s server) refusal(t *testing.T, token, method string, req proto.Message) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "token", token)
	}
	err := s.first(ctx, "/etcdserverpb."+method, req)
	for _, refused := range []error{rpctypes.ErrGRPCUserEmpty, rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCUserNotFound} {
		if err != nil && strings.Contains(err.Error(), status.Convert(refused).Message()) {
			return err.Error()
		}
	}
	return ""
}

// first returns how the first answer to a request came out; a watch that is refused says so in its answer.
func (s server) first(ctx context.Context, method string, req proto.Message) error {
	streams := strings.Contains("/Watch/ /RangeStream/ /LeaseKeepAlive/ /Snapshot/", method[strings.LastIndex(method, "/"):]+"/")
	if !streams {
		return s.conn.Invoke(ctx, method, req, &emptypb.Empty{})
	}
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // EOF: the answer says why
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, watch := req.(*pb.WatchRequest); !watch {
		return stream.RecvMsg(&emptypb.Empty{})
	}
	resp := &pb.WatchResponse{}
	if err := stream.RecvMsg(resp); err != nil {
		return err
	}
	if resp.Canceled {
		return errors.New(resp.CancelReason)
	}
	return nil
}
