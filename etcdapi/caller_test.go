package etcdapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// certified returns the TLS configuration of a server that demands certificates, made from one that does not, and one of a client whose
// certificate names a user.
func certified(t *testing.T, server, client *tls.Config, user string) (*tls.Config, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: user},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	server, client = server.Clone(), client.Clone()
	server.ClientCAs, server.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	server.ClientCAs.AddCert(certificate)
	client.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return server, client
}

func TestTheNameInACertificateCountsIfItMayAndNoTokenIsShownAndNoGatewayStandsBetween(t *testing.T) {
	server, client := selfSigned(t)
	server, client = certified(t, server, client, "alice")
	for _, trusted := range []bool{true, false} {
		secured := listen(t)
		s := serve(t, func(c *Config) {
			c.BcryptCost, c.ClientCertAuth = 4, trusted
			c.Listeners = append(c.Listeners, Listener{Listener: secured, TLS: server})
		})
		s.enable(t)
		conn := dial(t, secured.Addr().String(), tlsCredentials(client))
		ctx, root := t.Context(), s.login(t, "root")
		want := rpctypes.ErrGRPCUserEmpty
		if trusted {
			want = nil
		}
		if err := putOn(ctx, conn, "a"); !sameStatus(err, want) {
			t.Errorf("trusted %v: %v, want %v", trusted, err, want)
		}
		if trusted {
			want = rpctypes.ErrGRPCPermissionDenied
		}
		if err := putOn(ctx, conn, "b"); !sameStatus(err, want) {
			t.Errorf("trusted %v, another key: %v, want %v", trusted, err, want)
		}
		if err := putOn(root, conn, "b"); err != nil {
			t.Errorf("with root's token: %v", err)
		}
		if err := putOn(showing(ctx, "none"), conn, "a"); !sameStatus(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("with a token that is none: %v", err)
		}
		if err := putOn(metadata.AppendToOutgoingContext(ctx, behindGateway, "*/*"), conn, "a"); !sameStatus(err, rpctypes.ErrGRPCUserEmpty) {
			t.Errorf("behind a gateway: %v", err)
		}
	}
}

func putOn(ctx context.Context, conn *grpc.ClientConn, key string) error {
	_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte(key)})
	return err
}
