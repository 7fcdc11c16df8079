package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
	"synod.dev/synod/kv/rbac"
)

// found makes root, and alice with a role that may read and write keys that begin with "a/", only read "r/", and only write "w/".
func (f *fixture) found() {
	f.t.Helper()
	for _, req := range []proto.Message{
		&pb.AuthUserAddRequest{Name: "root", HashedPassword: "cm9vdA=="}, &pb.AuthRoleAddRequest{Name: "root"}, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"},
		&pb.AuthUserAddRequest{Name: "alice"}, &pb.AuthRoleAddRequest{Name: "r"}, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r"},
		granted("r", authpb.Permission_READWRITE, "a/", "a0"), granted("r", authpb.Permission_READ, "r/", "r0"), granted("r", authpb.Permission_WRITE, "w/", "w0"),
		&pb.AuthEnableRequest{},
	} {
		f.must(req)
	}
}

func granted(role string, kind authpb.Permission_Type, key, end string) *pb.AuthRoleGrantPermissionRequest {
	return &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: &authpb.Permission{PermType: kind, Key: []byte(key), RangeEnd: []byte(end)}}
}

// now returns a user as admitted at the current auth revision.
func (f *fixture) now(user string) rbac.Caller {
	f.t.Helper()
	_, _, revision, err := f.User(user)
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	return rbac.Caller{User: user, Revision: revision}
}

// doAs executes a request on behalf of a caller as the only command of the next slot.
func (f *fixture) doAs(caller rbac.Caller, req proto.Message) error {
	f.t.Helper()
	f.slot++
	return f.Apply([]synod.Command{{Slot: f.slot, Data: Admitted(caller, encode(f.t, req))}})[0].(Result).Err
}

// token executes a command of a login or a renewal.
func (f *fixture) token(command []byte) error {
	f.t.Helper()
	f.slot++
	return f.Apply([]synod.Command{{Slot: f.slot, Data: command}})[0].(Result).Err
}

func as(c Credential) context.Context { return WithCredential(context.Background(), c) }

func opPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func opDelete(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func nest(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

// keyRequests are requests for keys, and whether alice may make them.
var keyRequests = []struct {
	name      string
	req       proto.Message
	permitted bool
}{
	{"a put", &pb.PutRequest{Key: []byte("a/1")}, true},
	{"a put where she may only read", &pb.PutRequest{Key: []byte("r/1")}, false},
	{"a put where she may only write", &pb.PutRequest{Key: []byte("w/1")}, true},
	{"prev_kv of a put where she may only write", &pb.PutRequest{Key: []byte("w/1"), PrevKv: true}, false},
	{"a put with a lease whose keys she may not write", &pb.PutRequest{Key: []byte("a/1"), Lease: 7}, false},
	{"a put with a lease whose keys she may write", &pb.PutRequest{Key: []byte("a/1"), Lease: 8}, true},
	{"a delete", &pb.DeleteRangeRequest{Key: []byte("a/1")}, true},
	{"a delete of more", &pb.DeleteRangeRequest{Key: []byte("a/1"), RangeEnd: []byte("b")}, false},
	{"prev_kv of a delete where she may only write", &pb.DeleteRangeRequest{Key: []byte("w/1"), PrevKv: true}, false},
	{"a delete from a key on", &pb.DeleteRangeRequest{Key: []byte("a/1"), RangeEnd: []byte{0}}, false},
	{"a compaction", &pb.CompactionRequest{Revision: 1}, false},
	{"a lease", &pb.LeaseGrantRequest{ID: 9, TTL: 10}, true},
	{"the end of a lease whose keys she may not write", &pb.LeaseRevokeRequest{ID: 7}, false},
	{"a user", &pb.AuthUserAddRequest{Name: "x"}, false},
	{"a role for herself", &pb.AuthUserGrantRoleRequest{User: "alice", Role: "root"}, false},
	{"a right for her role", granted("r", authpb.Permission_READWRITE, "\x00", "\x00"), false},
	{"no authentication", &pb.AuthDisableRequest{}, false},

	{"a transaction", &pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("a/1")})}}, true},
	{"a put in a transaction", &pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("b")})}}, false},
	{"a put in the branch that is not taken", &pb.TxnRequest{Failure: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("b")})}}, false},
	{"a compare of what she may not read", &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("w/1"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("x")}}},
		Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("a/1")})}}, false},
	{"a compare of a range that she may not read", &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("a/"), RangeEnd: []byte{0}}},
		Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("a/1")})}}, false},
	// CVE-2026-33343: what is nested is judged, too, however deep.
	{"a put in a nested transaction", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("b")})}})}}, false},
	{"a range in a nested transaction", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte("b")})}})}}, false},
	{"a delete nested twice", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Failure: []*pb.RequestOp{
		nest(&pb.TxnRequest{Success: []*pb.RequestOp{opDelete(&pb.DeleteRangeRequest{Key: []byte("b")})}})}})}}, false},
	{"a compare in a nested transaction", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("b")}}})}}, false},
	// CVE-2026-44283: prev_kv and the lease of a put are judged in a transaction, too.
	{"prev_kv of a put in a transaction", &pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("w/1"), PrevKv: true})}}, false},
	{"prev_kv of a delete in a transaction", &pb.TxnRequest{Success: []*pb.RequestOp{opDelete(&pb.DeleteRangeRequest{Key: []byte("w/1"), PrevKv: true})}}, false},
	{"prev_kv of a put in a nested transaction", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Success: []*pb.RequestOp{
		opPut(&pb.PutRequest{Key: []byte("w/1"), PrevKv: true})}})}}, false},
	{"a lease of others in a nested transaction", &pb.TxnRequest{Success: []*pb.RequestOp{nest(&pb.TxnRequest{Success: []*pb.RequestOp{
		opPut(&pb.PutRequest{Key: []byte("a/1"), Lease: 7})}})}}, false},
}

