package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sender keeps one connection to a peer for one class and writes its queue to it. The goroutine of run dials and
// writes; a second one watches for the peer's signs of life.
type sender struct {
	t     *Transport
	peer  *peer
	class Class
	queue *queue

	connected     atomic.Bool
	connects      atomic.Uint64
	sent, dropped traffic
}

func newSender(t *Transport, p *peer, class Class) *sender {
	return &sender{t: t, peer: p, class: class, queue: newQueue(t.cfg.QueueFrames, t.cfg.QueueBytes)}
}

// send queues a frame or drops it.
func (s *sender) send(payload [][]byte) bool {
	f := frame{payload: payload}
	for _, part := range payload {
		f.bytes += len(part)
	}
	if f.bytes > s.t.cfg.MaxFrameBytes || !s.queue.put(f) {
		s.dropped.add(1, f.bytes)
		return false
	}
	return true
}

// run connects, again and again, until the Transport closes or the node is no peer any more.
func (s *sender) run() {
	var retry backoff
	for s.peer.context.Err() == nil {
		began := time.Now()
		s.report(s.session())
		pause(s.peer.context, retry.next(time.Since(began)))
	}
}

// session is one connection from dialling to its end. It returns why it ended.
func (s *sender) session() error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	who, err := s.t.introduce(c, s.peer.Node, s.class)
	if err == nil {
		err = c.establish(s.t.cfg.IdleTimeout)
	}
	if err != nil {
		return c.finish(err)
	}

	var watching sync.WaitGroup
	watching.Go(func() { c.end(s.watch(c)) })
	s.queue.start()
	s.connected.Store(true)
	s.connects.Add(1)
	s.peer.opened(s.class, who)

	err = c.finish(s.write(c))
	watching.Wait()
	s.connected.Store(false)
	s.dropped.add(s.queue.stop())
	s.peer.closed(s.class, err)
	return err
}

func (s *sender) dial() (*conn, error) {
	timeout := s.t.cfg.HandshakeTimeout
	dialer := net.Dialer{Timeout: timeout}
	network, address := networkOf(s.peer.Address)
	socket, err := dialer.DialContext(s.peer.context, network, address)
	if err != nil {
		return nil, err
	}
	c, err := newConn(s.peer.context, socket, 4<<10, timeout)
	if err != nil || s.t.cfg.TLS == nil {
		return c, err
	}
	client := tls.Client(socket, clientTLS(s.t.cfg.TLS, s.peer.Address))
	if err := secure(client); err != nil {
		return nil, c.finish(err)
	}
	c.stream = client
	return c, nil
}

// watch reads the peer's pulses until they stop.
func (s *sender) watch(c *conn) error {
	frames := frameReader{from: c.reader, class: s.class}
	for {
		kind, _, err := frames.next()
		if err != nil {
			return err
		}
		if kind != framePulse {
			return errFrameStray
		}
	}
}

// write empties the queue into c, with a pulse now and then, until c ends.
func (s *sender) write(c *conn) error {
	w := newFrameWriter(c.stream, s.class, s.t.cfg.IdleTimeout)
	pulse := time.NewTicker(s.t.cfg.IdleTimeout / pulsesPerTimeout)
	defer pulse.Stop()
	for {
		var err error
		select {
		case <-s.queue.ready:
			err = s.drain(w)
		case <-pulse.C:
			err = c.pulse(s.class)
		case <-c.context.Done():
			return c.cause()
		}
		if err != nil {
			return err
		}
	}
}

// drain writes all frames that wait, and gives back their room in the queue as it goes.
func (s *sender) drain(w *frameWriter) error {
	frames, bytes := 0, 0
	written := func() error {
		if err := w.flush(); err != nil {
			return err
		}
		s.queue.release(frames, bytes)
		s.sent.add(frames, bytes)
		frames, bytes = 0, 0
		return nil
	}
	taken := s.queue.take()
	defer clear(taken) // let go of the payloads
	for _, f := range taken {
		if err := w.frame(frameMessage, f.payload); err != nil {
			return err
		}
		frames++
		bytes += f.bytes
		if bytes >= writeBytes {
			if err := written(); err != nil {
				return err
			}
		}
	}
	return written()
}

// report logs why a session ended, and tells the Handler of a refusal.
func (s *sender) report(why error) {
	if s.peer.context.Err() != nil {
		return
	}
	if r, ok := errors.AsType[*refusedByPeer](why); ok {
		s.peer.refused(r, why)
		return
	}
	s.peer.report("no connection to peer: trying again", why)
}
