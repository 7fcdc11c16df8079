package kv

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod/kv/rbac"
)

// Credential is by what a request shows who makes it. It travels in the context of the request, and who it stands for is looked up in
// the very state that answers: what has been revoked by then is not granted.
type Credential interface {
	caller(v *view) (rbac.Caller, error)
}

type credentialKey struct{}

// WithCredential returns a context for requests that show a credential. Without one a request is nobody's.
func WithCredential(ctx context.Context, c Credential) context.Context {
	return context.WithValue(ctx, credentialKey{}, c)
}

// Token is the credential of who shows a token that a login has made.
type Token TokenHash

func (t Token) caller(v *view) (rbac.Caller, error) {
	row, err := v.token(TokenHash(t))
	if err != nil {
		return rbac.Caller{}, err
	}
	if row == nil || row.expiry <= v.auth.now() {
		return rbac.Caller{}, rpctypes.ErrGRPCInvalidAuthToken
	}
	return rbac.Caller{User: row.user, Revision: v.auth.Revision}, nil
}

// Named is the credential of a user whom the certificate of its connection names.
type Named string

func (n Named) caller(v *view) (rbac.Caller, error) {
	return rbac.Caller{User: string(n), Revision: v.auth.Revision}, nil
}

// Signed is the credential of a user of whom a signed token says that it had logged in at an auth revision.
type Signed rbac.Caller

func (s Signed) caller(*view) (rbac.Caller, error) { return rbac.Caller(s), nil }

// Member is the credential of what this process asks by itself, for nobody else. Nothing is refused to it.
type Member struct{}

func (Member) caller(*view) (rbac.Caller, error) { return rbac.Caller{Member: true}, nil }

// caller returns on whose behalf a request is made, or etcd's error if its credential is not valid. Nobody is asked while there is
// no authentication.
func (v *view) caller(ctx context.Context) (rbac.Caller, error) {
	c, ok := ctx.Value(credentialKey{}).(Credential)
	if !ok || !v.auth.Enabled {
		return rbac.Caller{}, nil
	}
	return c.caller(v)
}
