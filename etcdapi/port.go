package etcdapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"synod.dev/synod/internal/quiet"
)

const (
	// decideTimeout bounds how long a new connection may take to show what it speaks, TLS handshake included.
	decideTimeout = 10 * time.Second
	// undecidedMax bounds the connections that have not shown it yet. Beyond it new ones wait in the kernel's queue.
	undecidedMax = 4096
	// acceptPauseMax bounds the pause after an accept that failed for want of file descriptors or memory.
	acceptPauseMax = time.Second
)

// http2Preface is how every HTTP/2 connection without TLS begins (RFC 9113 §3.4). No HTTP/1 method is PRI.
var http2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// port shares sockets between a gRPC server and an HTTP/1 server. It decides once, when the connection begins, and
// then steps aside: what follows costs gRPC one comparison a read without TLS, and nothing with it.
//
// Without TLS the HTTP/2 preface decides. With TLS what the client offers does: gRPC clients offer h2 alone, while browsers,
// curl and Prometheus offer http/1.1 beside it. A client that offers both and means gRPC nevertheless is given to the
// HTTP server like the others, which must pass its requests on.
//
// Where both TLS and its absence are allowed, the first byte decides: it begins a TLS record, which neither protocol begins like.
type port struct {
	grpc, http *queue
	logger     *slog.Logger

	rejected, unaccepted quiet.Matter // connections

	ctx       context.Context // ends at close; with it every undecided connection
	cancel    context.CancelFunc
	undecided chan struct{} // a token for each undecided connection
	deciding  sync.WaitGroup
}

func newPort(logger *slog.Logger) *port {
	ctx, cancel := context.WithCancel(context.Background())
	return &port{
		grpc: newQueue(), http: newQueue(), logger: logger,
		ctx: ctx, cancel: cancel, undecided: make(chan struct{}, undecidedMax),
	}
}

// serve accepts connections on l until l is closed, for which it returns nil, or fails.
func (p *port) serve(l Listener) error {
	if l.TLS != nil {
		l.TLS = l.TLS.Clone()
		l.TLS.NextProtos = []string{"h2", "http/1.1"}
		l.TLS.GetConfigForClient = noteOffer
	}
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if pause, err = p.pauseAfter(err, pause); err != nil {
				return err
			}
			continue
		}
		pause = 0
		select {
		case p.undecided <- struct{}{}:
		case <-p.ctx.Done():
			conn.Close()
			return nil
		}
		p.deciding.Go(func() {
			defer func() { <-p.undecided }()
			p.decide(conn, l)
		})
	}
}

// pauseAfter waits out a failure to accept that will pass, longer each time, and returns any other.
func (p *port) pauseAfter(err error, pause time.Duration) (time.Duration, error) {
	// Temporary is deprecated for want of a definition; for accept it means: out of descriptors or memory, or aborted by the peer.
	if passing, ok := err.(interface{ Temporary() bool }); !ok || !passing.Temporary() {
		return 0, err
	}
	pause = min(max(2*pause, 5*time.Millisecond), acceptPauseMax)
	if muted, ok := p.unaccepted.May(time.Now()); ok {
		p.logger.Warn("cannot accept a client connection; raise the limit of open files if this persists", "error", err, "pause", pause, "muted", muted)
	}
	select {
	case <-time.After(pause):
	case <-p.ctx.Done():
	}
	return pause, nil
}

// decide finds out what conn speaks and hands it to the server for it, or closes it.
func (p *port) decide(conn net.Conn, l Listener) {
	stop := context.AfterFunc(p.ctx, func() { conn.Close() })
	decided, to, err := p.greet(conn, l)
	if !stop() {
		return // the port is closed, and the connection with it
	}
	if err != nil {
		conn.Close()
		if errors.Is(err, io.EOF) {
			return // a bare connect and close is how load balancers probe
		}
		if muted, ok := p.rejected.May(time.Now()); ok {
			p.logger.Warn("rejected connection on client endpoint", "remote", conn.RemoteAddr().String(), "error", err, "muted", muted)
		}
		return
	}
	to.put(decided)
}

