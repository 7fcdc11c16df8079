// Package relay passes TCP connections on to whichever of several endpoints can be reached. It looks at nothing of what is said on them.
package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// ConnectionsMax bounds how many connections are passed on at once; more wait to be accepted.
	ConnectionsMax = 4096

	dialTimeout = 5 * time.Second
	acceptPause = 100 * time.Millisecond // after a failure to accept, of file descriptors for instance
)

// Relay passes connections on, to one endpoint after the other. One that cannot be reached is left aside for RetryDelay; if all are, all are tried.
type Relay struct {
	Endpoints  []string // host:port, at least one
	RetryDelay time.Duration
	Logger     *slog.Logger

	mu    sync.Mutex
	next  int                  // index of the endpoint whose turn it is
	aside map[string]time.Time // until when
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// Serve accepts connections until the context ends, then closes all of them, and the listener, and returns nil once that is done. It is called once. The error is the listener's, if that fails for good.
func (r *Relay) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	if r.dial == nil {
		r.dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	r.aside = map[string]time.Time{}
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	open.Go(func() {
		<-ctx.Done()
		listener.Close()
	})
	places := make(chan struct{}, ConnectionsMax)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		client, err := listener.Accept()
		if err == nil {
			open.Go(func() {
				defer func() { <-places }()
				r.pass(ctx, client)
			})
			continue
		}
		<-places
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		r.Logger.Warn("cannot accept a connection", "error", err)
		select {
		case <-time.After(acceptPause):
		case <-ctx.Done():
		}
	}
}

// pass connects a client with an endpoint until both have said all they have to say, or either connection breaks.
func (r *Relay) pass(ctx context.Context, client net.Conn) {
	server := r.connect(ctx)
	if server == nil {
		client.Close()
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ways sync.WaitGroup
	ways.Go(func() { forward(server, client, cancel) })
	ways.Go(func() { forward(client, server, cancel) })
	context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})
	ways.Wait()
}

// forward copies one way. When that side has ended the other is told so, and may go on; if either connection breaks, broken is called.
func forward(to, from net.Conn, broken func()) {
	_, err := io.Copy(to, from)
	if err == nil {
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			err = half.CloseWrite()
		}
	}
	if err != nil {
		broken()
	}
}

// connect reaches an endpoint, or none.
func (r *Relay) connect(ctx context.Context) net.Conn {
	for _, endpoint := range r.order() {
		conn, err := r.dial(ctx, "tcp", endpoint)
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		r.judge(endpoint, err)
		if err == nil {
			return conn
		}
	}
	r.Logger.Warn("no endpoint can be reached: a client is turned away")
	return nil
}

// order returns the endpoints in the order in which they are to be tried: in turn, those left aside last.
func (r *Relay) order() (order []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var last []string
	for i := range r.Endpoints {
		endpoint := r.Endpoints[(r.next+i)%len(r.Endpoints)]
		if time.Now().Before(r.aside[endpoint]) {
			last = append(last, endpoint)
		} else {
			order = append(order, endpoint)
		}
	}
	r.next = (r.next + 1) % len(r.Endpoints)
	return append(order, last...)
}

// judge leaves an endpoint aside that could not be reached, and takes it back that could.
func (r *Relay) judge(endpoint string, err error) {
	r.mu.Lock()
	_, was := r.aside[endpoint]
	if err != nil {
		r.aside[endpoint] = time.Now().Add(r.RetryDelay)
	} else {
		delete(r.aside, endpoint)
	}
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.Logger.Warn("an endpoint cannot be reached: it is left aside for a while", "endpoint", endpoint, "for", r.RetryDelay, "error", err)
	case err == nil && was:
		r.Logger.Info("an endpoint can be reached again", "endpoint", endpoint)
	}
}