// founded returns a store with users, keys and leases: root's lease 7 on a key that alice may not write, and 8 on one that she may.
func founded(t testing.TB) *fixture {
	f := newFixture(t)
	for id, key := range map[int64]string{7: "r/7", 8: "a/8"} {
		f.must(&pb.LeaseGrantRequest{ID: id, TTL: 1000})
		f.must(&pb.PutRequest{Key: []byte(key), Lease: id})
	}
	f.found()
	return f
}

func TestApplyJudgesEveryCommandByItsCaller(t *testing.T) {
	for _, test := range keyRequests {
		f := founded(t)
		want := rpctypes.ErrGRPCPermissionDenied
		if test.permitted {
			want = nil
		}
		if err := f.doAs(f.now("alice"), test.req); !sameError(err, want) {
			t.Errorf("%s, of alice: %v, want %v", test.name, err, want)
		}
		f = founded(t)
		before := f.Revision()
		if err := f.doAs(rbac.Caller{}, test.req); !sameError(err, rpctypes.ErrGRPCUserEmpty) || f.Revision() != before {
			t.Errorf("%s, of nobody: %v", test.name, err)
		}
		if err := f.doAs(f.now("root"), test.req); err != nil {
			t.Errorf("%s, of root: %v", test.name, err)
		}
	}
}

func TestEveryKindOfCommandIsRefusedToNobody(t *testing.T) {
	f := founded(t)
	requests := 0
	for k := range 256 {
		req, err := decode([]byte{byte(k)})
		if err != nil {
			continue
		}
		requests++
		if err := f.doAs(rbac.Caller{}, req); !sameError(err, rpctypes.ErrGRPCUserEmpty) && !sameError(err, rpctypes.ErrGRPCAuthFailed) {
			if txn, ok := req.(*pb.TxnRequest); ok && len(txn.Success) == 0 {
				continue // one that neither reads nor writes
			}
			t.Errorf("%T of nobody: %v", req, err)
		}
	}
	if requests < 15 {
		t.Errorf("only %d kinds", requests)
	}
}

