package etcdapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"synod.dev/synod/etcdapi/v3electionpb"
	"synod.dev/synod/etcdapi/v3lockpb"

	"synod.dev/synod/kv"
)

// cheap makes passwords cost little.
func cheap(c *Config) { c.BcryptCost = 4 }

func (s *serving) auth() pb.AuthClient { return pb.NewAuthClient(s.conn) }

// enable switches authentication on, with root, whose password is "root", and alice, who may read and write "a" and whose password is "alice".
func (s *serving) enable(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	_, err := s.auth().UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "root"})
	must(t, err)
	_, err = s.auth().RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"})
	must(t, err)
	_, err = s.auth().UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	must(t, err)
	_, err = s.auth().UserAdd(ctx, &pb.AuthUserAddRequest{Name: "alice", Password: "alice"})
	must(t, err)
	_, err = s.auth().RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "r"})
	must(t, err)
	_, err = s.auth().RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("a")}})
	must(t, err)
	_, err = s.auth().UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r"})
	must(t, err)
	_, err = s.auth().AuthEnable(ctx, &pb.AuthEnableRequest{})
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// login returns a context that shows a token of a user, whose password is its name.
func (s *serving) login(t testing.TB, user string) context.Context {
	t.Helper()
	return s.loginWith(t, user, user)
}

func (s *serving) loginWith(t testing.TB, user, password string) context.Context {
	t.Helper()
	resp, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: user, Password: password})
	must(t, err)
	return showing(t.Context(), resp.Token)
}

func showing(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token)
}

func (s *serving) put(ctx context.Context, key string) error {
	_, err := s.kv().Put(ctx, &pb.PutRequest{Key: []byte(key)})
	return err
}

func (s *serving) read(ctx context.Context, key string) error {
	_, err := s.kv().Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	return err
}

func TestAServerWithAMethodThatNobodyHasDecidedOnDoesNotStart(t *testing.T) {
	const method = "/etcdserverpb.KV/Put"
	row := accessOf[method]
	delete(accessOf, method)
	defer func() { accessOf[method] = row }()
	server := grpc.NewServer()
	defer server.Stop()
	pb.RegisterKVServer(server, pb.UnimplementedKVServer{})
	if err := checkAccess(server); err == nil || !strings.Contains(err.Error(), "KV/Put") {
		t.Error(err)
	}
	accessOf[method] = row
	if err := checkAccess(server); err != nil {
		t.Error(err)
	}
}

func TestEveryRowOfTheAccessTableIsAMethod(t *testing.T) {
	s := serve(t, cheap)
	for method := range accessOf {
		if s.Server.metrics.methods[method] == nil {
			t.Errorf("%s has a row and is no method", method)
		}
	}
}

// sensible are requests that get past the checks of their form, for methods that check it before they ask who it is.
var sensible = map[string]proto.Message{
	"/etcdserverpb.KV/Range":                &pb.RangeRequest{Key: []byte("b")},
	"/etcdserverpb.KV/RangeStream":          &pb.RangeRequest{Key: []byte("b")},
	"/etcdserverpb.KV/Put":                  &pb.PutRequest{Key: []byte("b")},
	"/etcdserverpb.KV/DeleteRange":          &pb.DeleteRangeRequest{Key: []byte("b")},
	"/etcdserverpb.KV/Txn":                  &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b")}}}}},
	"/etcdserverpb.Auth/UserGet":            &pb.AuthUserGetRequest{Name: "root"},
	"/etcdserverpb.Lease/LeaseTimeToLive":   &pb.LeaseTimeToLiveRequest{ID: 1, Keys: true},
	"/etcdserverpb.Maintenance/Alarm":       &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE},
	"/etcdserverpb.Lease/LeaseKeepAlive":    &pb.LeaseKeepAliveRequest{ID: 1},
	"/etcdserverpb.Watch/Watch":             &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("b")}}},
	"/etcdserverpb.Maintenance/MoveLeader":  &pb.MoveLeaderRequest{TargetID: 1},
	"/etcdserverpb.Cluster/MemberAdd":       &pb.MemberAddRequest{},
	"/etcdserverpb.Auth/RoleGet":            &pb.AuthRoleGetRequest{Role: "root"},
	"/etcdserverpb.Maintenance/Downgrade":   &pb.DowngradeRequest{},
	"/etcdserverpb.Maintenance/Defragment":  &pb.DefragmentRequest{},
	"/v3lockpb.Lock/Unlock":                 &v3lockpb.UnlockRequest{Key: []byte("b")},
	"/v3electionpb.Election/Proclaim":       &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("b"), Lease: 1}},
	"/v3electionpb.Election/Resign":         &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("b")}},
	"/etcdserverpb.Auth/UserChangePassword": &pb.AuthUserChangePasswordRequest{Name: "root", Password: "x"},
}