func (p *port) greet(conn net.Conn, l Listener) (net.Conn, *queue, error) {
	if err := conn.SetDeadline(time.Now().Add(decideTimeout)); err != nil {
		return nil, nil, err
	}
	decided, to, err := p.choose(conn, l)
	if err != nil {
		return nil, nil, err
	}
	return decided, to, conn.SetDeadline(time.Time{})
}

func (p *port) choose(conn net.Conn, l Listener) (net.Conn, *queue, error) {
	if l.TLS != nil && l.Plain {
		begun, secured, err := peekTLS(conn)
		if err != nil {
			return nil, nil, err
		}
		if conn = begun; !secured {
			l.TLS = nil
		}
	}
	if l.TLS != nil {
		return p.shakeHands(conn, l.TLS)
	}
	begun, http2, err := peekPreface(conn)
	if err != nil {
		return nil, nil, err
	}
	if http2 {
		return begun, p.grpc, nil
	}
	return begun, p.http, nil
}

func (p *port) shakeHands(conn net.Conn, config *tls.Config) (net.Conn, *queue, error) {
	secured, offered := tls.Server(conn, config), new(offer)
	if err := secured.HandshakeContext(context.WithValue(p.ctx, offer{}, offered)); err != nil {
		return nil, nil, err
	}
	if offered.http2 && !offered.http1 {
		return secured, p.grpc, nil
	}
	return secured, p.http, nil
}

// offer is which protocols a client offers in its TLS handshake; a zero offer is also the key of the handshake's own in its context.
type offer struct{ http1, http2 bool }

// noteOffer is a tls.Config's GetConfigForClient. It changes nothing: a Config for each client would lose its session tickets.
func noteOffer(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	*hello.Context().Value(offer{}).(*offer) = offer{
		http1: slices.Contains(hello.SupportedProtos, "http/1.1"),
		http2: slices.Contains(hello.SupportedProtos, "h2"),
	}
	return nil, nil
}

// close ends undecided connections and both queues; connections that were handed over are their servers' business.
func (p *port) close() {
	p.cancel()
	p.grpc.Close()
	p.http.Close()
	p.deciding.Wait()
}

// peekPreface reads just enough of conn to tell whether it begins with the HTTP/2 preface, and returns a
// connection that begins with what was read.
func peekPreface(conn net.Conn) (net.Conn, bool, error) {
	head := make([]byte, len(http2Preface))
	for n := 0; ; {
		read, err := conn.Read(head[n:])
		n += read
		switch {
		case !bytes.HasPrefix(http2Preface, head[:n]):
			return &begunConn{Conn: conn, head: head[:n]}, false, nil
		case n == len(head):
			return &begunConn{Conn: conn, head: head}, true, nil
		case err != nil:
			return nil, false, err
		}
	}
}

// tlsHandshake is how every TLS connection begins: a record of this type (RFC 8446 §5.1).
const tlsHandshake = 22

// peekTLS reads the first byte of conn to tell whether it begins a TLS handshake, and returns a connection that begins with it.
func peekTLS(conn net.Conn) (net.Conn, bool, error) {
	head := make([]byte, 1)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, false, err
	}
	return &begunConn{Conn: conn, head: head}, head[0] == tlsHandshake, nil
}

// begunConn is a connection whose first bytes have been read already.
type begunConn struct {
	net.Conn
	head []byte // still to be read again
}

func (c *begunConn) Read(b []byte) (int, error) {
	if c.head == nil {
		return c.Conn.Read(b)
	}
	n := copy(b, c.head)
	if c.head = c.head[n:]; len(c.head) == 0 {
		c.head = nil
	}
	return n, nil
}

// queue is a net.Listener that is handed its connections.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands conn over, or closes it if the queue is closed.
func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		conn.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr names no address: the sockets behind a queue may be many.
func (q *queue) Addr() net.Addr { return queueAddr{} }

type queueAddr struct{}

func (queueAddr) Network() string { return "client" }
func (queueAddr) String() string  { return "client port" }
