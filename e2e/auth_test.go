package e2e

import (
	"context"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

var authRequestsFlag = flag.Int("auth-requests", 20_000, "how many requests of users and roles the differential test sends")

// TestAuthAnswersAreEtcds sends random requests of a few users to a real etcd and to Synod: users and roles come and go, authentication is switched on and
// off, tokens are shown that have long been revoked, and keys are read and written with all that. Each answer must be the same. Ranges that end before
// they begin are left out: whether etcd permits them depends on the shape of a tree of its own.
func TestAuthAnswersAreEtcds(t *testing.T) {
	etcd := server{connect(t, startEtcd(t, "--bcrypt-cost=4"))}
	synod := server{connect(t, startSequential(t))}
	g := &authGenerator{generator: &generator{Rand: rand.New(rand.NewPCG(*seedFlag, 1)), ordered: true, revision: 1, compactions: map[int64]bool{}}, granted: map[string]int{}}
	seen := map[string]int{}
	for i := range *authRequestsFlag {
		r := g.next()
		var tokens [2]string
		if r.token >= 0 {
			tokens = g.tokens[r.token]
		}
		want := etcd.doAs(t.Context(), tokens[0], r.Message)
		got := synod.doAs(t.Context(), tokens[1], r.Message)
		g.learnAuth(r, want, got)
		for _, a := range []answer{want, got} {
			if a.err == nil {
				settle(r.Message, a.response)
			}
		}
		if !want.equals(got) {
			t.Fatalf("seed %d, request %d, token %d of %s: %T %v\netcd:  %v\nsynod: %v",
				*seedFlag, i, r.token, g.owner(r.token), r.Message, brief(r.Message), want, got)
		}
		seen[want.kind(request{Message: r.Message})]++
	}
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d × %s", seen[kind], kind)
	}
}

// doAs makes a request that shows a token, unless it is "".
func (s server) doAs(ctx context.Context, token string, m proto.Message) answer {
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "token", token)
	}
	auth, maintenance := pb.NewAuthClient(s.conn), pb.NewMaintenanceClient(s.conn)
	switch r := m.(type) {
	case *pb.AuthEnableRequest:
		return answered(auth.AuthEnable(ctx, r))
	case *pb.AuthDisableRequest:
		return answered(auth.AuthDisable(ctx, r))
	case *pb.AuthStatusRequest:
		return answered(auth.AuthStatus(ctx, r))
	case *pb.AuthenticateRequest:
		return answered(auth.Authenticate(ctx, r))
	case *pb.AuthUserAddRequest:
		return answered(auth.UserAdd(ctx, r))
	case *pb.AuthUserGetRequest:
		return answered(auth.UserGet(ctx, r))
	case *pb.AuthUserListRequest:
		return answered(auth.UserList(ctx, r))
	case *pb.AuthUserDeleteRequest:
		return answered(auth.UserDelete(ctx, r))
	case *pb.AuthUserChangePasswordRequest:
		return answered(auth.UserChangePassword(ctx, r))
	case *pb.AuthUserGrantRoleRequest:
		return answered(auth.UserGrantRole(ctx, r))
	case *pb.AuthUserRevokeRoleRequest:
		return answered(auth.UserRevokeRole(ctx, r))
	case *pb.AuthRoleAddRequest:
		return answered(auth.RoleAdd(ctx, r))
	case *pb.AuthRoleGetRequest:
		return answered(auth.RoleGet(ctx, r))
	case *pb.AuthRoleListRequest:
		return answered(auth.RoleList(ctx, r))
	case *pb.AuthRoleDeleteRequest:
		return answered(auth.RoleDelete(ctx, r))
	case *pb.AuthRoleGrantPermissionRequest:
		return answered(auth.RoleGrantPermission(ctx, r))
	case *pb.AuthRoleRevokePermissionRequest:
		return answered(auth.RoleRevokePermission(ctx, r))
	case *pb.HashKVRequest:
		return answered(maintenance.HashKV(ctx, r))
	case *pb.AlarmRequest:
		return answered(maintenance.Alarm(ctx, r))
	case *pb.DefragmentRequest:
		return answered(maintenance.Defragment(ctx, r))
	}
	return s.do(ctx, request{Message: m})
}

// authRequest is one call, and which of the tokens it shows, -1 for none.
type authRequest struct {
	proto.Message
	token int
}

// authGenerator makes requests of users, and keeps the tokens that both servers have given for the same login.
type authGenerator struct {
	*generator
	tokens [][2]string // etcd's and Synod's
	owners []string    // whose they are

	granted map[string]int // how many permissions a role may have
}

const (
	tokensKept = 24
	// grantsMax is how many permissions a role has at most. Beyond a dozen, etcd's order of those with the same key is that of an unstable sort.
	grantsMax = 11
)

func (g *authGenerator) owner(token int) string {
	if token < 0 {
		return "nobody"
	}
	return g.owners[token]
}

