package rbac

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
)

// Restore makes a policy of what another store had: the users and roles become the policy's own. What no store has is refused. A role that a user has and that
// does not exist is taken from it: it must not come to mean something with a role that is made later.
func Restore(enabled bool, revision uint64, users []*authpb.User, roles []*authpb.Role) (*Policy, error) {
	p := Empty()
	p.Enabled, p.Revision = enabled, max(p.Revision, revision)
	for _, role := range roles {
		name := string(role.Name)
		if name == "" || p.Roles[name] != nil {
			return nil, fmt.Errorf("rbac: role %q has no name, or is there twice", name)
		}
		slices.SortStableFunc(role.KeyPermission, func(a, b *authpb.Permission) int { return bytes.Compare(a.Key, b.Key) })
		p.Roles[name] = role
	}
	for _, user := range users {
		name := string(user.Name)
		if name == "" || p.Users[name] != nil {
			return nil, fmt.Errorf("rbac: user %q has no name, or is there twice", name)
		}
		user.Roles = slices.DeleteFunc(user.Roles, func(role string) bool { return role != root && p.Roles[role] == nil })
		slices.Sort(user.Roles)
		p.Users[name] = user
	}
	if enabled && !p.hasRoot() {
		return nil, errors.New("rbac: users and roles are enforced, but there is no user root with the role root: nobody could change anything; take another snapshot")
	}
	return p, nil
}

// hasRoot reports whether there is somebody who may do everything and stays.
func (p *Policy) hasRoot() bool {
	user := p.Users[root]
	return user != nil && slices.Contains(user.Roles, root)
}
