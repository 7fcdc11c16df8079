package etcdapi

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"synod.dev/synod"
	"synod.dev/synod/etcdapi/sequential"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testMember  = paxos.NodeID(0x8e9e05c52164694d)
	testCluster = 0xcdf818194e3a8c32
	bound       = time.Minute // for what happens at once unless something is broken
)

// node is a sequential.Node that can be told to fail, to wait, and to say how often it was asked.
type node struct {
	*sequential.Node
	reads, proposals atomic.Int64
	leaderless       atomic.Bool
	answer           atomic.Pointer[func() any]                          // instead of the machine's, if not nil
	fail             atomic.Pointer[error]                               // what both calls return, if not nil
	hold             atomic.Pointer[func(context.Context) error]         // runs before a proposal, if not nil
	status           atomic.Pointer[func(synod.Status) synod.Status]     // changes what Status says, if not nil
	proposed         atomic.Pointer[func(source uint64, command []byte)] // sees every proposal, if not nil
	behind           atomic.Pointer[func()]                              // what the next Read lets this node hear of, if not nil
}

func (n *node) ProposeFrom(ctx context.Context, source uint64, command []byte) (any, error) {
	n.proposals.Add(1)
	if see := n.proposed.Load(); see != nil {
		(*see)(source, command)
	}
	if hold := n.hold.Load(); hold != nil {
		if err := (*hold)(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.fail.Load(); err != nil {
		return nil, *err
	}
	if answer := n.answer.Load(); answer != nil {
		return (*answer)(), nil
	}
	return n.Node.ProposeFrom(ctx, source, command)
}

func (n *node) Read(ctx context.Context) error {
	n.reads.Add(1)
	if hear := n.behind.Swap(nil); hear != nil {
		(*hear)()
	}
	if err := n.fail.Load(); err != nil {
		return *err
	}
	return n.Node.Read(ctx)
}

func (n *node) Status() synod.Status {
	status := n.Node.Status()
	if change := n.status.Load(); change != nil {
		return (*change)(status)
	}
	return status
}

func (n *node) Leader() (paxos.NodeID, paxos.Ballot) {
	leader, ballot := n.Node.Leader()
	if n.leaderless.Load() {
		return 0, ballot
	}
	return leader, ballot
}

func (n *node) failWith(err error) {
	if err == nil {
		n.fail.Store(nil)
		return
	}
	n.fail.Store(&err)
}

// serving is a server under test, with all that it stands on.
type serving struct {
	*Server
	node     *node
	observer *Observer
	store    *kv.Store
	conn     *grpc.ClientConn
	url      string       // of the client port
	web      *http.Client // for the client port
	done     chan error   // what Serve returned
}

// serve starts a server on an empty store. change may alter its configuration before.
func serve(t testing.TB, change func(*Config)) *serving {
	t.Helper()
	return serveWith(t, kv.Config{}, change)
}

// serveWith is serve with a store of which more is to be said than where it lives.
func serveWith(t testing.TB, store kv.Config, change func(*Config)) *serving {
	t.Helper()
	s := &serving{observer: NewObserver(), done: make(chan error, 1)}
	fail := func(err error) { t.Errorf("the replica failed: %v", err) }
	var err error
	store.Dir, store.Fail, store.Logger = t.TempDir(), fail, slog.New(slog.DiscardHandler)
	if s.store, err = kv.Open(store); err != nil {
		t.Fatal(err)
	}
	members, err := OpenMembers(filepath.Join(t.TempDir(), "members"), fail)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := synod.NewMachines(map[byte]synod.StateMachine{MachineKV: s.store, MachineMembers: members})
	if err != nil {
		t.Fatal(err)
	}
	s.node = &node{Node: sequential.New(testMember, testCluster, machines, "127.0.0.1:3",
		paxos.Member{ID: 7, Incarnation: 1, Roles: paxos.FullMember, Address: "127.0.0.1:4"})}
	l := listen(t)
	config := Config{
		Node: s.node, Observer: s.observer, Store: s.store, Members: members, Name: "m3", ClientURLs: []string{"http://127.0.0.1:2"},
		Listeners: []Listener{{Listener: l}}, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	if s.Server, err = New(config); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.Serve() }()
	s.url, s.web = "http://"+l.Addr().String(), &http.Client{Transport: &http.Transport{}}
	s.conn = dial(t, l.Addr().String(), insecure.NewCredentials())
	t.Cleanup(func() { s.close(t) })
	s.awaitPublished(t)
	return s
}

// awaitPublished waits until the member has published itself, so that it does not show up among the proposals of a test.
func (s *serving) awaitPublished(t testing.TB) {
	t.Helper()
	select {
	case <-s.Published():
	case <-time.After(bound):
		t.Fatal("the member does not publish itself")
	}
}

// eventually waits until ok holds.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.After(bound)
	for tick := time.NewTicker(time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("what should happen has not happened")
		}
	}
}

func (s *serving) close(t testing.TB) {
	s.web.CloseIdleConnections()
	s.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("serving ended with %v", err)
	}
	if err := s.store.Close(); err != nil {
		t.Errorf("closing the store: %v", err)
	}
}

func (s *serving) kv() pb.KVClient { return pb.NewKVClient(s.conn) }

