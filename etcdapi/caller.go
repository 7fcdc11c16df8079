package etcdapi

import (
	"context"
	"crypto/tls"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"synod.dev/synod/kv"
)

// behindGateway is the metadata that a JSON gateway adds to what it passes on. The certificate is then the gateway's own.
const behindGateway = "grpcgateway-accept"

// withCredential returns ctx with what the request shows of its caller: a token, or else the name in the certificate of its
// connection, if clients must have one. A request that shows neither has no credential.
func (s *Server) withCredential(ctx context.Context) (context.Context, error) {
	if token, ok := tokenIn(ctx); ok {
		credential, err := s.tokens.credential(token)
		if err != nil {
			return ctx, err
		}
		s.renewals.use(credential)
		return kv.WithCredential(ctx, credential), nil
	}
	if name := commonName(ctx); s.clientCertAuth && name != "" && len(metadata.ValueFromIncomingContext(ctx, behindGateway)) == 0 {
		return kv.WithCredential(ctx, kv.Named(name)), nil
	}
	return ctx, nil
}

// remoteOf is the address that a request comes from; empty if it is none of a connection's.
func remoteOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

func tokenIn(ctx context.Context) (token string, ok bool) {
	for _, key := range []string{rpctypes.TokenFieldNameGRPC, rpctypes.TokenFieldNameSwagger} {
		if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
			return strings.TrimPrefix(values[0], "Bearer "), true
		}
	}
	return "", false
}

// commonName is the name in the verified certificate of a request's connection, if there is one.
func commonName(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	var state tls.ConnectionState
	switch info := p.AuthInfo.(type) {
	case client:
		state = info.State
	case credentials.TLSInfo: // by way of the HTTP server
		state = info.State
	}
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	return state.VerifiedChains[0][0].Subject.CommonName
}
