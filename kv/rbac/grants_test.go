package rbac

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"pgregory.net/rapid"
)

// universe is every key of up to two of a few bytes, and the key right after each: more than the ends of any two intervals of the test can lie apart by.
var universe = func() (keys []string) {
	letters := []string{"\x00", "a", "b", "\xff"}
	for _, x := range letters {
		keys = append(keys, x, x+"\x00")
		for _, y := range letters {
			keys = append(keys, x+y, x+y+"\x00")
		}
	}
	return keys
}()

// names reports, key by key, what a request's key and range end mean.
func names(key, end, k string) bool {
	switch {
	case end == "":
		return k == key
	case end == "\x00":
		return k >= key
	}
	return k >= key && k < end
}

func drawRange(t *rapid.T) (key, end string) {
	key = rapid.SampledFrom(universe).Draw(t, "key")
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 0:
		return key, ""
	case 1:
		return key, "\x00"
	}
	return key, rapid.SampledFrom(universe).Draw(t, "end")
}

func TestARangeIsCoveredIfAndOnlyIfEachOfItsKeysIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var permissions []*authpb.Permission
		for range rapid.IntRange(0, 6).Draw(t, "permissions") {
			key, end := drawRange(t)
			p := &authpb.Permission{Key: []byte(key), RangeEnd: []byte(end), PermType: authpb.Permission_Type(rapid.IntRange(0, 2).Draw(t, "type"))}
			if grantable(p) {
				permissions = append(permissions, p)
			}
		}
		granted := func(k string, kind authpb.Permission_Type) bool {
			for _, p := range permissions {
				if (p.PermType == kind || p.PermType == authpb.Permission_READWRITE) && names(string(p.Key), string(p.RangeEnd), k) {
					return true
				}
			}
			return false
		}
		key, end := drawRange(t)
		if end != "" && end != "\x00" && end <= key {
			end = "" // a range without keys is judged as its key alone
		}
		want := map[authpb.Permission_Type]bool{authpb.Permission_READ: true, authpb.Permission_WRITE: true}
		for kind := range want {
			for _, k := range append(universe, "\xff\xff\xff") { // the last stands for all beyond
				if names(key, end, k) && !granted(k, kind) {
					want[kind] = false
				}
			}
		}
		g := grantsOf(permissions)
		got := map[authpb.Permission_Type]bool{authpb.Permission_READ: g.read.cover(intervalOf(key, end)), authpb.Permission_WRITE: g.write.cover(intervalOf(key, end))}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("[%q, %q) under %v: %v, want %v", key, end, permissions, got, want)
		}
	})
}

func TestCoverAtTheEdges(t *testing.T) {
	for _, test := range []struct{ grantKey, grantEnd, key, end, want string }{
		{"a", "", "a", "", "yes"},
		{"a", "", "a\x00", "", "no"},
		{"a", "", "a", "a\x00", "yes"},
		{"a", "", "a", "\x00", "no"}, // a grant of one key is none of those after it
		{"a", "c", "a", "c", "yes"},
		{"a", "c", "b", "", "yes"},
		{"a", "c", "c", "", "no"},
		{"a", "c", "a", "\x00", "no"},
		{"a", "c", "\x00", "\x00", "no"},
		{"a", "\x00", "b", "\x00", "yes"},
		{"a", "\x00", "\xff\xff", "", "yes"},
		{"b", "\x00", "a", "\x00", "no"},
		{"\x00", "\x00", "\x00", "\x00", "yes"},
		{"a", "c", "b", "a", "yes"}, // no key is in it; it is judged as b
		{"a", "c", "d", "a", "no"},
	} {
		p := &authpb.Permission{Key: []byte(test.grantKey), RangeEnd: []byte(test.grantEnd)}
		got := "no"
		if grantsOf([]*authpb.Permission{p}).read.cover(intervalOf(test.key, test.end)) {
			got = "yes"
		}
		if got != test.want {
			t.Errorf("a grant of [%q, %q) covers [%q, %q): %s, want %s", test.grantKey, test.grantEnd, test.key, test.end, got, test.want)
		}
	}
}

func BenchmarkPermitKeysAmongAThousandPermissions(b *testing.B) {
	p := Empty()
	p.Enabled = true
	p.Users["u"] = &authpb.User{Name: []byte("u"), Roles: []string{"r"}}
	role := &authpb.Role{Name: []byte("r")}
	for i := range 1000 {
		role.KeyPermission = append(role.KeyPermission, &authpb.Permission{Key: fmt.Appendf(nil, "/app/%04d/", i), RangeEnd: fmt.Appendf(nil, "/app/%04d0", i)})
	}
	p.Roles["r"] = role
	key := []byte("/app/0500/x")
	for b.Loop() {
		if err := p.PermitKeys(Caller{User: "u", Revision: 1}, Read, key, nil); err != nil {
			b.Fatal(err)
		}
	}
}