// TestNoMethodLetsNobodyIn asks every method there is, by nobody (CVE-2026-33413), by who shows a token that is none, and, where that is root's alone, by a user.
func TestNoMethodLetsNobodyIn(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice := s.login(t, "alice")
	for service, info := range s.grpc.GetServiceInfo() {
		for _, method := range info.Methods {
			name := "/" + service + "/" + method.Name
			if accessOf[name] == anyone {
				continue
			}
			if name == "/etcdserverpb.Auth/AuthStatus" {
				must(t, s.ask(t.Context(), name, method))
				continue
			}
			if err := s.ask(t.Context(), name, method); !sameStatus(err, rpctypes.ErrGRPCUserEmpty) {
				t.Errorf("%s, by nobody: %v", name, err)
			}
			if err := s.ask(showing(t.Context(), strings.Repeat("x", 43)), name, method); !sameStatus(err, rpctypes.ErrGRPCInvalidAuthToken) {
				t.Errorf("%s, with a token that is none: %v", name, err)
			}
			if err := s.ask(alice, name, method); accessOf[name] != loggedIn && !harmless[name] && !sameStatus(err, rpctypes.ErrGRPCPermissionDenied) {
				t.Errorf("%s, by a user without the right: %v", name, err)
			}
		}
	}
}

// harmless are methods that a user may call for what their sensible request asks: leases that have no keys.
var harmless = map[string]bool{
	"/etcdserverpb.Lease/LeaseGrant": true, "/etcdserverpb.Lease/LeaseRevoke": true, "/etcdserverpb.Lease/LeaseKeepAlive": true,
	"/etcdserverpb.Lease/LeaseTimeToLive": true, "/etcdserverpb.Lease/LeaseLeases": true,
}

// ask calls a method and returns how its first answer came out; a watch that is refused says so in its answer.
func (s *serving) ask(ctx context.Context, name string, method grpc.MethodInfo) error {
	req := sensible[name]
	if req == nil {
		req = &emptypb.Empty{}
	}
	if !method.IsClientStream && !method.IsServerStream {
		return s.conn.Invoke(ctx, name, req, &emptypb.Empty{})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: method.IsClientStream, ServerStreams: method.IsServerStream}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil {
		return err
	}
	resp := &pb.WatchResponse{}
	if name != "/etcdserverpb.Watch/Watch" {
		return stream.RecvMsg(&emptypb.Empty{})
	}
	if err := stream.RecvMsg(resp); err != nil || !resp.Canceled {
		return err
	}
	for _, refusal := range []error{rpctypes.ErrGRPCUserEmpty, rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCPermissionDenied} {
		if strings.Contains(resp.CancelReason, status.Convert(refusal).Message()) {
			return refusal
		}
	}
	return status.Error(codes.Unknown, resp.CancelReason)
}

func TestAUserMayDoWhatItsRolesGrantAndNoMore(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice, root := s.login(t, "alice"), s.login(t, "root")
	must(t, s.put(alice, "a"))
	must(t, s.read(alice, "a"))
	must(t, s.put(root, "b"))
	for name, err := range map[string]error{"a put": s.put(alice, "b"), "a read": s.read(alice, "b")} {
		if !sameStatus(err, rpctypes.ErrGRPCPermissionDenied) {
			t.Errorf("%s of another key: %v", name, err)
		}
	}
	_, err := s.auth().UserRevokeRole(root, &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "r"})
	must(t, err)
	if err := s.read(alice, "a"); !sameStatus(err, rpctypes.ErrGRPCPermissionDenied) {
		t.Errorf("a read after the role was revoked: %v", err)
	}
	_, err = s.auth().AuthDisable(root, &pb.AuthDisableRequest{})
	must(t, err)
	must(t, s.put(t.Context(), "b"))
}

func TestWhatWouldBeRefusedDoesNotFillTheLog(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice := s.login(t, "alice")
	before := s.node.proposals.Load()
	for _, ctx := range []context.Context{alice, t.Context()} {
		if err := s.put(ctx, "b"); err == nil {
			t.Error("a put was not refused")
		}
		if _, err := s.auth().UserAdd(ctx, &pb.AuthUserAddRequest{Name: "x", Password: "x"}); err == nil {
			t.Error("a user was added")
		}
	}
	if got := s.node.proposals.Load(); got != before {
		t.Errorf("%d proposals of what was refused", got-before)
	}
}

// TestAWriteIsJudgedAgainWhenItIsApplied: the right is revoked while the put is on its way through the log.
func TestAWriteIsJudgedAgainWhenItIsApplied(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice, root := s.login(t, "alice"), s.login(t, "root")
	entered, release := s.hold()
	put := make(chan error, 1)
	go func() { put <- s.put(alice, "a") }()
	<-entered
	s.node.hold.Store(nil)
	_, err := s.auth().UserRevokeRole(root, &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "r"})
	must(t, err)
	release()
	if err := <-put; !sameStatus(err, rpctypes.ErrGRPCAuthOldRevision) {
		t.Errorf("the put that was on its way: %v", err)
	}
}

