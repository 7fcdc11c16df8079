package rbac

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// The methods of this file make the policy that a request leads to. They return the policy itself if nothing changes, and
// etcd's error if the request is refused. Who may ask for it has been decided before.

// next is a copy to be changed, one revision later.
func (p *Policy) next() *Policy {
	return &Policy{Enabled: p.Enabled, Revision: p.Revision + 1, Users: maps.Clone(p.Users), Roles: maps.Clone(p.Roles)}
}

// Enable enforces the policy. It needs a user root who has the role root. The revision stays, as in etcd.
func (p *Policy) Enable(*pb.AuthEnableRequest) (*Policy, error) {
	if p.Enabled {
		return p, nil
	}
	user := p.Users[root]
	if user == nil {
		return nil, rpctypes.ErrGRPCRootUserNotExist
	}
	if !slices.Contains(user.Roles, root) {
		return nil, rpctypes.ErrGRPCRootRoleNotExist
	}
	n := p.next()
	n.Enabled, n.Revision = true, p.Revision
	return n, nil
}

// Disable lets everyone do everything again.
func (p *Policy) Disable(*pb.AuthDisableRequest) (*Policy, error) {
	if !p.Enabled {
		return p, nil
	}
	n := p.next()
	n.Enabled = false
	return n, nil
}

// AddUser adds a user without roles. The request holds the password's hash.
func (p *Policy) AddUser(r *pb.AuthUserAddRequest) (*Policy, error) {
	if r.Name == "" {
		return nil, rpctypes.ErrGRPCUserEmpty
	}
	if p.Users[r.Name] != nil {
		return nil, rpctypes.ErrGRPCUserAlreadyExist
	}
	user := &authpb.User{Name: []byte(r.Name), Options: &authpb.UserAddOptions{NoPassword: r.Options.GetNoPassword()}}
	if !user.Options.NoPassword {
		hash, err := base64.StdEncoding.DecodeString(r.HashedPassword)
		if err != nil {
			return nil, rpctypes.ErrGRPCAuthFailed
		}
		user.Password = hash
	}
	n := p.next()
	n.Users[r.Name] = user
	return n, nil
}