// TestACommandAdmittedAtAnOlderAuthRevisionIsRefused is row 34: between admission and apply the user was deleted and made anew without rights, its role
// was revoked, and so on; each change moves the revision.
func TestACommandAdmittedAtAnOlderAuthRevisionIsRefused(t *testing.T) {
	for _, between := range []proto.Message{
		&pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "r"}, &pb.AuthRoleDeleteRequest{Role: "r"}, &pb.AuthUserDeleteRequest{Name: "alice"},
		&pb.AuthUserChangePasswordRequest{Name: "alice"}, &pb.AuthRoleAddRequest{Name: "s"},
	} {
		f := founded(t)
		admitted := f.now("alice")
		if err := f.doAs(f.now("root"), between); err != nil {
			t.Fatal(err)
		}
		if err := f.doAs(admitted, &pb.PutRequest{Key: []byte("a/1")}); !sameError(err, rpctypes.ErrGRPCAuthOldRevision) {
			t.Errorf("after %T: %v", between, err)
		}
	}
}

func TestACommandAdmittedBeforeAuthenticationWasSwitchedOnIsRefused(t *testing.T) {
	f := founded(t)
	if err := f.doAs(rbac.Caller{}, &pb.PutRequest{Key: []byte("a/1")}); !sameError(err, rpctypes.ErrGRPCUserEmpty) {
		t.Error(err)
	}
}

func TestAReadIsJudgedInTheStateThatItReads(t *testing.T) {
	f := founded(t)
	ctx := as(Named("alice")) // shown before; what it is worth is asked when the read is made
	reads := map[string]func() error{
		"range":  func() error { _, err := f.Range(ctx, &pb.RangeRequest{Key: []byte("a/1")}); return err },
		"stream": func() error { _, err := streamedFor(ctx, f.Store, &pb.RangeRequest{Key: []byte("a/1")}); return err },
		"count": func() error {
			_, err := streamedFor(ctx, f.Store, &pb.RangeRequest{Key: []byte("a/1"), CountOnly: true})
			return err
		},
		"txn": func() error {
			_, err := f.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte("a/1")})}})
			return err
		},
		"keys of 8": func() error {
			_, err := f.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 8, Keys: true})
			return err
		},
		"permission":   func() error { _, err := f.Permit(ctx, &pb.PutRequest{Key: []byte("a/1")}); return err },
		"her own role": func() error { _, err := f.RoleGet(ctx, &pb.AuthRoleGetRequest{Role: "r"}); return err },
	}
	for name, read := range reads {
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.doAs(f.now("root"), &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "r"}); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads {
		if err := read(); !sameError(err, rpctypes.ErrGRPCPermissionDenied) {
			t.Errorf("%s, revoked: %v", name, err)
		}
	}
}

func TestReadsAreRefusedToNobodyAndToWhoMayNotReadAllKeys(t *testing.T) {
	f := founded(t)
	for name, read := range map[string]func(ctx context.Context) error{
		"more than one may": func(ctx context.Context) error {
			_, err := f.Range(ctx, &pb.RangeRequest{Key: []byte("a/"), RangeEnd: []byte{0}})
			return err
		},
		"a stream of more": func(ctx context.Context) error {
			_, err := streamedFor(ctx, f.Store, &pb.RangeRequest{Key: []byte("a/"), RangeEnd: []byte("b")})
			return err
		},
		// GHSA-xg4h-6gfc-h4m8: a watch with an open end is asked for as a range with one.
		"a watch from a key on": func(ctx context.Context) error {
			_, err := f.Permit(ctx, &pb.RangeRequest{Key: []byte("a/1"), RangeEnd: []byte{0}})
			return err
		},
		"keys of another's lease": func(ctx context.Context) error {
			f.doAs(f.now("root"), &pb.LeaseGrantRequest{ID: 5, TTL: 100})
			f.doAs(f.now("root"), &pb.PutRequest{Key: []byte("b"), Lease: 5})
			_, err := f.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 5, Keys: true}) // etcd's issue 15815
			return err
		},
		"users": func(ctx context.Context) error { _, err := f.UserList(ctx, &pb.AuthUserListRequest{}); return err },
		"roles": func(ctx context.Context) error { _, err := f.RoleList(ctx, &pb.AuthRoleListRequest{}); return err },
		"root": func(ctx context.Context) error {
			_, err := f.UserGet(ctx, &pb.AuthUserGetRequest{Name: "root"})
			return err
		},
		"what no rule is known of": func(ctx context.Context) error {
			_, err := f.Permit(ctx, &pb.MoveLeaderRequest{})
			return err
		},
	} {
		if err := read(context.Background()); !sameError(err, rpctypes.ErrGRPCUserEmpty) {
			t.Errorf("%s, to nobody: %v", name, err)
		}
		if err := read(as(Named("alice"))); !sameError(err, rpctypes.ErrGRPCPermissionDenied) {
			t.Errorf("%s, to alice: %v", name, err)
		}
		if err := read(as(Named("root"))); err != nil {
			t.Errorf("%s, to root: %v", name, err)
		}
	}
}

