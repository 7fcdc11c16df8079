package etcdapi

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// sharedPort serves gRPC health and one HTTP path on one socket, as a Server does, and returns its address.
func sharedPort(t testing.TB, config *tls.Config) string {
	t.Helper()
	return sharedListener(t, Listener{TLS: config})
}

// sharedListener does the same with a listener that lacks its socket.
func sharedListener(t testing.TB, l Listener) string {
	t.Helper()
	p := newPort(slog.New(slog.DiscardHandler))
	g := grpc.NewServer(grpc.Creds(newHandshaken(1)))
	healthpb.RegisterHealthServer(g, health.NewServer())
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })}
	l.Listener = listen(t)
	go g.Serve(p.grpc)
	go h.Serve(p.http)
	served := make(chan error, 1)
	go func() { served <- p.serve(l) }()
	t.Cleanup(func() {
		l.Close()
		p.close()
		g.Stop()
		h.Close()
		if err := <-served; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t testing.TB, address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestOnePortServesWithTLSAndWithoutWhereBothAreAllowed(t *testing.T) {
	server, client := selfSigned(t)
	address := sharedListener(t, Listener{TLS: server, Plain: true})
	for _, creds := range []credentials.TransportCredentials{insecure.NewCredentials(), credentials.NewTLS(client)} {
		resp, err := healthpb.NewHealthClient(dial(t, address, creds)).Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("gRPC over %q answered %v, %v", creds.Info().SecurityProtocol, resp, err)
		}
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: client.Clone()}}
	t.Cleanup(web.CloseIdleConnections)
	for _, scheme := range []string{"http://", "https://"} {
		if got := get(t, web, scheme+address); got.body != "HTTP/1.1" {
			t.Errorf("%s: %v", scheme, got)
		}
	}
	strict := sharedPort(t, server)
	if _, err := healthpb.NewHealthClient(dial(t, strict, insecure.NewCredentials())).Check(t.Context(), &healthpb.HealthCheckRequest{}); err == nil {
		t.Error("a client got through without TLS where it is demanded")
	}
}

func TestOnePortServesGRPCAndHTTP(t *testing.T) {
	server, client := selfSigned(t)
	for _, c := range []struct {
		name   string
		config *tls.Config
		url    string
		creds  credentials.TransportCredentials
		proto  string // of a web client that offers HTTP/2 beside HTTP/1.1, as curl and Prometheus do
	}{
		{"plain", nil, "http://", insecure.NewCredentials(), "HTTP/1.1"},
		{"TLS", server, "https://", credentials.NewTLS(client), "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := sharedPort(t, c.config)
			resp, err := healthpb.NewHealthClient(dial(t, address, c.creds)).Check(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("gRPC answered %v, %v", resp, err)
			}
			for _, modern := range []bool{true, false} {
				want := "HTTP/1.1"
				if modern {
					want = c.proto
				}
				web := &http.Client{Transport: &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: modern}}
				if got := get(t, web, c.url+address+"/").body; got != want {
					t.Errorf("HTTP was served as %q, not %q", got, want)
				}
				web.CloseIdleConnections()
			}
		})
	}
}

func TestAGRPCClientThatAlsoOffersHTTP1IsServedAllTheSame(t *testing.T) {
	secured := listen(t)
	server, client := selfSigned(t)
	client.NextProtos = []string{"h2", "http/1.1"}
	serve(t, func(c *Config) { c.Listeners = append(c.Listeners, Listener{Listener: secured, TLS: server}) })
	kv := pb.NewKVClient(dial(t, secured.Addr().String(), credentials.NewTLS(client)))
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Error(err)
	}
	if _, err := kv.Put(t.Context(), &pb.PutRequest{}); !sameStatus(err, rpctypes.ErrGRPCEmptyKey) {
		t.Error(err)
	}
}