// DeleteUser deletes a user; root stays as long as the policy is enforced.
func (p *Policy) DeleteUser(r *pb.AuthUserDeleteRequest) (*Policy, error) {
	if p.Enabled && r.Name == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	if p.Users[r.Name] == nil {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	n := p.next()
	delete(n.Users, r.Name)
	return n, nil
}

// ChangePassword gives a user the password whose hash the request holds. A user without a password goes without.
func (p *Policy) ChangePassword(r *pb.AuthUserChangePasswordRequest) (*Policy, error) {
	user := p.Users[r.Name]
	if user == nil {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	changed := &authpb.User{Name: user.Name, Roles: user.Roles, Options: user.Options}
	if !user.Options.GetNoPassword() {
		hash, err := base64.StdEncoding.DecodeString(r.HashedPassword)
		if err != nil {
			return nil, rpctypes.ErrGRPCAuthFailed
		}
		changed.Password = hash
	}
	n := p.next()
	n.Users[r.Name] = changed
	return n, nil
}

// GrantRole gives a user a role. The role root may be given before it exists.
func (p *Policy) GrantRole(r *pb.AuthUserGrantRoleRequest) (*Policy, error) {
	user := p.Users[r.User]
	if user == nil {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	if r.Role != root && p.Roles[r.Role] == nil {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	at, has := slices.BinarySearch(user.Roles, r.Role)
	if has {
		return p, nil
	}
	n := p.next()
	n.Users[r.User] = withRoles(user, slices.Insert(slices.Clone(user.Roles), at, r.Role))
	return n, nil
}

// RevokeRole takes a role from a user; root keeps root as long as the policy is enforced.
func (p *Policy) RevokeRole(r *pb.AuthUserRevokeRoleRequest) (*Policy, error) {
	if p.Enabled && r.Name == root && r.Role == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	user := p.Users[r.Name]
	if user == nil {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	if !slices.Contains(user.Roles, r.Role) {
		return nil, rpctypes.ErrGRPCRoleNotGranted
	}
	n := p.next()
	n.Users[r.Name] = withoutRole(user, r.Role)
	return n, nil
}

// AddRole adds a role that grants nothing.
func (p *Policy) AddRole(r *pb.AuthRoleAddRequest) (*Policy, error) {
	if r.Name == "" {
		return nil, rpctypes.ErrGRPCRoleEmpty
	}
	if p.Roles[r.Name] != nil {
		return nil, rpctypes.ErrGRPCRoleAlreadyExist
	}
	n := p.next()
	n.Roles[r.Name] = &authpb.Role{Name: []byte(r.Name)}
	return n, nil
}

// DeleteRole deletes a role and takes it from its users; root stays as long as the policy is enforced.
func (p *Policy) DeleteRole(r *pb.AuthRoleDeleteRequest) (*Policy, error) {
	if p.Enabled && r.Role == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	if p.Roles[r.Role] == nil {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	n := p.next()
	delete(n.Roles, r.Role)
	for name, user := range n.Users {
		if slices.Contains(user.Roles, r.Role) {
			n.Users[name] = withoutRole(user, r.Role)
		}
	}
	return n, nil
}

// GrantPermission adds a permission to a role, in the order of keys. It takes the place of one for the same range only if that is
// the first of its key, as in etcd; otherwise a range may be there twice, and both count.
func (p *Policy) GrantPermission(r *pb.AuthRoleGrantPermissionRequest) (*Policy, error) {
	if r.Perm == nil {
		return nil, rpctypes.ErrGRPCPermissionNotGiven
	}
	if !grantable(r.Perm) {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	role := p.Roles[r.Name]
	if role == nil {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	permissions := slices.Clone(role.KeyPermission)
	at, found := slices.BinarySearchFunc(permissions, r.Perm.Key, func(have *authpb.Permission, key []byte) int { return bytes.Compare(have.Key, key) })
	if found && bytes.Equal(permissions[at].RangeEnd, r.Perm.RangeEnd) {
		permissions[at] = r.Perm
	} else {
		for at < len(permissions) && bytes.Equal(permissions[at].Key, r.Perm.Key) {
			at++
		}
		permissions = slices.Insert(permissions, at, r.Perm)
	}
	n := p.next()
	n.Roles[r.Name] = &authpb.Role{Name: role.Name, KeyPermission: permissions}
	return n, nil
}

// RevokePermission takes from a role what it grants on exactly this range.
func (p *Policy) RevokePermission(r *pb.AuthRoleRevokePermissionRequest) (*Policy, error) {
	role := p.Roles[r.Role]
	if role == nil {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	left := slices.DeleteFunc(slices.Clone(role.KeyPermission), func(have *authpb.Permission) bool {
		return bytes.Equal(have.Key, r.Key) && bytes.Equal(have.RangeEnd, r.RangeEnd)
	})
	if len(left) == len(role.KeyPermission) {
		return nil, rpctypes.ErrGRPCPermissionNotGranted
	}
	n := p.next()
	n.Roles[r.Role] = &authpb.Role{Name: role.Name, KeyPermission: left}
	return n, nil
}

// grantable reports whether a permission's range has keys in it.
func grantable(p *authpb.Permission) bool {
	if len(p.Key) == 0 {
		return false
	}
	return len(p.RangeEnd) == 0 || bytes.Compare(p.Key, p.RangeEnd) < 0 || string(p.RangeEnd) == "\x00"
}

func withRoles(user *authpb.User, roles []string) *authpb.User {
	return &authpb.User{Name: user.Name, Password: user.Password, Options: user.Options, Roles: roles}
}

func withoutRole(user *authpb.User, role string) *authpb.User {
	return withRoles(user, slices.DeleteFunc(slices.Clone(user.Roles), func(have string) bool { return have == role }))
}