func streamedFor(ctx context.Context, s *Store, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	merged := &pb.RangeResponse{}
	err := s.RangeStream(ctx, r, func(chunk Listing) error { return chunk.mergeInto(merged) })
	return merged, err
}

func TestUsersRolesAndTokensSurviveARestart(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.found()
	token := HashToken("secret")
	if err := f.token(f.EncodeLogin(f.now("alice"), token, time.Hour)); err != nil {
		t.Fatal(err)
	}
	before := f.authRows()
	f.close()
	f = open(t, fs)
	defer f.close()
	if after := f.authRows(); after != before || !f.AuthEnabled() {
		t.Errorf("rows\n%s\nafter a restart\n%s", before, after)
	}
	if _, err := f.Range(as(Token(token)), &pb.RangeRequest{Key: []byte("a/1")}); err != nil {
		t.Errorf("the token: %v", err)
	}
	if _, err := f.Range(as(Token(token)), &pb.RangeRequest{Key: []byte("b")}); !sameError(err, rpctypes.ErrGRPCPermissionDenied) {
		t.Errorf("another's key: %v", err)
	}
}

// authRows renders the rows of users, roles and tokens, but for how late it is.
func (f *fixture) authRows() string {
	f.t.Helper()
	var s strings.Builder
	err := f.read(context.Background(), func(v *view) error {
		for r, err := range v.prefixed([]byte{spaceAuth}) {
			if err != nil {
				return err
			}
			fmt.Fprintf(&s, "%x %x\n", r.key, r.value)
		}
		return nil
	})
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	return s.String()
}

// TestReplicasThatCutTheLogDifferentlyAgreeOnUsersAndOutcomes applies one log of random requests of random callers to two stores, which
// get it in pieces of different sizes; one of them is restarted in between.
func TestReplicasThatCutTheLogDifferentlyAgreeOnUsersAndOutcomes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		a, b := open(t, vfs.NewMem()), open(t, fs)
		defer a.close()
		defer func() { b.close() }()
		var log []synod.Command
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			a.slot++
			log = append(log, synod.Command{Slot: a.slot, Data: a.drawAuthCommand(t)})
			a.Apply(log[len(log)-1:])
		}
		c := open(t, vfs.NewMem())
		defer c.close()
		want := c.Apply(log)
		for i := 0; i < len(log); {
			n := min(rapid.IntRange(1, 7).Draw(t, "piece"), len(log)-i)
			for k, r := range b.Apply(log[i : i+n]) {
				compareResult(t, nil, r.(Result), want[i+k].(Result))
			}
			if i += n; rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				b.close()
				b = open(t, fs)
			}
		}
		if a.authRows() != b.authRows() || a.authRows() != c.authRows() {
			t.Fatalf("rows\n%s\nand\n%s\nand\n%s", a.authRows(), b.authRows(), c.authRows())
		}
	})
}

