package serverconfig

import (
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// peerTLS is what a member with --peer-auto-tls and a token uses.
func peerTLS(t *testing.T, token string) *tls.Config {
	t.Helper()
	c, err := Parse("synod", []string{"--peer-auto-tls", "--initial-cluster-token=" + token,
		"--listen-peer-urls=https://127.0.0.1:1", "--initial-advertise-peer-urls=https://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := c.PeerMutualTLS(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// meet has a member dial another as members do, each verifying the other, and returns what either says of it.
func meet(client, server *tls.Config, host string) (clientErr, serverErr error) {
	client, server = client.Clone(), server.Clone()
	client.ServerName, server.ClientAuth = host, tls.RequireAndVerifyClientCert
	a, b, err := loopback() // no pipe in memory: that holds up an alert until the other side reads
	if err != nil {
		return err, err
	}
	defer a.Close()
	for _, end := range []net.Conn{a, b} {
		if err := end.SetDeadline(time.Now().Add(5 * time.Second)); err != nil { // a handshake that should fail and does not must not hang
			return err, err
		}
	}
	served := make(chan error, 1)
	go func() {
		conn := tls.Server(b, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		served <- err
		b.Close()
	}()
	conn := tls.Client(a, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		_, clientErr = conn.Write([]byte{1})
	} else {
		a.Close()
	}
	return clientErr, <-served
}

// loopback returns two ends of one connection.
func loopback() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if b, err = l.Accept(); err != nil {
		a.Close()
	}
	return a, b, err
}

func TestMembersWithTheTokenVerifyEachOtherAndNobodyElse(t *testing.T) {
	a, b, stranger := peerTLS(t, "secret"), peerTLS(t, "secret"), peerTLS(t, "secret ")
	if clientErr, serverErr := meet(a, b, "127.0.0.1"); clientErr != nil || serverErr != nil {
		t.Errorf("members of one token: %v, %v", clientErr, serverErr)
	}
	if clientErr, _ := meet(a, stranger, "127.0.0.1"); clientErr == nil || !strings.Contains(clientErr.Error(), "authority") {
		t.Errorf("a member dials one with another token: %v", clientErr)
	}
	if clientErr, _ := meet(a, b, "127.0.0.2"); clientErr == nil {
		t.Error("a member takes a certificate for another host")
	}
	gullible := stranger.Clone()
	gullible.InsecureSkipVerify = true
	if _, serverErr := meet(gullible, b, "127.0.0.1"); serverErr == nil || !strings.Contains(serverErr.Error(), "authority") {
		t.Errorf("one with another token dials a member: %v", serverErr)
	}
	gullible.Certificates = nil
	if _, serverErr := meet(gullible, b, "127.0.0.1"); serverErr == nil {
		t.Error("one without a certificate is let in")
	}
	if a.MinVersion != tls.VersionTLS13 {
		t.Errorf("members speak TLS from %x", a.MinVersion)
	}
}
