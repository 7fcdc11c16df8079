package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// pulsesPerTimeout is how many signs of life each side gives within an idle timeout.
const pulsesPerTimeout = 4

// conn is one connection, from the first byte of its handshake to its end. Its context ends with
// the connection, and the context's cause is why.
type conn struct {
	stream net.Conn // TCP, or TLS over it
	reader *bufio.Reader
	idle   time.Duration // once the handshake is over: how long a read may take

	context context.Context
	end     context.CancelCauseFunc // ends the connection from any goroutine, without waiting
	closed  chan struct{}           // closed when the socket is
}

// newConn takes over a socket, which ends with parent. All of the handshake must be done within timeout.
func newConn(parent context.Context, socket net.Conn, bufferBytes int, timeout time.Duration) (*conn, error) {
	c := &conn{stream: socket, closed: make(chan struct{})}
	c.reader = bufio.NewReaderSize((*connReader)(c), bufferBytes)
	c.context, c.end = context.WithCancelCause(parent)
	// The socket is closed, never the TLS layer, which would first try to say goodbye and could hang in it.
	context.AfterFunc(c.context, func() {
		socket.Close() // nothing is lost with this error: what was to be said has been written before
		close(c.closed)
	})
	if err := socket.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, c.finish(err)
	}
	return c, nil
}

// establish ends the handshake: from now on each read has idle to give a sign of life.
func (c *conn) establish(idle time.Duration) error {
	c.idle = idle
	return c.stream.SetDeadline(time.Time{})
}

// pulse tells the other side that this one is alive. It must not be called while a frame is being written.
func (c *conn) pulse(class Class) error {
	if err := c.stream.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return err
	}
	_, err := c.stream.Write(appendFrameHeader(nil, framePulse, class, nil))
	return err
}

// finish ends the connection, if it has not ended yet, waits until the socket is closed and returns why it ended first.
func (c *conn) finish(why error) error {
	c.end(why)
	<-c.closed
	return c.cause()
}

// cause is why the connection has ended.
func (c *conn) cause() error {
	switch err := context.Cause(c.context); {
	case err == context.Canceled:
		return errClosing
	case errors.Is(err, io.EOF):
		return errClosedByPeer
	case errors.Is(err, os.ErrDeadlineExceeded) && c.idle > 0:
		return errSilent
	default:
		return err
	}
}

// connReader gives each read of an established connection its own deadline.
type connReader conn

func (r *connReader) Read(b []byte) (int, error) {
	if r.idle > 0 {
		if err := r.stream.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
			return 0, err
		}
	}
	return r.stream.Read(b)
}
