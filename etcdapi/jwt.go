package etcdapi

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
)

// defaultJWTTTL is how long a signed token is valid.
const defaultJWTTTL = 5 * time.Minute

// JWT issues and verifies signed tokens in place of simple ones. Each member that has the key knows them.
type JWT struct {
	method jwt.SigningMethod
	sign   any // nil if this member can only verify
	verify any
	ttl    time.Duration
}

// OpenJWT reads the options of etcd's --auth-token jwt, "sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m", and the key files that
// they name. A public key alone verifies and does not sign; HS methods have one secret, in priv-key.
func OpenJWT(options string) (*JWT, error) {
	given := map[string]string{}
	for option := range strings.SplitSeq(options, ",") {
		name, value, ok := strings.Cut(option, "=")
		if _, twice := given[name]; !ok || twice || strings.Contains(value, "=") {
			return nil, fmt.Errorf("--auth-token jwt: option %q is malformed or given twice; write name=value", option)
		}
		switch name {
		case "sign-method", "priv-key", "pub-key", "ttl":
			given[name] = value
		default:
			return nil, fmt.Errorf("--auth-token jwt: unknown option %q; use sign-method, priv-key, pub-key and ttl", name)
		}
	}
	j := &JWT{method: jwt.GetSigningMethod(given["sign-method"]), ttl: defaultJWTTTL}
	if text := given["ttl"]; text != "" {
		ttl, err := time.ParseDuration(text)
		if err != nil || ttl < time.Second {
			return nil, fmt.Errorf("--auth-token jwt: ttl %q is no duration of a second or more, as 5m", text)
		}
		j.ttl = ttl
	}
	private, err := readKey(given["priv-key"])
	if err != nil {
		return nil, err
	}
	public, err := readKey(given["pub-key"])
	if err != nil {
		return nil, err
	}
	return j, j.setKeys(private, public)
}

func readKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--auth-token jwt: cannot read a key: %w; name a PEM file that can be read", err)
	}
	return pem, nil
}

// setKeys parses the keys that the method takes.
func (j *JWT) setKeys(private, public []byte) error {
	switch j.method.(type) {
	case *jwt.SigningMethodHMAC:
		if len(private) == 0 {
			return errors.New("--auth-token jwt: an HS method needs its secret; name a file in priv-key")
		}
		j.sign, j.verify = private, private
		return nil
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return setPair(j, private, public, jwt.ParseRSAPrivateKeyFromPEM, jwt.ParseRSAPublicKeyFromPEM)
	case *jwt.SigningMethodECDSA:
		return setPair(j, private, public, jwt.ParseECPrivateKeyFromPEM, jwt.ParseECPublicKeyFromPEM)
	case *jwt.SigningMethodEd25519:
		return setPair(j, private, public, jwt.ParseEdPrivateKeyFromPEM, jwt.ParseEdPublicKeyFromPEM)
	}
	return errors.New("--auth-token jwt: sign-method must be RS, PS or ES with 256, 384 or 512, HS likewise, or EdDSA")
}

// setPair parses a private key, a public key, or both, which must then belong together.
func setPair[Private, Public any](j *JWT, private, public []byte, parsePrivate func([]byte) (Private, error), parsePublic func([]byte) (Public, error)) error {
	if private == nil && public == nil {
		return errors.New("--auth-token jwt: there is no key; name a PEM file in priv-key, or in pub-key to verify only")
	}
	if private != nil {
		key, err := parsePrivate(private)
		if err != nil {
			return fmt.Errorf("--auth-token jwt: priv-key does not fit %s: %w", j.method.Alg(), err)
		}
		j.sign, j.verify = key, any(key).(crypto.Signer).Public()
	}
	if public != nil {
		key, err := parsePublic(public)
		if err != nil {
			return fmt.Errorf("--auth-token jwt: pub-key does not fit %s: %w", j.method.Alg(), err)
		}
		if j.verify != nil && !any(key).(interface{ Equal(crypto.PublicKey) bool }).Equal(j.verify) {
			return errors.New("--auth-token jwt: pub-key and priv-key do not belong together; name the two halves of one key")
		}
		j.verify = key
	}
	return nil
}

// claims are what a token says. The auth revision lets it end with the first change of users or roles.
type claims struct {
	User     string `json:"username"`
	Revision uint64 `json:"revision"`
	jwt.RegisteredClaims
}

func (j *JWT) issue(_ context.Context, caller rbac.Caller) (string, error) {
	if j.sign == nil {
		return "", status.Error(codes.FailedPrecondition, "this member has no key to sign tokens with; log in at one that has, or give it a priv-key")
	}
	said := claims{User: caller.User, Revision: caller.Revision}
	said.ExpiresAt = jwt.NewNumericDate(time.Now().Add(j.ttl))
	return jwt.NewWithClaims(j.method, said).SignedString(j.sign)
}

// credential accepts the configured method and no other, or a public key could pass for the secret of another method.
func (j *JWT) credential(token string) (kv.Credential, error) {
	said := &claims{}
	_, err := jwt.ParseWithClaims(token, said, func(*jwt.Token) (any, error) { return j.verify, nil }, jwt.WithValidMethods([]string{j.method.Alg()}))
	if err != nil || said.User == "" || said.Revision == 0 {
		return nil, rpctypes.ErrGRPCInvalidAuthToken
	}
	return kv.Signed{User: said.User, Revision: said.Revision}, nil
}
