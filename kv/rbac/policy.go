// Package rbac decides who may do what: etcd's users, roles and permissions as one immutable value. It knows nothing of
// passwords but their hashes, of tokens, of the disk or of the log.
package rbac

import (
	"maps"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// root is the name of the user who must exist before authentication is switched on, and of the role that may do everything.
const root = "root"

// Policy is all users and roles at one auth revision, and whether they are enforced. It never changes: a change makes a new one.
// Any goroutine may use it.
type Policy struct {
	Enabled  bool
	Revision uint64 // 1 at first; every change but the switch to enabled makes it one more
	Users    map[string]*authpb.User
	Roles    map[string]*authpb.Role

	grants sync.Map // user name → *grants, made when first asked for
}

// Empty returns the policy of a new store: nobody, not enforced.
func Empty() *Policy {
	return &Policy{Revision: 1, Users: map[string]*authpb.User{}, Roles: map[string]*authpb.Role{}}
}

// Caller is on whose behalf a request is made: a user, and the auth revision at which it was established that it is that user.
// The zero Caller is nobody: one who has not logged in.
type Caller struct {
	User     string
	Revision uint64
	Member   bool // it is the member itself, on nobody's behalf; nothing is refused to it
}

// Access is what a caller wants to do with keys.
type Access int

// The two kinds of access; a permission grants either or both.
const (
	Read Access = iota
	Write
)

// PermitKeys returns nil if caller may access all keys of a range as etcd's requests name it, or etcd's error. A caller who was
// admitted at an older revision than the policy's must be admitted anew: what has been established of it may no longer hold.
func (p *Policy) PermitKeys(caller Caller, access Access, key, end []byte) error {
	if !p.Enabled || caller.Member {
		return nil
	}
	if caller.Revision == 0 {
		return rpctypes.ErrGRPCUserEmpty
	}
	if caller.Revision < p.Revision {
		return rpctypes.ErrGRPCAuthOldRevision
	}
	user := p.Users[caller.User]
	if user == nil {
		return rpctypes.ErrGRPCPermissionDenied
	}
	if slices.Contains(user.Roles, root) {
		return nil
	}
	granted := p.grantsOf(user)
	have := granted.read
	if access == Write {
		have = granted.write
	}
	if !have.cover(intervalOf(string(key), string(end))) {
		return rpctypes.ErrGRPCPermissionDenied
	}
	return nil
}

// PermitRoot returns nil if caller may do everything, or etcd's error.
func (p *Policy) PermitRoot(caller Caller) error {
	if !p.Enabled || caller.Member {
		return nil
	}
	if err := p.PermitLogin(caller); err != nil {
		return err
	}
	if caller.Revision < p.Revision {
		return rpctypes.ErrGRPCAuthOldRevision
	}
	user := p.Users[caller.User]
	if user == nil {
		return rpctypes.ErrGRPCUserNotFound
	}
	if !slices.Contains(user.Roles, root) {
		return rpctypes.ErrGRPCPermissionDenied
	}
	return nil
}

// PermitLogin returns nil if caller is somebody, or etcd's error.
func (p *Policy) PermitLogin(caller Caller) error {
	if p.Enabled && caller.User == "" && !caller.Member {
		return rpctypes.ErrGRPCUserEmpty
	}
	return nil
}

// PermitUser returns nil if caller may look at a user: itself, or anyone if it is root.
func (p *Policy) PermitUser(caller Caller, user string) error {
	if caller.User == user {
		return nil
	}
	return p.PermitRoot(caller)
}

// PermitRole returns nil if caller may look at a role: one of its own, or any if it is root.
func (p *Policy) PermitRole(caller Caller, role string) error {
	err := p.PermitRoot(caller)
	if user := p.Users[caller.User]; err != nil && user != nil && slices.Contains(user.Roles, role) {
		return nil
	}
	return err
}

func (p *Policy) grantsOf(user *authpb.User) *grants {
	name := string(user.Name)
	if g, ok := p.grants.Load(name); ok {
		return g.(*grants)
	}
	var permissions []*authpb.Permission
	for _, role := range user.Roles {
		if r := p.Roles[role]; r != nil {
			permissions = append(permissions, r.KeyPermission...)
		}
	}
	g, _ := p.grants.LoadOrStore(name, grantsOf(permissions))
	return g.(*grants)
}

// UserNames returns the names of all users in order.
func (p *Policy) UserNames() []string { return slices.Sorted(maps.Keys(p.Users)) }

// RoleNames returns the names of all roles in order.
func (p *Policy) RoleNames() []string { return slices.Sorted(maps.Keys(p.Roles)) }

// UserRoles returns the roles of a user in order, or etcd's error.
func (p *Policy) UserRoles(name string) ([]string, error) {
	user := p.Users[name]
	if user == nil {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	return user.Roles, nil
}

// RolePermissions returns what a role grants, in the order of keys, or etcd's error. The role root shows all keys, from the empty one on.
func (p *Policy) RolePermissions(name string) ([]*authpb.Permission, error) {
	role := p.Roles[name]
	if role == nil {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	if name == root {
		return []*authpb.Permission{{PermType: authpb.Permission_READWRITE, Key: []byte{}, RangeEnd: []byte{0}}}, nil
	}
	return role.KeyPermission, nil
}
