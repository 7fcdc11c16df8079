package etcdapi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// client is what is known of the connection a request came on.
type client struct {
	credentials.TLSInfo        // zero without TLS
	source              uint64 // names the connection to the log, which shares itself out fairly among sources
}

func (client) AuthType() string { return "client" }

// sourceOf returns the source of the connection that a request came on.
func sourceOf(ctx context.Context) uint64 {
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.AuthInfo.(client); ok {
			return c.source
		}
	}
	return 0
}

// handshaken are the transport credentials for connections from a port: their TLS handshake, if any, is over.
type handshaken struct {
	// sources counts connections up from the member's ID. IDs are drawn from the whole range of 64 bits, so that the sources of two
	// members practically never meet; if they do, two connections share one source's turn, and no more.
	sources atomic.Uint64
}

func newHandshaken(member uint64) *handshaken {
	h := &handshaken{}
	h.sources.Store(member)
	return h
}

func (h *handshaken) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := client{source: h.sources.Add(1)}
	c.SecurityLevel = credentials.NoSecurity
	if secured, ok := conn.(*tls.Conn); ok {
		c.State = secured.ConnectionState()
		c.SecurityLevel = credentials.PrivacyAndIntegrity
	}
	return conn, c, nil
}

func (h *handshaken) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("etcdapi: these credentials are for a server only")
}

func (h *handshaken) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

func (h *handshaken) Clone() credentials.TransportCredentials { return h }

func (h *handshaken) OverrideServerName(string) error { return nil }
