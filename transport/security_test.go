package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs the certificates of members.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{sign(t, template, template, key, key), key}
}

// member is the configuration of a member at 127.0.0.1.
func (a *authority) member(t *testing.T) *tls.Config {
	t.Helper()
	key := newKey(t)
	certificate := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "member"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.certificate, key, a.key)
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{
		RootCAs:      roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}},
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestMembersOfOneAuthorityTalkOverTLS(t *testing.T) {
	ca := newAuthority(t)
	a, b := pair(t, func(cfg *Config, _ *recorder) { cfg.TLS = ca.member(t) })
	bulk := make([]byte, 3<<20)
	for i := range 100 {
		a.mustSend(t, 2, Replication, numbered(i), bulk[:i*i])
	}
	a.mustSend(t, 2, Replication, bulk)
	for i := range 100 {
		if f := await(t, b.frames, "frame"); !strings.HasPrefix(string(f.payload), string(numbered(i))) {
			t.Fatalf("frame %d is %.50q", i, f.payload)
		}
	}
	if f := await(t, b.frames, "large frame"); len(f.payload) != len(bulk) {
		t.Errorf("%d bytes arrived of %d", len(f.payload), len(bulk))
	}
}

func TestWithoutAMembersCertificateNobodyIsHeard(t *testing.T) {
	ca := newAuthority(t)
	waived := func(cfg *tls.Config) {
		// A hook in the member's own configuration that forgets to ask for certificates.
		inner := cfg.Clone()
		cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }
	}
	for name, tc := range map[string]struct {
		member  func(*tls.Config)
		dial    *tls.Config // nil for plain TCP
		logging string
	}{
		"in plain text":                {dial: nil, logging: "TLS handshake"},
		"with no certificate":          {dial: &tls.Config{RootCAs: ca.member(t).RootCAs}, logging: "TLS handshake"},
		"with another authority's":     {dial: withRoots(newAuthority(t).member(t), ca), logging: "TLS handshake"},
		"with an old version":          {dial: atMost12(ca.member(t)), logging: "TLS handshake"},
		"where a hook waives the need": {member: waived, dial: &tls.Config{RootCAs: ca.member(t).RootCAs}, logging: errUnverified.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, nowhere}}, func(cfg *Config, _ *recorder) {
				cfg.TLS = ca.member(t)
				if tc.member != nil {
					tc.member(cfg.TLS)
				}
			})
			socket, err := net.Dial("tcp", n.address)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if err := socket.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			stream := socket
			if tc.dial != nil {
				tc.dial.ServerName = "127.0.0.1"
				stream = tls.Client(socket, tc.dial)
			}
			if _, err := stream.Write(appendMessage(nil, kindHello, friend.encode())); err == nil {
				if kind, _, err := readMessage(stream); err == nil {
					t.Errorf("it was answered with a message of kind %d", kind)
				}
			}
			awaitValue(t, n.log.written, "log line", func(line string) bool {
				return strings.Contains(line, "rejected connection on peer endpoint") && strings.Contains(line, tc.logging)
			})
		})
	}
}

func withRoots(cfg *tls.Config, ca *authority) *tls.Config {
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(ca.certificate)
	return cfg
}

func atMost12(cfg *tls.Config) *tls.Config {
	cfg.MaxVersion = tls.VersionTLS12
	return cfg
}

func TestDialledServerMustProveItsAddress(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for name, impostor := range map[string]*tls.Config{
		"of another authority": withRoots(other.member(t), ca),
		"of another name":      ca.member(t),
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			target := start(t, 2, l, []Peer{{1, nowhere}}, func(cfg *Config, _ *recorder) { cfg.TLS = impostor })
			_, port, err := net.SplitHostPort(target.address)
			if err != nil {
				t.Fatal(err)
			}
			address := target.address
			if name == "of another name" {
				address = net.JoinHostPort("localhost", port) // the certificate is for 127.0.0.1
			}
			a := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, address}}, func(cfg *Config, _ *recorder) { cfg.TLS = ca.member(t) })
			awaitValue(t, a.log.written, "log line", func(line string) bool { return strings.Contains(line, "failed to verify certificate") })
			if len(a.connected) != 0 {
				t.Error("connected to an impostor")
			}
		})
	}
}