// mustPut writes a key.
func (s *serving) mustPut(t testing.TB, key, value string) {
	t.Helper()
	if _, err := s.kv().Put(t.Context(), &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

// hold makes proposals wait until release is called, and tells on entered when one has come.
func (s *serving) hold() (entered chan struct{}, release func()) {
	entered = make(chan struct{}, 16)
	gate, ctxEnd := make(chan struct{}), synod.ErrUnknown
	hold := func(ctx context.Context) error {
		entered <- struct{}{}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctxEnd
		}
	}
	s.node.hold.Store(&hold)
	return entered, func() { close(gate) }
}

func TestANewServerDemandsWhatItCannotDoWithout(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a server of nothing was made")
	}
}

func TestShutdownLetsARunningRequestComeToItsEnd(t *testing.T) {
	s := serve(t, nil)
	entered, release := s.hold()
	put := make(chan error, 1)
	go func() {
		_, err := s.kv().Put(context.Background(), &pb.PutRequest{Key: []byte("k")})
		put <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	<-s.stopped.Done()
	if conn, err := net.Dial("tcp", s.url[len("http://"):]); err == nil {
		// The socket may still be closing; what matters is that nobody serves on it.
		conn.SetDeadline(time.Now().Add(bound))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("a connection was served after the shutdown began")
		}
		conn.Close()
	}
	select {
	case err := <-down:
		t.Fatalf("shutdown returned %v while a request was running", err)
	default:
	}
	release()
	if err := <-put; err != nil {
		t.Errorf("the running put ended with %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownCutsRequestsOffWhenItsTimeIsUp(t *testing.T) {
	s := serve(t, nil)
	entered, _ := s.hold()
	put := make(chan error, 1)
	go func() {
		_, err := s.kv().Put(context.Background(), &pb.PutRequest{Key: []byte("k")})
		put <- err
	}()
	<-entered
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(now); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-put; err == nil {
		t.Error("the put that was cut off succeeded")
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	broken, gate := errors.New("the socket is gone"), make(chan struct{})
	s := serve(t, func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{Listener: &failingListener{Listener: listen(t), gate: gate, failures: []error{broken}}})
	})
	close(gate)
	select {
	case err := <-s.done:
		if !errors.Is(err, broken) || strings.Contains(err.Error(), "\n") {
			t.Errorf("serving ended with %v", err)
		}
		s.done <- nil // for close
	case <-time.After(bound):
		t.Error("the server goes on")
	}
}

func TestMetricsListenersServeMetricsAndHealthAndNothingElse(t *testing.T) {
	plain, secured := listen(t), listen(t)
	server, client := selfSigned(t)
	s := serve(t, func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{Listener: plain, MetricsOnly: true},
			Listener{Listener: secured, TLS: server, MetricsOnly: true})
	})
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}}
	defer web.CloseIdleConnections()
	for _, url := range []string{"http://" + plain.Addr().String(), "https://" + secured.Addr().String()} {
		for path, status := range map[string]int{"/metrics": 200, "/health": 200, "/readyz": 200, "/livez": 200, "/version": 404} {
			if got := get(t, web, url+path).status; got != status {
				t.Errorf("%s%s: status %d, not %d", url, path, got, status)
			}
		}
	}
	if got := get(t, s.web, s.url+"/metrics").status; got != http.StatusOK {
		t.Errorf("the client port's metrics: status %d", got)
	}
}

func TestAServerServesPlainAndTLSListenersAtOnce(t *testing.T) {
	secured := listen(t)
	server, client := selfSigned(t)
	s := serve(t, func(c *Config) { c.Listeners = append(c.Listeners, Listener{Listener: secured, TLS: server}) })
	s.mustPut(t, "k", "v")
	conn := dial(t, secured.Addr().String(), tlsCredentials(client))
	got, err := pb.NewKVClient(conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	if err != nil || len(got.Kvs) != 1 {
		t.Errorf("through TLS: %v, %v", got, err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: client}}
	defer web.CloseIdleConnections()
	if got := get(t, web, "https://"+secured.Addr().String()+"/health"); got.status != http.StatusOK {
		t.Errorf("health through TLS: %v", got)
	}
	if _, err := tls.Dial("tcp", secured.Addr().String(), &tls.Config{RootCAs: nil}); err == nil {
		t.Error("a client that trusts nobody was content")
	}
}

func TestEachConnectionIsASourceOfItsOwn(t *testing.T) {
	s := serve(t, nil)
	sources := make(chan uint64, 3)
	see := func(source uint64, _ []byte) { sources <- source }
	s.node.proposed.Store(&see)
	other := dial(t, s.url[len("http://"):], insecure.NewCredentials())
	for _, conn := range []*grpc.ClientConn{s.conn, s.conn, other} {
		if _, err := pb.NewKVClient(conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
	}
	first, again, another := <-sources, <-sources, <-sources
	if first == 0 || first != again || first == another {
		t.Errorf("sources %x, %x of one connection, %x of another", first, again, another)
	}
}

func TestNoMoreRequestsRunOnAConnectionThanAreAllowed(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxConcurrentStreams = 1 })
	s.mustPut(t, "k", "v") // by now the client knows the server's limit
	entered, release := s.hold()
	first := make(chan error, 1)
	go func() {
		_, err := s.kv().Put(context.Background(), &pb.PutRequest{Key: []byte("k")})
		first <- err
	}()
	<-entered
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.kv().Range(soon, &pb.RangeRequest{Key: []byte("k"), Serializable: true}); err == nil {
		t.Error("a second request ran")
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
}
