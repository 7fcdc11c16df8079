package etcdapi

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// authService serves etcdserverpb.Auth. What it tells is linearizable.
type authService struct {
	pb.UnsafeAuthServer // a method that is missing does not compile
	*Server
}

// Authenticate gives a token for a password. Whether the password is right is decided on a state that has seen every change acknowledged before;
// should there be another change before the log takes the token, it is decided again.
func (s *authService) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.requestTimeout)
	defer cancel()
	for {
		token, err := s.login(ctx, r)
		if err == nil {
			return &pb.AuthenticateResponse{Header: s.header(), Token: token}, nil
		}
		if !errors.Is(err, rpctypes.ErrGRPCAuthOldRevision) {
			return nil, err
		}
	}
}

func (s *authService) login(ctx context.Context, r *pb.AuthenticateRequest) (token string, err error) {
	if err := s.confirm(ctx); err != nil {
		return "", err
	}
	user, enabled, revision, err := s.store.User(r.Name)
	if err != nil {
		return "", err
	}
	if !enabled {
		return "", rpctypes.ErrGRPCAuthNotEnabled
	}
	if err := s.passwords.check(ctx, user, r.Password); err != nil {
		s.tellRefused(ctx, user, err)
		return "", err
	}
	return s.tokens.issue(ctx, rbac.Caller{User: r.Name, Revision: revision})
}

// tellRefused logs a login that has failed, once in a while if there are many. A name that is no user's is not told: people type passwords there.
func (s *authService) tellRefused(ctx context.Context, user *authpb.User, err error) {
	if muted, ok := s.refusedLogins.May(time.Now()); ok {
		s.logger.Warn("a login has failed: if there are many, somebody is guessing", "user", string(user.GetName()), "remote", remoteOf(ctx), "error", err, "muted", muted)
	}
}

// UserAdd has the password hashed here, for a caller who may add a user, so that the log holds the hash alone.
func (s *authService) UserAdd(ctx context.Context, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	if _, err := s.permit(ctx, r); err != nil {
		return nil, err
	}
	hashed := &pb.AuthUserAddRequest{Name: r.Name, Options: r.Options}
	if !r.Options.GetNoPassword() {
		var err error
		if hashed.HashedPassword, err = s.passwords.hash(ctx, r.Password); err != nil {
			return nil, err
		}
	}
	return written[*pb.AuthUserAddResponse](ctx, s, hashed)
}

// UserChangePassword likewise. No password makes one that nobody can give.
func (s *authService) UserChangePassword(ctx context.Context, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	if _, err := s.permit(ctx, r); err != nil {
		return nil, err
	}
	hashed := &pb.AuthUserChangePasswordRequest{Name: r.Name}
	if r.Password != "" {
		var err error
		if hashed.HashedPassword, err = s.passwords.hash(ctx, r.Password); err != nil {
			return nil, err
		}
	}
	return written[*pb.AuthUserChangePasswordResponse](ctx, s, hashed)
}

func (s *authService) AuthEnable(ctx context.Context, r *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return written[*pb.AuthEnableResponse](ctx, s, r)
}

func (s *authService) AuthDisable(ctx context.Context, r *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return written[*pb.AuthDisableResponse](ctx, s, r)
}

func (s *authService) UserDelete(ctx context.Context, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	return written[*pb.AuthUserDeleteResponse](ctx, s, r)
}

func (s *authService) UserGrantRole(ctx context.Context, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	return written[*pb.AuthUserGrantRoleResponse](ctx, s, r)
}

func (s *authService) UserRevokeRole(ctx context.Context, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	return written[*pb.AuthUserRevokeRoleResponse](ctx, s, r)
}

func (s *authService) RoleAdd(ctx context.Context, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	return written[*pb.AuthRoleAddResponse](ctx, s, r)
}

func (s *authService) RoleDelete(ctx context.Context, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	return written[*pb.AuthRoleDeleteResponse](ctx, s, r)
}

func (s *authService) RoleGrantPermission(ctx context.Context, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	return written[*pb.AuthRoleGrantPermissionResponse](ctx, s, r)
}

func (s *authService) RoleRevokePermission(ctx context.Context, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	return written[*pb.AuthRoleRevokePermissionResponse](ctx, s, r)
}

func (s *authService) AuthStatus(ctx context.Context, r *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return told(ctx, s, r, s.store.AuthStatus)
}

func (s *authService) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	return told(ctx, s, r, s.store.UserGet)
}

func (s *authService) UserList(ctx context.Context, r *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return told(ctx, s, r, s.store.UserList)
}

func (s *authService) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	return told(ctx, s, r, s.store.RoleGet)
}

func (s *authService) RoleList(ctx context.Context, r *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return told(ctx, s, r, s.store.RoleList)
}

type headed interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

// written proposes a request and returns its response.
func written[R headed](ctx context.Context, s *authService, req proto.Message) (none R, err error) {
	resp, err := s.write(ctx, req, s.metrics.authChanges)
	if err != nil {
		return none, err
	}
	s.logger.Info("users, roles or permissions have been changed", "request", string(req.ProtoReflect().Descriptor().Name()), "remote", remoteOf(ctx))
	return resp.(R), nil
}

// told answers a request from the store once it reflects every change acknowledged before.
func told[Q any, R headed](ctx context.Context, s *authService, req Q, ask func(context.Context, Q) (R, error)) (none R, err error) {
	if err := s.confirm(ctx); err != nil {
		return none, err
	}
	resp, err := ask(ctx, req)
	if err != nil {
		return none, readError(ctx, err)
	}
	s.fill(resp.GetHeader())
	return resp, nil
}
