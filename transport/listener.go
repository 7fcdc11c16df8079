package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// receiveBufferBytes is how much one read may take from the socket: a few hundred small frames.
const receiveBufferBytes = 64 << 10

// accept takes inbound connections until the Transport closes.
func (t *Transport) accept() {
	waiting := newHalfOpen(t.cfg.MaxHandshakes)
	var retry backoff
	for {
		socket, err := t.cfg.Listener.Accept()
		var c *conn
		if err == nil {
			c, err = newConn(t.context, socket, receiveBufferBytes, t.cfg.HandshakeTimeout)
		}
		switch {
		case t.context.Err() != nil:
			if c != nil {
				c.finish(errClosing)
			}
			return
		case err != nil: // out of file descriptors, say
			t.strangers.warn(t.log, "cannot accept connections: trying again", err)
			pause(t.context, retry.next(0))
		default:
			retry = backoff{}
			waiting.enter(c)
			t.running.Go(func() { t.serve(c, socket, waiting) })
		}
	}
}

// serve is one inbound connection, from its handshake to its end.
func (t *Transport) serve(c *conn, socket net.Conn, waiting *halfOpen) {
	theirs, err := t.greet(c, socket)
	waiting.leave(c)
	if err != nil {
		t.reportRefusal(theirs, socket.RemoteAddr(), c.finish(err))
		return
	}
	p := t.peers.Load().byNode[theirs.from.Node]
	if p == nil {
		t.reportRefusal(nil, socket.RemoteAddr(), c.finish(errNoPeer))
		return
	}
	err = c.finish(p.receivers[theirs.class].serve(c, theirs.from))
	if t.context.Err() == nil {
		p.reportInbound("connection from peer ended", err, theirs.class)
	}
}

func (t *Transport) greet(c *conn, socket net.Conn) (*hello, error) {
	if t.serverTLS != nil {
		server := tls.Server(socket, t.serverTLS)
		if err := secure(server); err != nil {
			return nil, err
		}
		c.stream = server
	}
	return t.receiveIntroduction(c)
}

// reportRefusal says why an inbound connection came to nothing. theirs is nil if nothing is known of the peer. It may be none any more.
func (t *Transport) reportRefusal(theirs *hello, remote net.Addr, why error) {
	if t.context.Err() != nil || why == errInquiry {
		return
	}
	var p *peer
	if theirs != nil {
		p = t.peers.Load().byNode[theirs.from.Node]
	}
	if p == nil {
		t.strangers.warn(t.log, "rejected connection on peer endpoint", why, "remote", remote.String())
		return
	}
	if r, ok := errors.AsType[*refusedByPeer](why); ok {
		p.refused(r, why)
		return
	}
	p.reportInbound("handshake with peer failed", why, theirs.class)
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// halfOpen bounds the inbound connections whose handshake is under way. When all places are taken the oldest has to go: an
// honest handshake takes a round trip, so it is those that dawdle who lose.
type halfOpen struct {
	places chan struct{} // a token for each goroutine in a handshake

	mu    sync.Mutex
	conns []*conn // oldest first, without those told to go
}

func newHalfOpen(limit int) *halfOpen { return &halfOpen{places: make(chan struct{}, limit)} }

// enter takes a place for c, and waits for one if need be.
func (h *halfOpen) enter(c *conn) {
	select {
	case h.places <- struct{}{}:
	default:
		h.endOldest()
		h.places <- struct{}{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
}

func (h *halfOpen) endOldest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conns) > 0 {
		h.conns[0].end(errCrowdedOut)
		h.conns = slices.Delete(h.conns, 0, 1)
	}
}

func (h *halfOpen) leave(c *conn) {
	h.mu.Lock()
	if i := slices.Index(h.conns, c); i >= 0 {
		h.conns = slices.Delete(h.conns, i, i+1)
	}
	h.mu.Unlock()
	<-h.places
}
