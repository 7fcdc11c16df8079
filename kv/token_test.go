package kv

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// valid reports whether a token stands for anyone.
func (f *fixture) valid(token TokenHash) bool {
	f.t.Helper()
	err := f.PermitLogin(as(Token(token)))
	if err != nil && !sameError(err, rpctypes.ErrGRPCInvalidAuthToken) {
		f.t.Fatalf("%v", err)
	}
	return err == nil
}

// login gives a user a token that lives for ttl.
func (f *fixture) login(user string, token TokenHash, ttl time.Duration) {
	f.t.Helper()
	if err := f.token(f.EncodeLogin(f.now(user), token, ttl)); err != nil {
		f.t.Fatalf("login: %v", err)
	}
}

func TestATokenIsGoodUntilWhatItRestsOnChanges(t *testing.T) {
	alice, root := HashToken("alice's"), HashToken("root's")
	for _, test := range []struct {
		change      proto.Message
		alice, root bool
	}{
		{&pb.AuthUserChangePasswordRequest{Name: "alice"}, false, true},
		{&pb.AuthUserDeleteRequest{Name: "alice"}, false, true},
		{&pb.AuthRoleDeleteRequest{Role: "r"}, true, true},
		{&pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "r"}, true, true},
		{&pb.AuthDisableRequest{}, false, false},
	} {
		f := founded(t)
		f.login("alice", alice, time.Hour)
		f.login("root", root, time.Hour)
		if err := f.doAs(f.now("root"), test.change); err != nil {
			t.Fatal(err)
		}
		f.doAs(f.now("root"), &pb.AuthEnableRequest{}) // again, if it was that
		if f.valid(alice) != test.alice || f.valid(root) != test.root {
			t.Errorf("after %T: alice's is good %v, root's %v", test.change, f.valid(alice), f.valid(root))
		}
	}
}

func TestALoginWhosePasswordWasCheckedBeforeAChangeIsRefused(t *testing.T) {
	f := founded(t)
	before := f.now("alice")
	if err := f.doAs(f.now("root"), &pb.AuthUserChangePasswordRequest{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	if err := f.token(f.EncodeLogin(before, HashToken("x"), time.Hour)); !sameError(err, rpctypes.ErrGRPCAuthOldRevision) {
		t.Error(err)
	}
	if f.valid(HashToken("x")) {
		t.Error("the old password gave a token")
	}
	if err := f.token(f.EncodeLogin(f.now("nobody"), HashToken("x"), time.Hour)); !sameError(err, rpctypes.ErrGRPCAuthFailed) {
		t.Errorf("who does not exist: %v", err)
	}
}

func TestATokenExpiresByTheLogsClockUnlessItIsRenewed(t *testing.T) {
	f := founded(t)
	used, idle := HashToken("used"), HashToken("idle")
	f.login("alice", used, time.Hour)
	f.login("alice", idle, time.Hour)
	f.pass(50 * time.Minute)
	if left, err := f.TokenLeft(used); err != nil || left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("%v left, %v", left, err)
	}
	if err := f.token(f.EncodeTokenRenewal(used, time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.pass(50 * time.Minute)
	if !f.valid(used) || f.valid(idle) {
		t.Errorf("the one that was used is good %v, the other %v", f.valid(used), f.valid(idle))
	}
	if err := f.token(f.EncodeTokenRenewal(idle, time.Hour)); !sameError(err, rpctypes.ErrGRPCInvalidAuthToken) {
		t.Errorf("renewed what had expired: %v", err)
	}
	if left, err := f.TokenLeft(idle); left != 0 || err != nil {
		t.Errorf("%v left of what has expired, %v", left, err)
	}
}

// pass lets time pass on this replica, as far as tokens go.
func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.Store
	s.auth = &auth{Policy: s.auth.Policy, clock: s.auth.clock, taken: s.auth.taken.Add(-d)}
	if err := s.publish(); err != nil {
		f.t.Fatalf("%v", err)
	}
}

// TestAClockThatHasJumpedAheadDoesNotShortenTheLivesOfLaterTokens: one member's clock was a day ahead when it proposed, and the others count on from there.
func TestAClockThatHasJumpedAheadDoesNotShortenTheLivesOfLaterTokens(t *testing.T) {
	f := founded(t)
	ahead := open(t, vfs.NewMem())
	defer ahead.close()
	ahead.found()
	ahead.mu.Lock()
	ahead.auth = &auth{Policy: ahead.auth.Policy, clock: time.Now().Add(24 * time.Hour).UnixNano(), taken: time.Now()}
	err := ahead.publish()
	ahead.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.token(ahead.EncodeLogin(f.now("alice"), HashToken("jump"), time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.pass(2 * time.Hour)
	f.login("alice", HashToken("later"), time.Hour)
	if f.valid(HashToken("jump")) || !f.valid(HashToken("later")) {
		t.Errorf("the first is good %v, the later %v", f.valid(HashToken("jump")), f.valid(HashToken("later")))
	}
}

// TestTheLogsClockNeverGoesBack: a member that is behind has proposed with an earlier time.
func TestTheLogsClockNeverGoesBack(t *testing.T) {
	f := founded(t)
	f.login("alice", HashToken("earliest"), time.Minute)
	behind := f.EncodeLogin(f.now("alice"), HashToken("behind"), time.Hour)
	f.pass(24 * time.Hour)
	f.login("alice", HashToken("first"), time.Hour)
	if err := f.token(behind); err != nil {
		t.Fatal(err)
	}
	if left, err := f.TokenLeft(HashToken("first")); err != nil || left > time.Hour {
		t.Errorf("a token for an hour has %v left: %v", left, err)
	}
}

func TestALoginDeletesWhatHasExpired(t *testing.T) {
	f := founded(t)
	before := f.authRows()
	for _, token := range []string{"1", "2", "3"} {
		f.login("alice", HashToken(token), time.Minute)
	}
	f.pass(time.Hour)
	f.login("alice", HashToken("4"), time.Minute)
	if rows, had := countLines(f.authRows()), countLines(before); rows != had+2 {
		t.Errorf("%d rows for one token, and there were %d before", rows, had)
	}
}

func countLines(s string) (n int) {
	for _, c := range s {
		if c == '\n' {
			n++
		}
	}
	return n
}

func TestNoTokensAreGivenWithoutAuthentication(t *testing.T) {
	f := newFixture(t)
	if err := f.token(f.EncodeLogin(rbac.Caller{User: "u", Revision: 1}, HashToken("x"), time.Hour)); !sameError(err, rpctypes.ErrGRPCAuthNotEnabled) {
		t.Error(err)
	}
}

func TestAMalformedTokenCommandStopsTheStoreAndChangesNothing(t *testing.T) {
	for _, command := range [][]byte{{byte(kindLogin)}, {byte(kindTokenRenewal), 1}, append(make([]byte, 0), byte(kindAdmitted), 1, 200)} {
		stopped := 0
		s, err := openStore(Config{Dir: "db", FS: vfs.NewMem(), Logger: quiet, Fail: func(error) { stopped++ }}, memTableBytes)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{Store: s, t: t}
		if err := f.token(command); !sameError(err, rpctypes.ErrGRPCTimeoutDueToLeaderFail) || stopped != 1 {
			t.Errorf("%x: %v, stopped %d times", command, err, stopped)
		}
		s.Close() // what a stopped store says of closing is not the matter
	}
}