// drawAuthCommand draws a request of a caller who may have been admitted some time ago, or a login, or a renewal.
func (f *fixture) drawAuthCommand(t *rapid.T) []byte {
	name := func() string { return rapid.SampledFrom([]string{"root", "alice", "bob"}).Draw(t, "name") }
	role := func() string { return rapid.SampledFrom([]string{"root", "r"}).Draw(t, "role") }
	caller := f.now(name())
	caller.Revision -= uint64(rapid.IntRange(0, 1).Draw(t, "age"))
	token := HashToken(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "token"))
	reqs := []proto.Message{
		&pb.AuthUserAddRequest{Name: name()}, &pb.AuthUserAddRequest{Name: name()}, &pb.AuthRoleAddRequest{Name: role()}, &pb.AuthUserGrantRoleRequest{User: name(), Role: role()},
		&pb.AuthUserDeleteRequest{Name: name()}, &pb.AuthUserRevokeRoleRequest{Name: name(), Role: role()}, &pb.AuthRoleDeleteRequest{Role: role()},
		&pb.AuthUserChangePasswordRequest{Name: name(), HashedPassword: "aGFzaA=="}, granted(role(), authpb.Permission_WRITE, "a", "c"),
		&pb.AuthRoleRevokePermissionRequest{Role: role(), Key: []byte("a"), RangeEnd: []byte("c")}, &pb.AuthEnableRequest{}, &pb.AuthDisableRequest{},
		&pb.PutRequest{Key: []byte("b")}, nil, nil,
	}
	switch i := rapid.IntRange(0, len(reqs)-1).Draw(t, "request"); i {
	case len(reqs) - 1:
		return f.EncodeLogin(caller, token, time.Duration(rapid.IntRange(0, 1).Draw(t, "ttl"))*time.Hour)
	case len(reqs) - 2:
		return f.EncodeTokenRenewal(token, time.Hour)
	default:
		return Admitted(caller, encode(t, reqs[i]))
	}
}

func TestHashKVDoesNotSeeUsers(t *testing.T) {
	f := newFixture(t)
	f.put("k", "v")
	before, err := f.HashKV(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	f.found()
	after, err := f.HashKV(context.Background(), 0)
	if err != nil || !proto.Equal(before, after) {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
}

func TestTheLogTakesNoPassword(t *testing.T) {
	for _, req := range []proto.Message{&pb.AuthUserAddRequest{Name: "u", Password: "p"}, &pb.AuthUserChangePasswordRequest{Name: "u", Password: "p"}} {
		if command, err := Encode(req); err == nil {
			t.Errorf("%v became %q", req, command)
		}
	}
}

func TestMalformedAuthRowsAreRefused(t *testing.T) {
	for name, row := range map[string]struct{ key, value string }{
		"a short state":           {string(authStateKey), "\x01"},
		"a state that is neither": {string(authStateKey), "\x02" + strings.Repeat("\x00", 16)},
		"a user by another name":  {string(userPrefix) + "u", "\x0a\x01v"},
		"no user":                 {string(userPrefix) + "u", "\xff"},
		"no role":                 {string(rolePrefix) + "r", "\xff"},
	} {
		fs := vfs.NewMem()
		f := open(t, fs)
		f.found()
		if err := f.db.Set([]byte(row.key), []byte(row.value), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		f.close()
		s, err := openStore(Config{Dir: "db", FS: fs, Logger: quiet, Fail: func(error) {}}, memTableBytes)
		if !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func FuzzAdmission(f *testing.F) {
	f.Add([]byte{}, "", uint64(0))
	f.Add([]byte{byte(kindPut)}, "alice", uint64(7))
	f.Add([]byte{byte(kindAdmitted), 0x80, 0x80}, "root", uint64(1<<63))
	f.Fuzz(func(t *testing.T, command []byte, user string, revision uint64) {
		if _, _, err := Admission(command); err != nil && !errors.Is(err, errMalformed) {
			t.Fatal(err)
		}
		caller := rbac.Caller{User: user, Revision: revision}
		if len(command) == 0 || kind(command[0]) == kindAdmitted {
			return
		}
		gotCaller, gotCommand, err := Admission(Admitted(caller, command))
		if err != nil || gotCaller != caller || string(gotCommand) != string(command) {
			t.Fatalf("%v %q became %v %q, %v", caller, command, gotCaller, gotCommand, err)
		}
	})
}
