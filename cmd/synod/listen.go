package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"syscall"

	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
)

// listen binds every socket before anything else happens, so that a port in use leaves no trace on the disk.
func (m *member) listen(config *serverconfig.Config) (clients []etcdapi.Listener, peers net.Listener, err error) {
	tlsConfig, err := config.ClientListenTLS(m.logger)
	if err != nil {
		return nil, nil, err
	}
	byAddress := map[string]int{} // where in clients
	for _, group := range []struct {
		flag        string
		metricsOnly bool
		urls        []url.URL
	}{
		{"listen-client-urls", false, config.ListenClient},
		{"listen-client-http-urls", false, config.ListenClientHTTP},
		{"listen-metrics-urls", true, config.ListenMetrics},
	} {
		for _, u := range group.urls {
			_, address := serverconfig.ListenAddress(u)
			if i, bound := byAddress[address]; bound { // once as http, once as https
				clients[i].TLS, clients[i].Plain = tlsConfig, true
				continue
			}
			socket, err := m.bind(config, group.flag, u)
			if err != nil {
				return nil, nil, err
			}
			l := etcdapi.Listener{Listener: socket, MetricsOnly: group.metricsOnly}
			if serverconfig.Secure(u) {
				l.TLS = tlsConfig
			}
			byAddress[address] = len(clients)
			clients = append(clients, l)
		}
	}
	var sockets []net.Listener
	for _, u := range config.ListenPeer {
		socket, err := m.bind(config, "listen-peer-urls", u)
		if err != nil {
			return nil, nil, err
		}
		sockets = append(sockets, socket)
	}
	return clients, joinListeners(sockets), nil
}

// bind listens on a URL; the socket is closed with the member, if nobody closes it before.
func (m *member) bind(config *serverconfig.Config, flag string, u url.URL) (net.Listener, error) {
	network, address := serverconfig.ListenAddress(u)
	options := net.ListenConfig{Control: socketOptions(config.ReusePort, config.ReuseAddress)}
	socket, err := options.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("--%s: cannot listen on %s: %w", flag, &u, listenAdvice(err))
	}
	m.closers = append(m.closers, func() error {
		if err := socket.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return socket, nil
}

func listenAdvice(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("the address is in use; stop the process that has it or choose another port")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("this machine does not have that address; use one of its own")
	case errors.Is(err, syscall.EACCES):
		return errors.New("permission denied; choose a port above 1023 or grant the right to bind it")
	}
	return err
}

// joined are several sockets that are accepted from as if they were one.
type joined struct {
	net.Listener // the first one; its address stands for all
	rest         []net.Listener
	accepted     chan accepted
	closed       chan struct{}
	once         sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

// joinListeners returns the only socket, or one that stands for all of them.
func joinListeners(sockets []net.Listener) net.Listener {
	if len(sockets) == 1 {
		return sockets[0]
	}
	j := &joined{Listener: sockets[0], rest: sockets[1:], accepted: make(chan accepted), closed: make(chan struct{})}
	for _, socket := range sockets {
		go j.accept(socket)
	}
	return j
}

func (j *joined) accept(socket net.Listener) {
	for {
		conn, err := socket.Accept()
		select {
		case j.accepted <- accepted{conn, err}:
		case <-j.closed:
			if err == nil {
				conn.Close()
			}
			return
		}
	}
}

func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

func (j *joined) Close() error {
	err := net.ErrClosed
	j.once.Do(func() {
		close(j.closed)
		err = j.Listener.Close()
		for _, socket := range j.rest {
			err = errors.Join(err, socket.Close())
		}
	})
	return err
}