// learnAuth counts permissions, and keeps the tokens of a login, which it takes out of the answers, as they cannot be the same.
func (g *authGenerator) learnAuth(r authRequest, etcd, synod answer) {
	if etcd.err != nil || synod.err != nil {
		return
	}
	switch change := r.Message.(type) {
	case *pb.AuthRoleGrantPermissionRequest:
		g.granted[change.Name]++
	case *pb.AuthRoleDeleteRequest:
		g.granted[change.Role] = 0
	}
	login, ok := r.Message.(*pb.AuthenticateRequest)
	if !ok {
		return
	}
	a, b := etcd.response.(*pb.AuthenticateResponse), synod.response.(*pb.AuthenticateResponse)
	if a.Token == "" || b.Token == "" {
		return
	}
	g.tokens, g.owners = append(g.tokens, [2]string{a.Token, b.Token}), append(g.owners, login.Name)
	if len(g.tokens) > tokensKept {
		g.tokens, g.owners = g.tokens[1:], g.owners[1:]
	}
	a.Token, b.Token = "", ""
}

func (g *authGenerator) next() authRequest {
	token := -1
	if len(g.tokens) > 0 && !g.oneIn(12) {
		token = len(g.tokens) - 1 - min(g.IntN(len(g.tokens)), g.IntN(len(g.tokens))) // a late one, rather
	}
	r := authRequest{g.message(), token}
	if g.manages(r.Message) && !g.oneIn(3) {
		r.token = g.latestOf("root")
	}
	return r
}

// manages reports whether a request is one that root alone may make.
func (g *authGenerator) manages(m proto.Message) bool {
	switch m.(type) {
	case *pb.AuthenticateRequest, *pb.PutRequest, *pb.RangeRequest, *pb.DeleteRangeRequest, *pb.TxnRequest,
		*pb.LeaseGrantRequest, *pb.LeaseRevokeRequest, *pb.LeaseKeepAliveRequest, *pb.LeaseTimeToLiveRequest, *pb.LeaseLeasesRequest:
		return false
	}
	return true
}

// latestOf returns the last token that a user was given, -1 if it has none.
func (g *authGenerator) latestOf(user string) int {
	for i, owner := range slices.Backward(g.owners) {
		if owner == user {
			return i
		}
	}
	return -1
}

func (g *authGenerator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g *authGenerator) user() string {
	if g.oneIn(60) {
		return ""
	}
	return g.pick("root", "root", "alice", "alice", "bob", "carol")
}

func (g *authGenerator) role() string {
	if g.oneIn(60) {
		return ""
	}
	return g.pick("root", "r1", "r2", "r3")
}

// password is one of three, of which the first is right most of the time.
func (g *authGenerator) password() string { return g.pick("p", "p", "p", "p", "q", "") }

func (g *authGenerator) message() proto.Message {
	switch n := g.IntN(100); {
	case n < 22:
		return g.changeUser()
	case n < 40:
		return g.changeRole()
	case n < 52:
		return g.look()
	case n < 66:
		return &pb.AuthenticateRequest{Name: g.user(), Password: g.password()}
	case n < 72:
		return &pb.AuthEnableRequest{}
	case n < 73:
		return &pb.AuthDisableRequest{}
	case n < 76:
		return g.maintain()
	case n < 82:
		return g.put()
	case n < 86:
		return g.leaseRequest()
	case n < 91:
		return g.rangeKeys()
	case n < 94:
		return g.deleteRange()
	}
	return g.txn(g.mix(), 3)
}

func (g *authGenerator) changeUser() proto.Message {
	switch g.IntN(12) {
	case 0, 1, 2, 3:
		return &pb.AuthUserAddRequest{Name: g.user(), Password: g.password()}
	case 4:
		return &pb.AuthUserAddRequest{Name: "nologin", Options: &authpb.UserAddOptions{NoPassword: true}}
	case 5:
		return &pb.AuthUserDeleteRequest{Name: g.user()}
	case 6:
		return &pb.AuthUserChangePasswordRequest{Name: g.user(), Password: g.password()}
	case 7:
		return &pb.AuthUserRevokeRoleRequest{Name: g.user(), Role: g.role()}
	}
	return &pb.AuthUserGrantRoleRequest{User: g.user(), Role: g.role()}
}

func (g *authGenerator) changeRole() proto.Message {
	switch g.IntN(12) {
	case 0, 1, 2:
		return &pb.AuthRoleAddRequest{Name: g.role()}
	case 3:
		return &pb.AuthRoleDeleteRequest{Role: g.role()}
	case 4, 5:
		r := &pb.AuthRoleRevokePermissionRequest{Role: g.role()}
		r.Key, r.RangeEnd = g.span()
		return r
	}
	r := &pb.AuthRoleGrantPermissionRequest{Name: g.role()}
	if g.granted[r.Name] >= grantsMax {
		return &pb.AuthRoleDeleteRequest{Role: r.Name}
	}
	if !g.oneIn(40) {
		r.Perm = &authpb.Permission{PermType: authpb.Permission_Type(g.IntN(3))}
		r.Perm.Key, r.Perm.RangeEnd = g.span()
	}
	return r
}

func (g *authGenerator) look() proto.Message {
	switch g.IntN(5) {
	case 0:
		return &pb.AuthUserGetRequest{Name: g.user()}
	case 1:
		return &pb.AuthUserListRequest{}
	case 2:
		return &pb.AuthRoleGetRequest{Role: g.role()}
	case 3:
		return &pb.AuthRoleListRequest{}
	}
	return &pb.AuthStatusRequest{}
}

func (g *authGenerator) maintain() proto.Message {
	switch g.IntN(4) {
	case 0:
		return &pb.AlarmRequest{Action: pb.AlarmRequest_GET}
	case 1:
		return &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE}
	case 2:
		return &pb.DefragmentRequest{}
	}
	return &pb.HashKVRequest{}
}
