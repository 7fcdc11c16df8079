package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a server that says its name, and then what it hears, until its client has ended.
func endpoint(t *testing.T, name string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				if _, err := io.WriteString(conn, name); err == nil {
					io.Copy(conn, conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return l.Addr().String()
}

// start serves a relay until the test ends, or stop is called; that returns what Serve has returned.
func start(t *testing.T, r *Relay) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

// connect returns a connection, and the name of who is at its other end: "" if that closes it.
func connect(t *testing.T, address string) (*net.TCPConn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	name := make([]byte, 1)
	if n, err := conn.Read(name); n == 0 {
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		return conn.(*net.TCPConn), ""
	}
	return conn.(*net.TCPConn), string(name)
}

func TestConnectionsGoToTheEndpointsInTurn(t *testing.T) {
	address, _ := start(t, &Relay{Endpoints: []string{endpoint(t, "a"), endpoint(t, "b"), endpoint(t, "c")}, RetryDelay: time.Hour})
	var names []string
	for range 6 {
		_, name := connect(t, address)
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"a", "b", "c", "a", "b", "c"}) {
		t.Errorf("they go to %v", names)
	}
}

func TestAClientThatHasSaidAllMayListenOn(t *testing.T) {
	address, _ := start(t, &Relay{Endpoints: []string{endpoint(t, "a")}, RetryDelay: time.Hour})
	conn, _ := connect(t, address)
	if _, err := io.WriteString(conn, "the last word"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if heard, err := io.ReadAll(conn); err != nil || string(heard) != "the last word" {
		t.Errorf("it hears %q, %v", heard, err)
	}
}

// flaky dials endpoints, but for those that are down, and counts.
type flaky struct {
	mu    sync.Mutex
	down  map[string]bool
	tried map[string]int
}

func (f *flaky) dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried[address]++
	if f.down[address] {
		return nil, errors.New("it is down")
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (f *flaky) set(address string, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[address] = down
}

func (f *flaky) attempts(address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tried[address]
}

func TestAnEndpointThatFailsIsLeftAside(t *testing.T) {
	a, b := endpoint(t, "a"), endpoint(t, "b")
	f := &flaky{down: map[string]bool{a: true}, tried: map[string]int{}}
	address, _ := start(t, &Relay{Endpoints: []string{a, b}, RetryDelay: time.Hour, dial: f.dial})
	for range 6 {
		if _, name := connect(t, address); name != "b" {
			t.Errorf("a client is passed on to %q", name)
		}
	}
	if n := f.attempts(a); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	f.set(b, true)
	if _, name := connect(t, address); name != "" || f.attempts(a) != 2 {
		t.Errorf("with nobody there a client is passed on to %q, and the one aside was tried %d times", name, f.attempts(a))
	}
	f.set(a, false)
	if _, name := connect(t, address); name != "a" {
		t.Errorf("with one that is back a client is passed on to %q", name)
	}
}

func TestAnEndpointThatWasLeftAsideIsTriedAgainAfterAWhile(t *testing.T) {
	a, b := endpoint(t, "a"), endpoint(t, "b")
	f := &flaky{down: map[string]bool{a: true}, tried: map[string]int{}}
	address, _ := start(t, &Relay{Endpoints: []string{a, b}, RetryDelay: time.Nanosecond, dial: f.dial})
	if _, name := connect(t, address); name != "b" {
		t.Errorf("a client is passed on to %q", name)
	}
	f.set(a, false)
	names := map[string]int{}
	for range 4 {
		_, name := connect(t, address)
		names[name]++
	}
	if names["a"] != 2 || names["b"] != 2 {
		t.Errorf("clients are passed on to %v", names)
	}
}

func TestARelayThatStopsClosesEverything(t *testing.T) {
	address, stop := start(t, &Relay{Endpoints: []string{endpoint(t, "a")}, RetryDelay: time.Hour})
	conn, _ := connect(t, address)
	if err := stop(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, err := io.ReadAll(conn); err != nil && !isReset(err) {
		t.Errorf("the client is told %v", err)
	}
	if again, err := net.Dial("tcp", address); err == nil {
		again.Close()
		t.Error("it still listens")
	}
}

// isReset reports whether a connection was closed with bytes under way.
func isReset(err error) bool {
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func TestAListenerThatFailsEndsTheRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := &Relay{Endpoints: []string{"127.0.0.1:1"}, Logger: slog.New(slog.DiscardHandler)}
	if err := r.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
}
