package kv

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// Commands of authentication, beside those of command.go.
const (
	// kindAdmitted precedes another command: uvarint auth revision, uvarint length and name of the user on whose behalf it is.
	kindAdmitted kind = 32
	// kindLogin makes a token, kindTokenRenewal lets one live on; see token.go.
	kindLogin        kind = 33
	kindTokenRenewal kind = 34

	kindAuthEnable           kind = 40
	kindAuthDisable          kind = 41
	kindUserAdd              kind = 42
	kindUserDelete           kind = 43
	kindUserChangePassword   kind = 44
	kindUserGrantRole        kind = 45
	kindUserRevokeRole       kind = 46
	kindRoleAdd              kind = 47
	kindRoleDelete           kind = 48
	kindRoleGrantPermission  kind = 49
	kindRoleRevokePermission kind = 50
)

// authChange is a request that changes users or roles, as a command.
type authChange struct {
	kind   kind
	is     func(proto.Message) bool
	fresh  func() proto.Message // an empty request
	next   func(*rbac.Policy, proto.Message) (*rbac.Policy, error)
	answer func(*pb.ResponseHeader) proto.Message
}

var authChanges = []authChange{
	changes(kindAuthEnable, (*rbac.Policy).Enable, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthEnableResponse{Header: h} }),
	changes(kindAuthDisable, (*rbac.Policy).Disable, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthDisableResponse{Header: h} }),
	changes(kindUserAdd, (*rbac.Policy).AddUser, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthUserAddResponse{Header: h} }),
	changes(kindUserDelete, (*rbac.Policy).DeleteUser, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthUserDeleteResponse{Header: h} }),
	changes(kindUserChangePassword, (*rbac.Policy).ChangePassword, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthUserChangePasswordResponse{Header: h} }),
	changes(kindUserGrantRole, (*rbac.Policy).GrantRole, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthUserGrantRoleResponse{Header: h} }),
	changes(kindUserRevokeRole, (*rbac.Policy).RevokeRole, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthUserRevokeRoleResponse{Header: h} }),
	changes(kindRoleAdd, (*rbac.Policy).AddRole, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthRoleAddResponse{Header: h} }),
	changes(kindRoleDelete, (*rbac.Policy).DeleteRole, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthRoleDeleteResponse{Header: h} }),
	changes(kindRoleGrantPermission, (*rbac.Policy).GrantPermission, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthRoleGrantPermissionResponse{Header: h} }),
	changes(kindRoleRevokePermission, (*rbac.Policy).RevokePermission, func(h *pb.ResponseHeader) proto.Message { return &pb.AuthRoleRevokePermissionResponse{Header: h} }),
}

// changes makes a row of authChanges out of functions for one type of request.
func changes[R any, P interface {
	*R
	proto.Message
}](k kind, next func(*rbac.Policy, P) (*rbac.Policy, error), answer func(*pb.ResponseHeader) proto.Message) authChange {
	return authChange{
		kind:   k,
		is:     func(req proto.Message) bool { _, ok := req.(P); return ok },
		fresh:  func() proto.Message { return P(new(R)) },
		next:   func(p *rbac.Policy, req proto.Message) (*rbac.Policy, error) { return next(p, req.(P)) },
		answer: answer,
	}
}

// authChangeOf returns the row of authChanges for a request, nil if the request changes neither users nor roles.
func authChangeOf(req proto.Message) *authChange {
	return authChangeWhere(func(c *authChange) bool { return c.is(req) })
}

func authChangeWhere(ok func(*authChange) bool) *authChange {
	for i := range authChanges {
		if ok(&authChanges[i]) {
			return &authChanges[i]
		}
	}
	return nil
}

// refusePassword keeps a password in the clear out of the log: who proposes must have put its hash in its place.
func refusePassword(req proto.Message) error {
	if r, ok := req.(interface{ GetPassword() string }); ok && r.GetPassword() != "" {
		return fmt.Errorf("kv: %T holds a password; the log takes its hash alone", req)
	}
	return nil
}

// Admitted makes of a command the same command on behalf of a caller, who is judged again, by the policy of that moment, when the
// log has come to it. A command that is not admitted is nobody's, which only a store without authentication executes.
func Admitted(caller rbac.Caller, command []byte) []byte {
	if caller == (rbac.Caller{}) {
		return command
	}
	b := make([]byte, 1, 1+2*binary.MaxVarintLen64+len(caller.User)+len(command))
	b[0] = byte(kindAdmitted)
	b = binary.AppendUvarint(b, caller.Revision)
	b = appendName(b, caller.User)
	return append(b, command...)
}

// Admission is the inverse of Admitted. The command that it returns aliases its argument.
func Admission(command []byte) (rbac.Caller, []byte, error) {
	if len(command) == 0 || kind(command[0]) != kindAdmitted {
		return rbac.Caller{}, command, nil
	}
	p := parser{rest: command[1:]}
	caller := rbac.Caller{Revision: p.uvarint()}
	caller.User = p.name()
	if p.failed || len(p.rest) == 0 || kind(p.rest[0]) == kindAdmitted {
		return rbac.Caller{}, nil, fmt.Errorf("command kind %d: %w", kindAdmitted, errMalformed)
	}
	return caller, p.rest, nil
}

func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

// name reads what appendName has written.
func (p *parser) name() string { return string(p.take(p.uvarint())) }

// take reads n bytes.
func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.failed = true
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}
