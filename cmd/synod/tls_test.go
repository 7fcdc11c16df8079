package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// authority signs certificates for 127.0.0.1 and keeps them as files.
type authority struct {
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.file = filepath.Join(a.dir, "ca.pem")
	a.sign(t, a.ca, a.key, a.file)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey, file string) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue returns the files of a new certificate and its key.
func (a *authority) issue(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "member"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	dir := t.TempDir() // of its own: a member may be reading the last ones just now
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.sign(t, template, k, cert)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// secureArgs are the arguments of a member that speaks TLS to clients and peers, under certificates of the authority.
func (a *authority) secureArgs(t *testing.T, s shape, m localMember, dir string) []string {
	t.Helper()
	cert, key := a.issue(t)
	args := s.serveArguments(m, dir)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "http://", "https://")
	}
	return append(args, "--cert-file="+cert, "--key-file="+key, "--trusted-ca-file="+a.file,
		"--peer-cert-file="+cert, "--peer-key-file="+key, "--peer-trusted-ca-file="+a.file)
}

func TestAClusterUnderTLSServesOnlyThoseWithACertificate(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	s, err := newShape(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var members []*process
	status := []string{"status", "--cacert=" + a.file}
	for _, m := range s.Members {
		members = append(members, begin(t, "", "synod", a.secureArgs(t, s, m, dir)...))
		status = append(status, "--endpoints=https://"+m.Client)
	}
	for _, p := range members {
		p.await(readyLine)
	}
	cert, key := a.issue(t)
	begin(t, "", "synod", append(status, "--cert="+cert, "--key="+key)...).exitsWith(0)
	begin(t, "", "synod", status...).exitsWith(exitFailure)
	cert, key = stranger.issue(t)
	begin(t, "", "synod", append(status, "--cert="+cert, "--key="+key)...).exitsWith(exitFailure)
	for _, p := range members {
		p.stops()
	}
}

func TestACertificateOfAnotherAuthorityFindsNoPeers(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	s, err := newShape(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := begin(t, "", "synod", a.secureArgs(t, s, s.Members[0], dir)...)
	second := begin(t, "", "synod", stranger.secureArgs(t, s, s.Members[1], dir)...)
	for _, p := range []*process{first, second} {
		p.await("no quorum yet")
		p.stops()
		if strings.Contains(p.output(), readyLine) {
			t.Error("two members of different authorities have formed a cluster")
		}
	}
}

func TestBadCertificatesAreRefusedAtStart(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--cert-file=missing.pem", "--key-file=" + key}, "missing.pem"},
		{[]string{"--cert-file=" + cert, "--key-file=" + cert}, "--key-file"},
		{[]string{"--cert-file=" + cert, "--key-file=" + key, "--trusted-ca-file=missing.pem"}, "--trusted-ca-file"},
		{[]string{"--cert-file=" + cert, "--key-file=" + key, "--trusted-ca-file=" + key}, "holds no certificate"},
	} {
		m := newAlone(t)
		args := m.args(test.args...)
		for i := range args {
			if strings.Contains(args[i], "client-urls") {
				args[i] = strings.ReplaceAll(args[i], "http://", "https://")
			}
		}
		p := begin(t, "", "synod", append([]string{"serve"}, args...)...)
		p.exitsWith(exitFailure)
		if !strings.Contains(p.lastLine(), test.want) {
			t.Errorf("%q: it does not say %q", test.args, test.want)
		}
		if _, err := os.Stat(m.dir); !os.IsNotExist(err) {
			t.Errorf("%q: it made its data directory", test.args)
		}
	}
}

func TestAutoTLSEncryptsWithoutAnyFiles(t *testing.T) {
	a := newAlone(t)
	args := a.args("--auto-tls")
	for i := range args {
		if strings.Contains(args[i], "client-urls") {
			args[i] = strings.ReplaceAll(args[i], "http://", "https://")
		}
	}
	p := begin(t, "", "synod", append([]string{"serve"}, args...)...)
	p.await(readyLine)
	conn, err := grpc.NewClient(a.client, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewKVClient(conn).Put(patient(t), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Error(err)
	}
	p.stops()
}

func TestMembersUnderPeerAutoTLSFindEachOtherByTheirToken(t *testing.T) {
	s, err := newShape(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var members []*process
	for _, m := range s.Members {
		args := append(s.serveArguments(m, dir), "--peer-auto-tls")
		for i := range args {
			if !strings.Contains(args[i], "client-urls") {
				args[i] = strings.ReplaceAll(args[i], "http://", "https://")
			}
		}
		members = append(members, begin(t, "", "synod", args...))
	}
	for _, p := range members {
		p.await(readyLine)
	}
	for _, p := range members {
		p.stops()
	}
}
