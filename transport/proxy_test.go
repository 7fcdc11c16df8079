package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
)

// direction of bytes through a proxy.
type direction int

const (
	forward direction = iota // towards the accepting member
	back
)

// tamper is called with what is read from one connection (numbered from 1), piece by piece, in order. What it returns is
// passed on; an error cuts the connection. An empty piece is the end of what came that way, and is passed on as such
// when tamper returns.
type tamper func(connection int, way direction, piece []byte) ([]byte, error)

var errCut = errors.New("cut by the test")

// proxy stands between a member that dials and one that accepts, and does to their bytes what the test wants.
type proxy struct {
	listener net.Listener
	target   string
	tamper   tamper
	context  context.Context
	running  sync.WaitGroup
}

func startProxy(t testing.TB, target string, tamper tamper) *proxy {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &proxy{listener: listen(t, "127.0.0.1:0"), target: target, tamper: tamper, context: ctx}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		cancel()
		p.listener.Close()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for n := 1; ; n++ {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.relay(n, in) })
	}
}

// relay ends both sides of a connection when either ends.
func (p *proxy) relay(n int, in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	ctx, end := context.WithCancel(p.context)
	var ways sync.WaitGroup
	ways.Go(func() { defer end(); p.pass(n, forward, out, in) })
	ways.Go(func() { defer end(); p.pass(n, back, in, out) })
	<-ctx.Done()
	in.Close()
	out.Close()
	ways.Wait()
}

func (p *proxy) pass(n int, way direction, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		got, err := from.Read(buffer)
		if err != nil {
			p.tamper(n, way, nil)
			return
		}
		piece, err := p.tamper(n, way, buffer[:got])
		if _, writing := to.Write(piece); err != nil || writing != nil {
			return
		}
	}
}
