package kv

import (
	"context"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// The methods of this file answer from the latest published state what etcd answers of users and roles, to whom they may be
// shown. Headers hold the current revision and nothing else. Any goroutine may call them.

// AuthStatus tells anyone whether there is authentication, and its revision.
func (s *Store) AuthStatus(ctx context.Context, r *pb.AuthStatusRequest) (resp *pb.AuthStatusResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		resp = &pb.AuthStatusResponse{Header: v.header(), Enabled: v.auth.Enabled, AuthRevision: v.auth.Revision}
		return nil
	})
	return resp, err
}

// UserGet tells the roles of a user.
func (s *Store) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (resp *pb.AuthUserGetResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		roles, err := v.auth.UserRoles(r.Name)
		resp = &pb.AuthUserGetResponse{Header: v.header(), Roles: roles}
		return err
	})
	return resp, err
}

// UserList tells the names of all users, in order.
func (s *Store) UserList(ctx context.Context, r *pb.AuthUserListRequest) (resp *pb.AuthUserListResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		resp = &pb.AuthUserListResponse{Header: v.header(), Users: v.auth.UserNames()}
		return nil
	})
	return resp, err
}

// RoleGet tells what a role grants. The response shares its permissions with the store and must not be changed.
func (s *Store) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (resp *pb.AuthRoleGetResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		permissions, err := v.auth.RolePermissions(r.Role)
		resp = &pb.AuthRoleGetResponse{Header: v.header(), Perm: permissions}
		return err
	})
	return resp, err
}

// RoleList tells the names of all roles, in order.
func (s *Store) RoleList(ctx context.Context, r *pb.AuthRoleListRequest) (resp *pb.AuthRoleListResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		resp = &pb.AuthRoleListResponse{Header: v.header(), Roles: v.auth.RoleNames()}
		return nil
	})
	return resp, err
}

// User returns a user with the hash of its password, nil if there is none, and what AuthStatus tells, for who checks a password.
// The user must not be changed.
func (s *Store) User(name string) (user *authpb.User, enabled bool, revision uint64, err error) {
	err = s.read(context.Background(), func(v *view) error {
		user, enabled, revision = v.auth.Users[name], v.auth.Enabled, v.auth.Revision
		return nil
	})
	return user, enabled, revision, err
}

// readFor is read for a request that the credential in ctx must allow.
func (s *Store) readFor(ctx context.Context, req proto.Message, fn func(v *view) error) error {
	return s.read(ctx, func(v *view) error {
		if err := v.permitted(ctx, req); err != nil {
			return err
		}
		if err := v.alarms.refuse(req); err != nil {
			return err
		}
		return fn(v)
	})
}

func (v *view) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: v.revision} }
