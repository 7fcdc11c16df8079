package etcdapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/etcdapi/v3electionpb"
	"synod.dev/synod/kv"
)

// logBook keeps what a server logs.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns the lines since it was last called, without time and addresses.
func (b *logBook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	text := regexp.MustCompile(`(?m)^time=\S+ | remote=\S+`).ReplaceAllString(b.text.String(), "")
	return strings.TrimSpace(text)
}

// TestWhatOperatorsAskForIsALineEach does what changes a server's state, or goes wrong, and reads the log.
func TestWhatOperatorsAskForIsALineEach(t *testing.T) {
	var log logBook
	s := serve(t, func(c *Config) {
		cheap(c)
		c.QuotaBytes = 256 << 10
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	log.take()
	const refused = "level=WARN msg=\"a login has failed: if there are many, somebody is guessing\" "
	for _, step := range []struct {
		name string
		do   func()
		want []string // each a pattern
	}{
		{"a user", func() {
			_, err := s.auth().UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "root", Password: "hidden"})
			must(t, err)
		}, []string{`level=INFO msg="users, roles or permissions have been changed" request=AuthUserAddRequest`}},
		{"its role", func() {
			_, err := s.auth().UserGrantRole(t.Context(), &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
			must(t, err)
		}, []string{`level=INFO msg="users, roles or permissions have been changed" request=AuthUserGrantRoleRequest`}},
		{"enforcement", func() {
			_, err := s.auth().AuthEnable(t.Context(), &pb.AuthEnableRequest{})
			must(t, err)
		}, []string{`level=INFO msg="users, roles or permissions have been changed" request=AuthEnableRequest`}},
		{"many logins that fail", func() {
			for range 20 {
				if _, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "root", Password: "sesame"}); err == nil {
					t.Error("a wrong password is right")
				}
			}
			if _, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "hidden", Password: "hidden"}); err == nil {
				t.Error("nobody has logged in")
			}
		}, []string{refused + `user=root error=.*authentication failed.* muted=0`}},
		{"a compaction", func() {
			root := s.loginWith(t, "root", "hidden")
			must(t, s.put(root, "key"))
			must(t, s.put(root, "key"))
			_, err := s.kv().Compact(root, &pb.CompactionRequest{Revision: 2})
			must(t, err)
		}, []string{`level=INFO msg="the history is compacted" revision=2`}},
		{"a full store", func() {
			root := s.loginWith(t, "root", "hidden")
			for err := error(nil); err == nil; {
				_, err = s.kv().Put(root, &pb.PutRequest{Key: []byte("key"), Value: bytes.Repeat([]byte("hidden"), 4<<10)})
			}
		}, []string{`level=WARN msg="an alarm has been raised: the store is full, .*" alarm=NOSPACE peer=[0-9a-f]+ store-bytes=\d+ quota-bytes=262144`}},
		{"checks of health while it lasts", func() {
			for range 20 {
				get(t, s.web, s.url+"/health")
				get(t, s.web, s.url+"/readyz")
			}
		}, []string{`level=WARN msg="health check failed" path=/health reason="ALARM NOSPACE" muted=0`}},
		{"its end", func() {
			_, err := pb.NewMaintenanceClient(s.conn).Alarm(s.loginWith(t, "root", "hidden"), &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: uint64(testMember), Alarm: pb.AlarmType_NOSPACE})
			must(t, err)
		}, []string{`level=INFO msg="an alarm has been ended" alarm=NOSPACE peer=[0-9a-f]+`}},
		{"an automatic compaction", func() { s.compactIfLeading(s.store.Revision()) }, []string{`level=INFO msg="the history is compacted" revision=\d+`}},
		{"the same again is none", func() { s.compactIfLeading(2) }, nil},
	} {
		step.do()
		said := log.take()
		if pattern := "^" + strings.Join(step.want, "\n") + "$"; !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("%s: the log says\n%s\nwant\n%s", step.name, said, pattern)
		}
		for _, secret := range []string{"hidden", "sesame"} {
			if strings.Contains(said, secret) {
				t.Errorf("%s: the log holds %q: %s", step.name, secret, said)
			}
		}
	}
}

// TestWhatClientsBringAboutIsNoUnexpectedFailure has requests refused with the codes of what nobody expects, and then one that nobody does: it is told, and not muted.
func TestWhatClientsBringAboutIsNoUnexpectedFailure(t *testing.T) {
	var log logBook
	s := serveWith(t, kv.Config{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, nobody := s.elections().Leader(t.Context(), &v3electionpb.LeaderRequest{Name: []byte("x")})
	_, noKey := s.elections().Proclaim(t.Context(), &v3electionpb.ProclaimRequest{})
	_, lost := s.elections().Proclaim(t.Context(), &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Name: []byte("x"), Key: []byte("x/1"), Rev: 1}})
	_, downgrade := pb.NewMaintenanceClient(s.conn).Downgrade(t.Context(), &pb.DowngradeRequest{Action: 9})
	s.alarm(t, pb.AlarmRequest_ACTIVATE, 7, pb.AlarmType_CORRUPT)
	corrupt := s.put(t.Context(), "key")
	for name, err := range map[string]error{"nobody is elected": nobody, "no leader's key": noKey, "a leader no more": lost, "a downgrade": downgrade} {
		if status.Code(err) != codes.Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	if status.Code(corrupt) != codes.DataLoss {
		t.Errorf("a put in a corrupt cluster: %v", corrupt)
	}
	if said := log.take(); strings.Contains(said, "level=ERROR") {
		t.Errorf("the log says\n%s", said)
	}
	s.node.failWith(errors.New("nobody knows why"))
	if err := s.put(t.Context(), "key"); err == nil {
		t.Error("a put succeeds on a node that fails")
	}
	if said := log.take(); !strings.Contains(said, "a request failed unexpectedly") || !strings.Contains(said, "muted=0") {
		t.Errorf("the log says\n%s", said)
	}
}

// TestStrangersOnTheClientPortAreALineOnceInAWhile sends what is neither TLS nor anything else to a port for TLS, many times.
func TestStrangersOnTheClientPortAreALineOnceInAWhile(t *testing.T) {
	var log logBook
	secured, _ := selfSigned(t)
	p := newPort(slog.New(slog.NewTextHandler(&log, nil)))
	for range 50 {
		ours, theirs := net.Pipe()
		go func() {
			io.WriteString(theirs, "GET / HTTP/1.1\r\n\r\n") // the only error is that the port has closed it already
			io.Copy(io.Discard, theirs)
			theirs.Close()
		}()
		p.decide(ours, Listener{TLS: secured})
	}
	if said := log.take(); strings.Count(said, "\n") != 0 || !strings.HasPrefix(said, `level=WARN msg="rejected connection on client endpoint"`) {
		t.Errorf("the log says\n%s", said)
	}
}

// TestTheAlarmOfCorruptionTellsWhatToDo raises it by hand.
func TestTheAlarmOfCorruptionTellsWhatToDo(t *testing.T) {
	var log logBook
	s := serveWith(t, kv.Config{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	log.take()
	s.alarm(t, pb.AlarmRequest_ACTIVATE, uint64(testMember), pb.AlarmType_CORRUPT)
	if said := log.take(); !strings.Contains(said, "find out first what is damaged") || !strings.Contains(said, "alarm=CORRUPT") || strings.Contains(said, "\n") {
		t.Errorf("the log says\n%s", said)
	}
}
