package rbac

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// policyOf makes a policy by steps, which must succeed.
func policyOf(t testing.TB, steps ...func(*Policy) (*Policy, error)) *Policy {
	t.Helper()
	p := Empty()
	for i, step := range steps {
		next, err := step(p)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		p = next
	}
	return p
}

type step = func(*Policy) (*Policy, error)

func addUser(name string) step {
	return func(p *Policy) (*Policy, error) { return p.AddUser(&pb.AuthUserAddRequest{Name: name}) }
}

func addRole(name string) step {
	return func(p *Policy) (*Policy, error) { return p.AddRole(&pb.AuthRoleAddRequest{Name: name}) }
}

func grantRole(user, role string) step {
	return func(p *Policy) (*Policy, error) {
		return p.GrantRole(&pb.AuthUserGrantRoleRequest{User: user, Role: role})
	}
}

func grant(role, kind, key, end string) step {
	perm := &authpb.Permission{PermType: authpb.Permission_Type(authpb.Permission_Type_value[kind]), Key: []byte(key), RangeEnd: []byte(end)}
	return func(p *Policy) (*Policy, error) {
		return p.GrantPermission(&pb.AuthRoleGrantPermissionRequest{Name: role, Perm: perm})
	}
}

func enable(p *Policy) (*Policy, error) { return p.Enable(&pb.AuthEnableRequest{}) }

var enforced = []step{addUser("root"), addRole("root"), grantRole("root", "root"), addUser("u"), addRole("r"), grantRole("u", "r"), enable}

