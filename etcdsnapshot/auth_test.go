package etcdsnapshot

import (
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
)

// guarded returns a store with users, roles, which are enforced, and an alarm.
func guarded(t testing.TB) *kv.Store {
	t.Helper()
	s := open(t)
	commands := [][]byte{kv.EncodeAlarm(&pb.AlarmMember{MemberID: 0xa, Alarm: pb.AlarmType_NOSPACE}, true)}
	for _, req := range []proto.Message{
		&pb.AuthUserAddRequest{Name: "root", HashedPassword: base64.StdEncoding.EncodeToString([]byte("a hash"))},
		&pb.AuthUserAddRequest{Name: "nologin", Options: &authpb.UserAddOptions{NoPassword: true}},
		&pb.AuthRoleAddRequest{Name: "reader"},
		&pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: &authpb.Permission{Key: []byte("b"), RangeEnd: []byte{0}}},
		&pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("a")}},
		&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"},
		&pb.AuthUserGrantRoleRequest{User: "nologin", Role: "reader"},
		&pb.AuthEnableRequest{},
	} {
		command, err := kv.Encode(req)
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, command)
	}
	for _, command := range commands {
		if r := s.Apply([]synod.Command{{Slot: s.Applied() + 1, Data: command}})[0].(kv.Result); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return s
}

// beside is what a store has beside its keys.
func beside(t testing.TB, s *kv.Store) kv.Exported {
	t.Helper()
	state, err := s.Export(t.Context(), func([]byte, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func samePolicy(a, b *rbac.Policy) bool {
	same := a.Enabled == b.Enabled && a.Revision == b.Revision && len(a.Users) == len(b.Users) && len(a.Roles) == len(b.Roles)
	for name, user := range a.Users {
		same = same && proto.Equal(user, b.Users[name])
	}
	for name, role := range a.Roles {
		same = same && proto.Equal(role, b.Roles[name])
	}
	return same
}

// TestARestoredStoreKeepsOutWhomTheFirstKeptOut, at once and after it is opened again.
func TestARestoredStoreKeepsOutWhomTheFirstKeptOut(t *testing.T) {
	from := guarded(t)
	want := beside(t, from)
	config := kv.Config{Dir: t.TempDir(), Fail: func(err error) { t.Errorf("the store failed: %v", err) }, Logger: slog.New(slog.DiscardHandler)}
	to, err := kv.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Restore(save(t, from), to)
	for _, moment := range []string{"restored", "opened again"} {
		if err != nil {
			t.Fatalf("%s: %v", moment, err)
		}
		got := beside(t, to)
		if !got.Auth.Enabled || !samePolicy(want.Auth, got.Auth) {
			t.Errorf("%s: the policy is %+v, was %+v", moment, got.Auth, want.Auth)
		}
		if len(got.Alarms) != 1 || !proto.Equal(got.Alarms[0], want.Alarms[0]) {
			t.Errorf("%s: alarms %v, were %v", moment, got.Alarms, want.Alarms)
		}
		if _, err := to.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); err == nil {
			t.Errorf("%s: nobody may read", moment)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		to, err = kv.Open(config)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASnapshotWhoseUsersMakeNoSenseIsRefused: to leave aside what cannot be read could open everything to everyone.
func TestASnapshotWhoseUsersMakeNoSenseIsRefused(t *testing.T) {
	for _, c := range []struct {
		name               string
		bucket, key, value []byte
		want               string
	}{
		{"a flag of two bytes", bucketAuth, authEnabled, []byte{1, 0}, "malformed row authEnabled"},
		{"a flag that is neither", bucketAuth, authEnabled, []byte{2}, "malformed row authEnabled"},
		{"a short revision", bucketAuth, authRevision, []byte{1}, "malformed row authRevision"},
		{"a row of an unknown kind", bucketAuth, []byte("authNew"), []byte{1}, "malformed row authNew"},
		{"a user that is none", bucketAuthUsers, []byte("root"), []byte{0xff}, `malformed User "root"`},
		{"a user under another's name", bucketAuthUsers, []byte("eve"), []byte("\x0a\x04root"), `malformed User "eve"`},
		{"a role under another's name", bucketAuthRoles, []byte("r"), []byte("\x0a\x04root"), `malformed Role "r"`},
		{"a root without its role", bucketAuthUsers, []byte("root"), []byte("\x0a\x04root"), "no user root"},
		{"an alarm that is none", bucketAlarm, []byte{0xff}, nil, "malformed alarm"},
		{"an alarm of an unknown type", bucketAlarm, []byte{0x10, 9}, nil, "unknown type"},
	} {
		path := filepath.Join(t.TempDir(), "bare")
		if err := Write(t.Context(), path, guarded(t), origin); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(c.bucket).Put(c.key, c.value) })
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(path, open(t)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
