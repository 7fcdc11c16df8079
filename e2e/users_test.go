package e2e

import (
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	loginsKept = 24
	// grantsMax is how many permissions a role has at most. Beyond a dozen, etcd's order of those with the same key is that of an unstable sort.
	grantsMax = 11
)

// learnUsers notes whether users are enforced, counts permissions, and keeps the tokens of a login, which it takes out of the answers, as they cannot be the same.
func (g *mixedGenerator) learnUsers(r request, etcd, synod answer) {
	if etcd.err != nil || synod.err != nil {
		return
	}
	switch change := r.Message.(type) {
	case *pb.AuthEnableRequest:
		g.enforced = true
	case *pb.AuthDisableRequest:
		g.enforced = false
		g.endLogins(func(*login) bool { return true })
	case *pb.AuthUserDeleteRequest:
		g.endLogins(func(l *login) bool { return l.user == change.Name })
	case *pb.AuthUserChangePasswordRequest:
		g.endLogins(func(l *login) bool { return l.user == change.Name })
	case *pb.AuthRoleGrantPermissionRequest:
		g.granted[change.Name]++
	case *pb.AuthRoleDeleteRequest:
		g.granted[change.Role] = 0
	case *pb.AuthenticateRequest:
		a, b := etcd.response.(*pb.AuthenticateResponse), synod.response.(*pb.AuthenticateResponse)
		if a.Token == "" || b.Token == "" {
			return // to be found by the comparison
		}
		g.logins = append(g.logins, &login{user: change.Name, tokens: [2]string{a.Token, b.Token}})
		g.logins = g.logins[max(0, len(g.logins)-loginsKept):]
		a.Token, b.Token = "", ""
	}
}

func (g *mixedGenerator) endLogins(ended func(*login) bool) {
	for _, l := range g.logins {
		l.ended = l.ended || ended(l)
	}
}

// caller returns whose token a request shows: for what root alone may do, root's mostly; for the rest that of some user; now and then one that may have been revoked long ago, or none.
func (g *mixedGenerator) caller(m proto.Message) *login {
	switch {
	case g.oneIn(20) || len(g.logins) == 0:
		return nil
	case g.oneIn(20):
		return g.logins[g.IntN(len(g.logins))]
	case manages(m) && !g.oneIn(5):
		return g.latestOf("root")
	}
	if l := g.latestOf(g.user()); l != nil {
		return l
	}
	return g.latestOf("root")
}

// manages reports whether a request is one that root alone may make.
func manages(m proto.Message) bool {
	switch m.(type) {
	case *pb.AuthenticateRequest, *pb.PutRequest, *pb.RangeRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.WatchRequest,
		*pb.LeaseGrantRequest, *pb.LeaseRevokeRequest, *pb.LeaseKeepAliveRequest, *pb.LeaseTimeToLiveRequest, *pb.LeaseLeasesRequest:
		return false
	}
	return true
}

// latestOf returns the last login of a user whose token is valid, nil if there is none.
func (g *mixedGenerator) latestOf(user string) *login {
	for _, l := range slices.Backward(g.logins) {
		if l.user == user && !l.ended {
			return l
		}
	}
	return nil
}

// enforce returns what it takes to have users enforced: root, who may do everything, and alice, who may touch some keys.
func (g *mixedGenerator) enforce() []proto.Message {
	return append([]proto.Message{
		&pb.AuthUserAddRequest{Name: "root", Password: "p"}, &pb.AuthRoleAddRequest{Name: "root"}, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"},
		&pb.AuthUserAddRequest{Name: "alice", Password: "p"}, &pb.AuthRoleAddRequest{Name: "r1"}, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r1"},
		&pb.AuthRoleGrantPermissionRequest{Name: "r1", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("a"), RangeEnd: []byte("d")}},
		&pb.AuthEnableRequest{}, &pb.AuthenticateRequest{Name: "alice", Password: "p"},
	}, g.loginsOfRoot()...)
}

// loginsOfRoot returns logins of which one is right, as root has no other passwords.
func (g *mixedGenerator) loginsOfRoot() []proto.Message {
	return []proto.Message{&pb.AuthenticateRequest{Name: "root", Password: "p"}, &pb.AuthenticateRequest{Name: "root", Password: "q"}}
}

// release returns what it takes to have users no longer enforced.
func (g *mixedGenerator) release() []proto.Message {
	return append(g.loginsOfRoot(), &pb.AuthDisableRequest{})
}

// userRequest seldom switches users off: what is asked while they are enforced is what matters.
func (g *mixedGenerator) userRequest() proto.Message {
	switch n := g.IntN(100); {
	case n < 30:
		return g.changeUser()
	case n < 55:
		return g.changeRole()
	case n < 75:
		return g.look()
	case n < 96:
		return &pb.AuthenticateRequest{Name: g.user(), Password: g.password()}
	case n < 99:
		return &pb.AuthEnableRequest{}
	}
	return &pb.AuthDisableRequest{}
}

func (g *mixedGenerator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g *mixedGenerator) user() string {
	if g.oneIn(60) {
		return ""
	}
	return g.pick("root", "root", "alice", "alice", "bob", "carol")
}

func (g *mixedGenerator) role() string {
	if g.oneIn(60) {
		return ""
	}
	return g.pick("root", "r1", "r2", "r3")
}

// password is one of three, of which the first is right most of the time.
func (g *mixedGenerator) password() string { return g.pick("p", "p", "p", "p", "q", "") }

func (g *mixedGenerator) changeUser() proto.Message {
	switch g.IntN(12) {
	case 0, 1, 2, 3:
		r := &pb.AuthUserAddRequest{Name: g.user(), Password: g.password()}
		if r.Name == "root" && r.Password == "" {
			r.Password = "p" // or nobody could ever log in as root
		}
		return r
	case 4:
		return &pb.AuthUserAddRequest{Name: "nologin", Options: &authpb.UserAddOptions{NoPassword: true}}
	case 5:
		return &pb.AuthUserDeleteRequest{Name: g.user()}
	case 6:
		r := &pb.AuthUserChangePasswordRequest{Name: g.user(), Password: g.password()}
		if r.Name == "root" && r.Password == "" {
			r.Password = "q" // or nobody could ever log in as root
		}
		return r
	case 7:
		return &pb.AuthUserRevokeRoleRequest{Name: g.user(), Role: g.role()}
	}
	return &pb.AuthUserGrantRoleRequest{User: g.user(), Role: g.role()}
}

func (g *mixedGenerator) changeRole() proto.Message {
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
		r.Perm.Key, r.Perm.RangeEnd = ordered(g.span())
	}
	return r
}

func (g *mixedGenerator) look() proto.Message {
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