func TestAChangeLeavesThePolicyThatItStartsFromAlone(t *testing.T) {
	p := policyOf(t, append(enforced, grant("r", "READ", "a", "c"))...)
	before := describe(p)
	for name, change := range map[string]step{
		"user added":   addUser("v"),
		"user deleted": func(p *Policy) (*Policy, error) { return p.DeleteUser(&pb.AuthUserDeleteRequest{Name: "u"}) },
		"password": func(p *Policy) (*Policy, error) {
			return p.ChangePassword(&pb.AuthUserChangePasswordRequest{Name: "u", HashedPassword: "aGFzaA=="})
		},
		"role granted": grantRole("u", "root"),
		"role revoked": func(p *Policy) (*Policy, error) {
			return p.RevokeRole(&pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"})
		},
		"role added":   addRole("s"),
		"role deleted": func(p *Policy) (*Policy, error) { return p.DeleteRole(&pb.AuthRoleDeleteRequest{Role: "r"}) },
		"granted":      grant("r", "WRITE", "a", "c"),
		"granted more": grant("r", "READ", "b", "c"),
		"revoked": func(p *Policy) (*Policy, error) {
			return p.RevokePermission(&pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a"), RangeEnd: []byte("c")})
		},
		"disabled": func(p *Policy) (*Policy, error) { return p.Disable(&pb.AuthDisableRequest{}) },
	} {
		next, err := change(p)
		if err != nil || next.Revision != p.Revision+1 || describe(next) == before {
			t.Errorf("%s: %v, %v", name, next, err)
		}
		if describe(p) != before {
			t.Fatalf("%s changed the policy before it to %s", name, describe(p))
		}
	}
}

func describe(p *Policy) string {
	var s strings.Builder
	fmt.Fprint(&s, p.Enabled, p.Revision)
	for _, name := range p.UserNames() {
		fmt.Fprint(&s, p.Users[name])
	}
	for _, name := range p.RoleNames() {
		fmt.Fprint(&s, p.Roles[name])
	}
	return s.String()
}

func TestWhatRefusesAChangeIsEtcdsError(t *testing.T) {
	on := policyOf(t, enforced...)
	for name, test := range map[string]struct {
		change step
		want   error
	}{
		"no name":            {addUser(""), rpctypes.ErrGRPCUserEmpty},
		"a user twice":       {addUser("u"), rpctypes.ErrGRPCUserAlreadyExist},
		"no role name":       {addRole(""), rpctypes.ErrGRPCRoleEmpty},
		"a role twice":       {addRole("r"), rpctypes.ErrGRPCRoleAlreadyExist},
		"no such user":       {grantRole("x", "r"), rpctypes.ErrGRPCUserNotFound},
		"no such role":       {grantRole("u", "x"), rpctypes.ErrGRPCRoleNotFound},
		"an empty range":     {grant("r", "READ", "b", "a"), rpctypes.ErrGRPCInvalidAuthMgmt},
		"no key":             {grant("r", "READ", "", "a"), rpctypes.ErrGRPCInvalidAuthMgmt},
		"a range before who": {grant("x", "READ", "b", "a"), rpctypes.ErrGRPCInvalidAuthMgmt},
		"no permission": {func(p *Policy) (*Policy, error) {
			return p.GrantPermission(&pb.AuthRoleGrantPermissionRequest{Name: "x"})
		}, rpctypes.ErrGRPCPermissionNotGiven},
		"the user root": {func(p *Policy) (*Policy, error) {
			return p.DeleteUser(&pb.AuthUserDeleteRequest{Name: "root"})
		}, rpctypes.ErrGRPCInvalidAuthMgmt},
		"the role root": {func(p *Policy) (*Policy, error) {
			return p.DeleteRole(&pb.AuthRoleDeleteRequest{Role: "root"})
		}, rpctypes.ErrGRPCInvalidAuthMgmt},
		"root's root": {func(p *Policy) (*Policy, error) {
			return p.RevokeRole(&pb.AuthUserRevokeRoleRequest{Name: "root", Role: "root"})
		}, rpctypes.ErrGRPCInvalidAuthMgmt},
		"not granted": {func(p *Policy) (*Policy, error) {
			return p.RevokeRole(&pb.AuthUserRevokeRoleRequest{Name: "root", Role: "r"})
		}, rpctypes.ErrGRPCRoleNotGranted},
		"not permitted": {func(p *Policy) (*Policy, error) {
			return p.RevokePermission(&pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a")})
		}, rpctypes.ErrGRPCPermissionNotGranted},
	} {
		if next, err := test.change(on); err != test.want || next != nil {
			t.Errorf("%s: %v, %v", name, next, err)
		}
	}
	if _, err := enable(policyOf(t)); err != rpctypes.ErrGRPCRootUserNotExist {
		t.Errorf("enabled without root: %v", err)
	}
	if _, err := enable(policyOf(t, addUser("root"))); err != rpctypes.ErrGRPCRootRoleNotExist {
		t.Errorf("enabled without its role: %v", err)
	}
}

func TestSwitchingOnAndWhatChangesNothingKeepTheRevision(t *testing.T) {
	p := policyOf(t, enforced...)
	if want := uint64(1 + len(enforced) - 1); p.Revision != want {
		t.Errorf("revision %d, want %d", p.Revision, want)
	}
	for name, nothing := range map[string]step{"on": enable, "a role again": grantRole("u", "r")} {
		if next, err := nothing(p); next != p || err != nil {
			t.Errorf("%s: %v, %v", name, next, err)
		}
	}
}

func TestARoleThatIsDeletedIsTakenFromItsUsersAndDoesNotComeBackWithItsName(t *testing.T) {
	p := policyOf(t, append(enforced, grant("r", "READWRITE", "a", ""),
		func(p *Policy) (*Policy, error) { return p.DeleteRole(&pb.AuthRoleDeleteRequest{Role: "r"}) },
		addRole("r"), grant("r", "READWRITE", "a", ""))...)
	if roles, err := p.UserRoles("u"); err != nil || len(roles) != 0 {
		t.Errorf("roles %v, %v", roles, err)
	}
	if err := p.PermitKeys(Caller{User: "u", Revision: p.Revision}, Read, []byte("a"), nil); err != rpctypes.ErrGRPCPermissionDenied {
		t.Errorf("a read: %v", err)
	}
}

func TestPermissionsAreInTheOrderOfKeysAndOneForTheSameRangeTakesItsPlace(t *testing.T) {
	p := policyOf(t, append(enforced, grant("r", "READ", "b", ""), grant("r", "READ", "a", "c"), grant("r", "WRITE", "a", ""),
		grant("r", "WRITE", "a", "c"), grant("r", "READWRITE", "b", ""))...)
	perms, err := p.RolePermissions("r")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, perm := range perms {
		got = append(got, fmt.Sprintf("%v %s-%s", perm.PermType, perm.Key, perm.RangeEnd))
	}
	want := "[WRITE a-c WRITE a- READWRITE b-]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if root, err := p.RolePermissions("root"); err != nil || len(root) != 1 || len(root[0].Key) != 0 || string(root[0].RangeEnd) != "\x00" {
		t.Errorf("root: %v, %v", root, err)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	p := policyOf(t, append(enforced, grant("r", "READ", "a", "c"))...)
	rev := p.Revision
	nobody, user, root := Caller{}, Caller{User: "u", Revision: rev}, Caller{User: "root", Revision: rev}
	stale, gone := Caller{User: "root", Revision: rev - 1}, Caller{User: "x", Revision: rev}
	for name, test := range map[string]struct{ got, want error }{
		"nobody reads":         {p.PermitKeys(nobody, Read, []byte("a"), nil), rpctypes.ErrGRPCUserEmpty},
		"a user reads":         {p.PermitKeys(user, Read, []byte("a"), []byte("c")), nil},
		"a user reads more":    {p.PermitKeys(user, Read, []byte("a"), []byte{0}), rpctypes.ErrGRPCPermissionDenied},
		"a user writes":        {p.PermitKeys(user, Write, []byte("a"), nil), rpctypes.ErrGRPCPermissionDenied},
		"root writes all":      {p.PermitKeys(root, Write, []byte{0}, []byte{0}), nil},
		"the stale root reads": {p.PermitKeys(stale, Read, []byte("a"), nil), rpctypes.ErrGRPCAuthOldRevision},
		"who has gone reads":   {p.PermitKeys(gone, Read, []byte("a"), nil), rpctypes.ErrGRPCPermissionDenied},
		"nobody as root":       {p.PermitRoot(nobody), rpctypes.ErrGRPCUserEmpty},
		"a user as root":       {p.PermitRoot(user), rpctypes.ErrGRPCPermissionDenied},
		"root as root":         {p.PermitRoot(root), nil},
		"stale as root":        {p.PermitRoot(stale), rpctypes.ErrGRPCAuthOldRevision},
		"gone as root":         {p.PermitRoot(gone), rpctypes.ErrGRPCUserNotFound},
		"nobody is in":         {p.PermitLogin(nobody), rpctypes.ErrGRPCUserEmpty},
		"a user is in":         {p.PermitLogin(user), nil},
		"a user sees itself":   {p.PermitUser(user, "u"), nil},
		"a user sees root":     {p.PermitUser(user, "root"), rpctypes.ErrGRPCPermissionDenied},
		"nobody sees a user":   {p.PermitUser(nobody, "u"), rpctypes.ErrGRPCUserEmpty},
		"root sees a user":     {p.PermitUser(root, "u"), nil},
		"a user sees its role": {p.PermitRole(user, "r"), nil},
		"a user sees another":  {p.PermitRole(user, "root"), rpctypes.ErrGRPCPermissionDenied},
		"nobody sees a role":   {p.PermitRole(nobody, "r"), rpctypes.ErrGRPCUserEmpty},
		"the member itself":    {p.PermitRoot(Caller{Member: true}), nil},
		"and its reads":        {p.PermitKeys(Caller{Member: true}, Read, []byte{0}, []byte{0}), nil},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	off, err := p.Disable(&pb.AuthDisableRequest{})
	if err != nil || off.PermitKeys(nobody, Write, []byte{0}, []byte{0}) != nil || off.PermitRoot(nobody) != nil || off.PermitLogin(nobody) != nil {
		t.Errorf("not enforced, and yet refused (%v)", err)
	}
}
