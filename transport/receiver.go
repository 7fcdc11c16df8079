package transport

import (
	"sync"
	"time"
)

// receiver takes the frames of a peer in one class from whichever connection the peer made last.
type receiver struct {
	t     *Transport
	peer  *peer
	class Class
	turn  chan struct{} // holds a token while a connection delivers: frames of two are never mixed

	mu      sync.Mutex
	current *conn // the last one admitted

	received traffic
}

func newReceiver(t *Transport, p *peer, class Class) *receiver {
	return &receiver{t: t, peer: p, class: class, turn: make(chan struct{}, 1)}
}

// serve delivers the frames of c, whose peer has been admitted as who, until it ends. The connection before c
// is ended, as the peer has given it up, and the frame that it is delivering comes first.
func (r *receiver) serve(c *conn, who Identity) error {
	r.succeed(c)
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-c.context.Done():
		return c.cause()
	}
	if err := c.establish(r.t.cfg.IdleTimeout); err != nil {
		return err
	}
	var pulsing sync.WaitGroup
	pulsing.Go(func() { c.end(r.pulse(c)) })
	c.end(r.deliver(c, who))
	pulsing.Wait()
	return c.cause()
}

// succeed makes c the current connection and ends the one before it.
func (r *receiver) succeed(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.end(errSuperseded)
	}
	r.current = c
	if r.peer.context.Err() != nil {
		c.end(errNoPeer)
	}
}

// leave ends the connection of a node that is no peer any more.
func (r *receiver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.end(errNoPeer)
	}
}

func (r *receiver) deliver(c *conn, who Identity) error {
	frames := frameReader{from: c.reader, class: r.class, max: r.t.cfg.MaxFrameBytes}
	for {
		kind, payload, err := frames.next()
		if err != nil {
			return err
		}
		if c.context.Err() != nil {
			return c.cause()
		}
		if kind == frameMessage {
			r.received.add(1, len(payload))
			r.t.cfg.Handler.Receive(who, r.class, payload)
		}
	}
}

// pulse tells the sending side, until c ends, that this one is alive.
func (r *receiver) pulse(c *conn) error {
	ticker := time.NewTicker(r.t.cfg.IdleTimeout / pulsesPerTimeout)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := c.pulse(r.class); err != nil {
				return err
			}
		case <-c.context.Done():
			return c.cause()
		}
	}
}