func TestReadsAskForTheReadIndexBeforeTheyAskForTheRight(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice := s.login(t, "alice")
	before := s.node.reads.Load()
	must(t, s.read(alice, "a"))
	if got := s.node.reads.Load(); got != before+1 {
		t.Errorf("%d read indexes for a read", got-before)
	}
	_, err := s.kv().Range(alice, &pb.RangeRequest{Key: []byte("a"), Serializable: true})
	must(t, err)
	if got := s.node.reads.Load(); got != before+1 {
		t.Error("a serializable read asked for a read index")
	}
}

// TestAWatchWithAnOpenEndNeedsEveryKeyFromItsFirstOn is GHSA-xg4h-6gfc-h4m8: alice may read "a" alone.
func TestAWatchWithAnOpenEndNeedsEveryKeyFromItsFirstOn(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	alice := s.login(t, "alice")
	for end, refused := range map[string]bool{"": false, "\x00": true, "b": true} {
		stream, err := pb.NewWatchClient(s.conn).Watch(alice)
		must(t, err)
		must(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte(end)}}}))
		resp, err := stream.Recv()
		must(t, err)
		if !resp.Created || resp.Canceled != refused || refused && resp.CancelReason != rpctypes.ErrGRPCPermissionDenied.Error() {
			t.Errorf("a watch of [a, %q): %v", end, resp)
		}
	}
}

func TestTheGatewayPassesTokensOn(t *testing.T) {
	s := serve(t, func(c *Config) { c.BcryptCost, c.Gateway = 4, true })
	s.enable(t)
	login, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "alice"})
	must(t, err)
	for token, want := range map[string]int{"": 400, login.Token: 200, "Bearer " + login.Token: 200, login.Token[1:]: 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v3/kv/range", strings.NewReader(`{"key":"YQ=="}`))
		must(t, err)
		if token != "" {
			req.Header.Set("Authorization", token)
		}
		resp, err := s.web.Do(req)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("shown %q: %s, want %d", token, resp.Status, want)
		}
	}
}

func TestHealthNeedsNoLogin(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	for _, path := range []string{"/health", "/health?serializable=true", "/livez", "/readyz"} {
		if got := get(t, s.web, s.url+path); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestAWrongPasswordAndAnUnknownUserAreToldTheSame(t *testing.T) {
	s := serve(t, cheap)
	if _, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "root"}); !sameStatus(err, rpctypes.ErrGRPCAuthNotEnabled) {
		t.Errorf("without authentication: %v", err)
	}
	s.enable(t)
	root := s.login(t, "root")
	_, err := s.auth().UserAdd(root, &pb.AuthUserAddRequest{Name: "certified", Options: &authpb.UserAddOptions{NoPassword: true}})
	must(t, err)
	_, err = s.auth().UserAdd(root, &pb.AuthUserAddRequest{Name: "locked", Password: "p"})
	must(t, err)
	_, err = s.auth().UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "locked"})
	must(t, err)
	for _, login := range []*pb.AuthenticateRequest{
		{Name: "root", Password: "x"}, {Name: "root"}, {Name: "nobody", Password: "x"}, {}, {Name: "certified"}, {Name: "certified", Password: "x"},
		{Name: "locked"}, {Name: "locked", Password: "p"},
	} {
		if resp, err := s.auth().Authenticate(t.Context(), login); !sameStatus(err, rpctypes.ErrGRPCAuthFailed) {
			t.Errorf("%v: %v, %v", login, resp, err)
		}
	}
	if _, err := s.auth().UserAdd(root, &pb.AuthUserAddRequest{Name: "long", Password: strings.Repeat("p", 73)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a password of 73 bytes: %v", err)
	}
}

func TestALoginIsCheckedAgainIfAnythingChangesBeforeTheLogTakesIt(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	root := s.login(t, "root")
	entered, release := s.hold()
	login := make(chan error, 1)
	go func() {
		_, err := s.auth().Authenticate(context.Background(), &pb.AuthenticateRequest{Name: "alice", Password: "alice"})
		login <- err
	}()
	<-entered
	s.node.hold.Store(nil)
	_, err := s.auth().UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "alice", Password: "new"})
	must(t, err)
	release()
	if err := <-login; !sameStatus(err, rpctypes.ErrGRPCAuthFailed) {
		t.Errorf("a login by the old password: %v", err)
	}
}

