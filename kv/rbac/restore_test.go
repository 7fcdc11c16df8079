package rbac

import (
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
)

func TestWhatIsRestoredIsWhatThereWasAndNothingThatCouldNotBe(t *testing.T) {
	user := func(name string, roles ...string) *authpb.User { return &authpb.User{Name: []byte(name), Roles: roles} }
	role := func(name string, keys ...string) *authpb.Role {
		r := &authpb.Role{Name: []byte(name)}
		for _, key := range keys {
			r.KeyPermission = append(r.KeyPermission, &authpb.Permission{Key: []byte(key)})
		}
		return r
	}
	for _, c := range []struct {
		name    string
		enabled bool
		users   []*authpb.User
		roles   []*authpb.Role
		sound   bool
	}{
		{"nobody, nothing enforced", false, nil, nil, true},
		{"root and another", true, []*authpb.User{user("root", "root"), user("u", "r")}, []*authpb.Role{role("r", "a")}, true},
		{"enforced without root", true, []*authpb.User{user("u", "root")}, nil, false},
		{"enforced with a root that has not its role", true, []*authpb.User{user("root", "r")}, []*authpb.Role{role("r")}, false},
		{"a user without a name", false, []*authpb.User{user("")}, nil, false},
		{"a user twice", false, []*authpb.User{user("u"), user("u")}, nil, false},
		{"a role without a name", false, nil, []*authpb.Role{role("")}, false},
		{"a role twice", false, nil, []*authpb.Role{role("r"), role("r")}, false},
	} {
		p, err := Restore(c.enabled, 9, c.users, c.roles)
		if (err == nil) != c.sound {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.sound && (p.Enabled != c.enabled || p.Revision != 9 || len(p.Users) != len(c.users) || len(p.Roles) != len(c.roles)) {
			t.Errorf("%s: restored %+v", c.name, p)
		}
	}
	p, err := Restore(false, 0, []*authpb.User{user("u", "r", "gone", "a", "root")}, []*authpb.Role{role("r", "b", "a"), role("a")})
	if err != nil {
		t.Fatal(err)
	}
	if roles, err := p.UserRoles("u"); err != nil || len(roles) != 3 || roles[0] != "a" || roles[1] != "r" || roles[2] != "root" {
		t.Errorf("roles %q, %v", roles, err)
	}
	if keys := p.Roles["r"].KeyPermission; string(keys[0].Key) != "a" || p.Revision != 1 {
		t.Errorf("the role grants %v, revision %d", keys, p.Revision)
	}
}
