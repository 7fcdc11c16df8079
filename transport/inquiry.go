package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// Inquire asks whoever listens at address, host:port, who it is, and for its greeting: a node that is to join a cluster knows no more of the others than where they are. config is as in Config.TLS. It takes no longer than
// a handshake may, nor than ctx allows.
func Inquire(ctx context.Context, address string, config *tls.Config) (Identity, []byte, error) {
	if err := validateTLS(config); err != nil {
		return Identity{}, nil, fmt.Errorf("transport: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, defaultHandshakeTimeout)
	defer cancel()
	theirs, err := inquire(ctx, address, config)
	if err != nil {
		return Identity{}, nil, fmt.Errorf("transport: no account of itself from %s: %w", address, err)
	}
	return theirs.from, theirs.greeting, nil
}

func inquire(ctx context.Context, address string, config *tls.Config) (*hello, error) {
	var dialer net.Dialer
	network, place := networkOf(address)
	socket, err := dialer.DialContext(ctx, network, place)
	if err != nil {
		return nil, err
	}
	c, err := newConn(ctx, socket, 4<<10, defaultHandshakeTimeout)
	if err != nil {
		return nil, err
	}
	theirs, err := c.inquire(address, config)
	c.end(err)
	<-c.closed
	return theirs, err
}

func (c *conn) inquire(address string, config *tls.Config) (*hello, error) {
	if config != nil {
		client := tls.Client(c.stream, clientTLS(config, address))
		if err := secure(client); err != nil {
			return nil, err
		}
		c.stream = client
	}
	if err := c.sendMessage(kindInquiry, nil); err != nil {
		return nil, err
	}
	kind, body, err := readMessage(c.reader)
	if err != nil {
		return nil, err
	}
	return readHello(kind, kindAccount, body)
}

// account answers an inquiry.
func (t *Transport) account(c *conn) error {
	if err := t.sendHello(c, kindAccount, 0, 0); err != nil {
		return err
	}
	return errInquiry
}