func TestATokenWorksThroughEveryMember(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	l := listen(t)
	config := Config{Node: s.node, Observer: NewObserver(), Store: s.store, Members: s.members, Listeners: []Listener{{Listener: l}}, Logger: s.logger}
	other, err := New(config)
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- other.Serve() }()
	defer func() {
		must(t, other.Shutdown(context.Background()))
		must(t, <-done)
	}()
	alice := s.login(t, "alice")
	conn := dial(t, l.Addr().String(), insecure.NewCredentials())
	if _, err := pb.NewKVClient(conn).Put(alice, &pb.PutRequest{Key: []byte("a")}); err != nil {
		t.Error(err)
	}
	conn.Close()
}

func TestTokensAreShownInEitherPlaceWithOrWithoutBearer(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	resp, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "alice"})
	must(t, err)
	for _, key := range []string{"token", "authorization"} {
		for _, prefix := range []string{"", "Bearer "} {
			if err := s.put(metadata.AppendToOutgoingContext(t.Context(), key, prefix+resp.Token), "a"); err != nil {
				t.Errorf("%s: %s…: %v", key, prefix, err)
			}
		}
	}
	if err := s.put(showing(t.Context(), resp.Token[1:]), "a"); !sameStatus(err, rpctypes.ErrGRPCInvalidAuthToken) {
		t.Errorf("a part of a token: %v", err)
	}
}

func TestATokenThatIsUsedLivesOn(t *testing.T) {
	s := serve(t, func(c *Config) { c.BcryptCost, c.TokenTTL = 4, time.Hour })
	s.enable(t)
	resp, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "alice"})
	must(t, err)
	token := kv.HashToken(resp.Token)
	before := s.node.proposals.Load()
	must(t, s.read(showing(t.Context(), resp.Token), "a"))
	if got := s.node.proposals.Load(); got != before {
		t.Error("a fresh token was renewed")
	}
	s.tokenTTL = 3 * time.Hour // so that what is left is less than half
	must(t, s.read(showing(t.Context(), resp.Token), "a"))
	eventually(t, func() bool {
		left, err := s.store.TokenLeft(token)
		return err == nil && left > 2*time.Hour
	})
}

// TestTheLogIsGivenNoPasswordAndNoToken is CVE-2021-28235 and its like.
func TestTheLogIsGivenNoPasswordAndNoToken(t *testing.T) {
	const first, second = "correct-horse-battery", "staple-and-some-more"
	var commands []byte
	s := serve(t, cheap)
	see := func(_ uint64, command []byte) { commands = append(commands, command...) }
	s.node.proposed.Store(&see)
	s.enable(t)
	root := s.login(t, "root")
	_, err := s.auth().UserAdd(root, &pb.AuthUserAddRequest{Name: "bob", Password: first, HashedPassword: first})
	must(t, err)
	_, err = s.auth().UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "bob", Password: second, HashedPassword: second})
	must(t, err)
	resp, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "bob", Password: second})
	must(t, err)
	s.node.proposed.Store(nil)
	if !strings.Contains(string(commands), "bob") {
		t.Fatal("no command was seen")
	}
	for _, secret := range []string{first, second, resp.Token} {
		if strings.Contains(string(commands), secret) {
			t.Errorf("a command holds %q", secret)
		}
	}
}

// TestAKeepAliveStreamEndsOnceItsCredentialCountsNoMore: a stream may be older than what it was opened with. Nothing is renewed then.
func TestAKeepAliveStreamEndsOnceItsCredentialCountsNoMore(t *testing.T) {
	for _, c := range []struct {
		name   string
		revoke func(ctx context.Context, s *serving) error
		want   error
	}{
		{"the password has changed", func(ctx context.Context, s *serving) error {
			_, err := s.auth().UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: "alice", Password: "other"})
			return err
		}, rpctypes.ErrGRPCInvalidAuthToken},
		{"the user is gone", func(ctx context.Context, s *serving) error {
			_, err := s.auth().UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: "alice"})
			return err
		}, rpctypes.ErrGRPCInvalidAuthToken},
		{"the role is gone that let it write the lease's key", func(ctx context.Context, s *serving) error {
			_, err := s.auth().RoleDelete(ctx, &pb.AuthRoleDeleteRequest{Role: "r"})
			return err
		}, rpctypes.ErrGRPCPermissionDenied},
	} {
		s := serve(t, cheap)
		s.grant(t, 1, 60)
		s.mustPutLeased(t, "a", 1)
		s.enable(t)
		root := s.login(t, "root")
		stream, err := s.lease().LeaseKeepAlive(s.login(t, "alice"))
		must(t, err)
		ask := func() error {
			must(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}))
			_, err := stream.Recv()
			return err
		}
		must(t, ask())
		must(t, c.revoke(root, s))
		before := s.node.proposals.Load()
		if err := ask(); !sameStatus(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if got := s.node.proposals.Load(); got != before {
			t.Errorf("%s: %d commands were proposed for the refused renewal", c.name, got-before)
		}
	}
}
