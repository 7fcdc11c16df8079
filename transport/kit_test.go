package transport

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests: none of them gets near it unless something is broken.
const patience = 20 * time.Second

const testCluster = 0xC1

// received is one frame as a Handler got it.
type received struct {
	from    Identity
	class   Class
	payload []byte
}

// recorder is a Handler that hands on what it is told through channels. Each hook may be replaced before Start.
type recorder struct {
	admit   func(Identity, []byte) error
	receive func(received)

	frames       chan received
	connected    chan Identity
	disconnected chan error
	refused      chan string
}

func newRecorder() *recorder {
	r := &recorder{
		admit:        func(Identity, []byte) error { return nil },
		frames:       make(chan received, 1<<16),
		connected:    make(chan Identity, 1<<10),
		disconnected: make(chan error, 1<<10),
		refused:      make(chan string, 1<<10),
	}
	r.receive = func(f received) { r.frames <- f }
	return r
}

func (r *recorder) Admit(peer Identity, greeting []byte) error { return r.admit(peer, greeting) }
func (r *recorder) Receive(peer Identity, class Class, payload []byte) {
	r.receive(received{peer, class, payload})
}
func (r *recorder) Connected(peer Identity)            { offer(r.connected, peer) }
func (r *recorder) Disconnected(_ Identity, why error) { offer(r.disconnected, why) }
func (r *recorder) Refused(_ uint64, reason string)    { offer(r.refused, reason) }

// offer lets events that no test waits for go.
func offer[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}

// await returns the next value of a channel.
func await[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// awaitValue drops values until one satisfies ok.
func awaitValue[T any](t testing.TB, from <-chan T, what string, ok func(T) bool) T {
	t.Helper()
	for {
		if v := await(t, from, what); ok(v) {
			return v
		}
	}
}

// node is one Transport under test.
type node struct {
	*Transport
	*recorder
	address string
	log     *lines
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a Transport for id on l until the test ends. The hooks adjust its Config and recorder first.
func start(t testing.TB, id uint64, l net.Listener, peers []Peer, hooks ...func(*Config, *recorder)) *node {
	t.Helper()
	n := &node{recorder: newRecorder(), address: l.Addr().String(), log: newLines()}
	cfg := Config{
		Self:     Identity{Cluster: testCluster, Node: id, Incarnation: id + 100},
		Peers:    peers,
		Listener: l,
		Handler:  n.recorder,
		Logger:   slog.New(slog.NewTextHandler(n.log, nil)),
	}
	for _, hook := range hooks {
		hook(&cfg, n.recorder)
	}
	var err error
	if n.Transport, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// pair runs nodes 1 and 2, connected to each other. The hooks apply to both.
func pair(t testing.TB, hooks ...func(*Config, *recorder)) (a, b *node) {
	t.Helper()
	la, lb := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	a = start(t, 1, la, []Peer{{2, lb.Addr().String()}}, hooks...)
	b = start(t, 2, lb, []Peer{{1, la.Addr().String()}}, hooks...)
	await(t, a.connected, "connection from 1 to 2")
	await(t, b.connected, "connection from 2 to 1")
	return a, b
}

// mustSend fails the test if the frame is dropped.
func (n *node) mustSend(t testing.TB, to uint64, class Class, payload ...[]byte) {
	t.Helper()
	if !n.Send(to, class, payload...) {
		t.Fatalf("node %d dropped a %v frame to %d", n.cfg.Self.Node, class, to)
	}
}

// numbered is a payload that is told from any other.
func numbered(i int) []byte { return fmt.Appendf(nil, "frame %d of a sequence, and %d again", i, i) }

// lines is a log that a test can wait on.
type lines struct{ written chan string }

func newLines() *lines { return &lines{written: make(chan string, 1<<10)} }

func (l *lines) Write(line []byte) (int, error) {
	offer(l.written, string(line))
	return len(line), nil
}