func TestAConnectionThatTrickledInIsServedWhole(t *testing.T) {
	address := sharedPort(t, nil)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// "P" alone could still become the preface; the request must survive being looked at in pieces.
	for _, piece := range []string{"P", "OST / HT", "TP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"} {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestThePrefaceIsToldFromEverythingElseAndNothingIsLost(t *testing.T) {
	preface := string(http2Preface)
	for _, c := range []struct {
		sent  string
		http2 bool
	}{
		{preface, true},
		{preface + "frames", true},
		{"GET / HTTP/1.1\r\n\r\n", false},
		{"PUT / HTTP/1.1\r\n\r\n", false},
		{"PRI * HTTP/2.0\r\n\r\nSX", false},
		{"\x16\x03\x01", false}, // a TLS handshake where none is spoken
	} {
		for name, reader := range map[string]io.Reader{
			"whole":         strings.NewReader(c.sent),
			"byte by byte":  iotest.OneByteReader(strings.NewReader(c.sent)),
			"with the end":  iotest.DataErrReader(strings.NewReader(c.sent)),
			"half by half":  iotest.HalfReader(strings.NewReader(c.sent)),
			"preface apart": io.MultiReader(strings.NewReader(c.sent[:1]), strings.NewReader(c.sent[1:])),
		} {
			conn, http2, err := peekPreface(&readConn{reader: reader})
			if err != nil {
				t.Errorf("%q %s: %v", c.sent, name, err)
				continue
			}
			rest, err := io.ReadAll(conn)
			if http2 != c.http2 || string(rest) != c.sent || err != nil {
				t.Errorf("%q %s: HTTP/2 %v, then read %q, %v", c.sent, name, http2, rest, err)
			}
		}
	}
}

func TestAConnectionThatEndsUndecidedIsAnError(t *testing.T) {
	for _, sent := range []string{"", "P", string(http2Preface[:23])} {
		if _, _, err := peekPreface(&readConn{reader: strings.NewReader(sent)}); !errors.Is(err, io.EOF) {
			t.Errorf("%q: error %v", sent, err)
		}
	}
}

func TestADecidedConnectionHasNoDeadlineLeft(t *testing.T) {
	p := newPort(slog.New(slog.DiscardHandler))
	defer p.close()
	conn := &readConn{reader: strings.NewReader("GET / HTTP/1.1\r\n\r\n")}
	if _, _, err := p.greet(conn, Listener{}); err != nil {
		t.Fatal(err)
	}
	if len(conn.deadlines) != 2 || conn.deadlines[0].IsZero() || !conn.deadlines[1].IsZero() {
		t.Errorf("deadlines %v", conn.deadlines)
	}
}

func TestClosingThePortEndsConnectionsThatSaidNothing(t *testing.T) {
	p := newPort(slog.New(slog.DiscardHandler))
	l := listen(t)
	served := make(chan error, 1)
	go func() { served <- p.serve(Listener{Listener: l}) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(decideTimeout / 2)) // well before the port would give up by itself
	eventually(t, func() bool { return len(p.undecided) == 1 })
	l.Close()
	p.close()
	if err := <-served; err != nil {
		t.Errorf("serving ended with %v", err)
	}
	if n, err := io.Copy(io.Discard, conn); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestAcceptFailuresThatPassArePassedOver(t *testing.T) {
	l := &failingListener{Listener: listen(t), failures: []error{passing{}, passing{}, errors.New("the socket is gone")}}
	defer l.Close()
	var log bytes.Buffer
	p := newPort(slog.New(slog.NewTextHandler(&log, nil)))
	defer p.close()
	if err := p.serve(Listener{Listener: l}); err == nil || err.Error() != "the socket is gone" {
		t.Errorf("serving ended with %v", err)
	}
	if n := strings.Count(log.String(), "cannot accept"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

// FuzzPeekPreface holds peekPreface to its promise for any bytes: what it read is read again, and HTTP/2 is what begins with the preface.
func FuzzPeekPreface(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(http2Preface)
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, http2, err := peekPreface(&readConn{reader: iotest.HalfReader(bytes.NewReader(sent))})
		if undecided := len(sent) < len(http2Preface) && bytes.HasPrefix(http2Preface, sent); undecided != (err != nil) {
			t.Fatalf("%q: error %v", sent, err)
		}
		if err != nil {
			return
		}
		rest, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(rest, sent) || http2 != bytes.HasPrefix(sent, http2Preface) {
			t.Fatalf("%q: HTTP/2 %v, read %q, %v", sent, http2, rest, err)
		}
	})
}

type readConn struct {
	net.Conn
	reader    io.Reader
	deadlines []time.Time
}

func (c *readConn) SetDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

func (c *readConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// failingListener fails to accept, once its gate, if it has one, is open.
type failingListener struct {
	net.Listener
	gate     chan struct{}
	failures []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.gate != nil {
		<-l.gate
	}
	err := l.failures[0]
	l.failures = l.failures[1:]
	return nil, err
}

type passing struct{}

func (passing) Error() string   { return "too many open files" }
func (passing) Temporary() bool { return true }
