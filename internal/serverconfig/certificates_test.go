package serverconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates and revokes them, in files.
type authority struct {
	t    *testing.T
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64 // serial number
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), next: 2}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte{1},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes name.pem and name.key, a certificate for 127.0.0.1 and a host with the common name, and returns its serial number.
func (a *authority) issue(name, commonName, host string) int64 {
	a.t.Helper()
	key, serial := newKey(a.t), a.next
	a.next++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: commonName}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", keyDER)
	return serial
}

// revoke writes the list of revoked certificates.
func (a *authority) revoke(serials ...int64) {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, serial := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.ca, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write("revoked.pem", "X509 CRL", der)
	if err := os.WriteFile(filepath.Join(a.dir, "revoked.der"), der, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// member returns what a member uses towards others under the certificate of a name, with more flags, in which {} stands for the directory.
func (a *authority) member(name string, more ...string) (*tls.Config, error) {
	a.t.Helper()
	args := append([]string{"--peer-cert-file={}/" + name + ".pem", "--peer-key-file={}/" + name + ".key", "--peer-trusted-ca-file={}/ca.pem",
		"--listen-peer-urls=https://127.0.0.1:1", "--initial-advertise-peer-urls=https://127.0.0.1:1"}, more...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{}", a.dir)
	}
	c, err := Parse("synod", args, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return c.PeerMutualTLS(slog.New(slog.DiscardHandler))
}

func (a *authority) mustMember(name string, more ...string) *tls.Config {
	a.t.Helper()
	config, err := a.member(name, more...)
	if err != nil {
		a.t.Fatal(err)
	}
	return config
}

func TestOnlyCertificatesWithAnAllowedNameAreAccepted(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", "server", "server.example")
	a.issue("client", "client", "client.example")
	for _, test := range []struct {
		flag   string
		passes bool
	}{
		{"--peer-cert-allowed-cn=client", true},
		{"--peer-cert-allowed-cn=other,client", true},
		{"--peer-cert-allowed-cn=clien", false},
		{"--peer-cert-allowed-cn=server", false},
		{"--peer-cert-allowed-hostname=client.example", true},
		{"--peer-cert-allowed-hostname=other.example,127.0.0.1", true},
		{"--peer-cert-allowed-hostname=server.example", false},
		{"--peer-cert-allowed-hostname=client", false}, // its common name is no host name
	} {
		clientErr, serverErr := meet(a.mustMember("client"), a.mustMember("server", test.flag), "127.0.0.1")
		if (serverErr == nil) != test.passes {
			t.Errorf("%s, dialled by client: %v, %v", test.flag, clientErr, serverErr)
		}
		clientErr, serverErr = meet(a.mustMember("server", test.flag), a.mustMember("client"), "127.0.0.1")
		if (clientErr == nil) != test.passes {
			t.Errorf("%s, dialling client: %v, %v", test.flag, clientErr, serverErr)
		}
	}
}

func TestARevokedCertificateIsRefusedFromTheMomentTheListSaysSo(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", "server", "h")
	serial := a.issue("client", "client", "h")
	for _, list := range []string{"revoked.pem", "revoked.der"} {
		a.revoke(serial + 1)
		server, client := a.mustMember("server", "--peer-crl-file={}/"+list), a.mustMember("client")
		if clientErr, serverErr := meet(client, server, "127.0.0.1"); clientErr != nil || serverErr != nil {
			t.Errorf("%s: a certificate that is not revoked: %v, %v", list, clientErr, serverErr)
		}
		a.revoke(serial)
		if _, serverErr := meet(client, server, "127.0.0.1"); serverErr == nil || !strings.Contains(serverErr.Error(), "is revoked") {
			t.Errorf("%s: dialled under a revoked certificate: %v", list, serverErr)
		}
		if clientErr, _ := meet(server, client, "127.0.0.1"); clientErr == nil || !strings.Contains(clientErr.Error(), "is revoked") {
			t.Errorf("%s: dialling a revoked certificate: %v", list, clientErr)
		}
		if err := os.Remove(filepath.Join(a.dir, list)); err != nil {
			t.Fatal(err)
		}
		if _, serverErr := meet(client, server, "127.0.0.1"); serverErr == nil || !strings.Contains(serverErr.Error(), "cannot tell") {
			t.Errorf("%s is gone, and all the same: %v", list, serverErr)
		}
		if _, err := a.member("server", "--peer-crl-file={}/"+list); err == nil {
			t.Errorf("a member starts without its %s", list)
		}
	}
	if _, err := a.member("server", "--peer-crl-file={}/ca.pem"); err == nil || !strings.Contains(err.Error(), "is no revocation list") {
		t.Errorf("a certificate in place of a revocation list: %v", err)
	}
}

func TestARenewedCertificateIsInUseWithoutARestart(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", "first", "h")
	a.issue("client", "client", "h")
	server := a.mustMember("server")
	first, second := a.mustMember("client", "--peer-cert-allowed-cn=first"), a.mustMember("client", "--peer-cert-allowed-cn=second")
	if clientErr, _ := meet(first, server, "127.0.0.1"); clientErr != nil {
		t.Errorf("before: %v", clientErr)
	}
	certificate := filepath.Join(a.dir, "server.pem")
	if err := os.WriteFile(certificate, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if clientErr, _ := meet(first, server, "127.0.0.1"); clientErr != nil {
			t.Errorf("while a file is being replaced: %v", clientErr)
		}
	}
	a.issue("server", "second", "h")
	later := time.Now().Add(time.Minute) // as if it had taken its time: clocks of file systems are coarse
	if err := os.Chtimes(certificate, later, later); err != nil {
		t.Fatal(err)
	}
	if clientErr, _ := meet(second, server, "127.0.0.1"); clientErr != nil {
		t.Errorf("after: %v", clientErr)
	}
	if err := os.Remove(certificate); err != nil {
		t.Fatal(err)
	}
	if clientErr, _ := meet(second, server, "127.0.0.1"); clientErr != nil {
		t.Errorf("without the file: %v", clientErr)
	}
}

func TestAMemberDialsUnderACertificateOfItsOwnIfItHasOne(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", "server", "h")
	a.issue("client", "client", "h")
	a.issue("dialler", "dialler", "h")
	client := a.mustMember("client", "--peer-client-cert-file={}/dialler.pem", "--peer-client-key-file={}/dialler.key")
	server := a.mustMember("server", "--peer-cert-allowed-cn=dialler")
	if _, serverErr := meet(client, server, "127.0.0.1"); serverErr != nil {
		t.Errorf("dialling: %v", serverErr)
	}
	if clientErr, _ := meet(a.mustMember("server", "--peer-cert-allowed-cn=client"), client, "127.0.0.1"); clientErr != nil {
		t.Errorf("dialled: %v", clientErr)
	}
	if _, err := a.member("client", "--peer-client-cert-file={}/missing.pem", "--peer-client-key-file={}/dialler.key"); err == nil {
		t.Error("a member starts without the certificate to dial with")
	}
}

// Auto TLS used to leave out what was demanded of clients.
func TestAutoTLSStillDemandsWhatItIsToldToOfClients(t *testing.T) {
	a := newAuthority(t)
	c, err := Parse("synod", []string{"--auto-tls", "--client-cert-auth", "--trusted-ca-file=" + filepath.Join(a.dir, "ca.pem"),
		"--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := c.ClientListenTLS(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if config.ClientAuth != tls.RequireAndVerifyClientCert || config.ClientCAs == nil {
		t.Errorf("clients need no certificate: %v", config.ClientAuth)
	}
}
