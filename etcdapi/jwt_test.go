package etcdapi

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
)

// keyFiles writes a key of every kind, "rsa", "ec" and "ed", with ".pub" for the public half, "rsa2" for another, and "secret".
func keyFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, kind string, der []byte, err error) {
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	for name, generate := range map[string]func() (private, public any, err error){
		"rsa":  func() (any, any, error) { k, err := rsa.GenerateKey(rand.Reader, 2048); return k, &k.PublicKey, err },
		"rsa2": func() (any, any, error) { k, err := rsa.GenerateKey(rand.Reader, 2048); return k, &k.PublicKey, err },
		"ec": func() (any, any, error) {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			return k, &k.PublicKey, err
		},
		"ed": func() (any, any, error) { public, k, err := ed25519.GenerateKey(rand.Reader); return k, public, err },
	} {
		private, public, err := generate()
		must(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(private)
		write(name, "PRIVATE KEY", der, err)
		der, err = x509.MarshalPKIXPublicKey(public)
		write(name+".pub", "PUBLIC KEY", der, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("a secret of some length"), 0o600))
	return dir
}

// in puts the directory before the files of options.
func in(dir, options string) string { return strings.ReplaceAll(options, "key=", "key="+dir+"/") }

func TestSignedTokensOfEveryMethodSayWhoHasLoggedInAndWhen(t *testing.T) {
	dir := keyFiles(t)
	for _, test := range []struct{ signs, verifies string }{
		{"sign-method=RS256,priv-key=rsa", "sign-method=RS256,pub-key=rsa.pub"},
		{"sign-method=PS384,priv-key=rsa,pub-key=rsa.pub,ttl=10s", "sign-method=PS384,pub-key=rsa.pub"},
		{"sign-method=ES256,priv-key=ec,pub-key=ec.pub", "sign-method=ES256,pub-key=ec.pub"},
		{"sign-method=EdDSA,priv-key=ed,pub-key=ed.pub", "sign-method=EdDSA,pub-key=ed.pub"},
		{"sign-method=HS512,priv-key=secret", "sign-method=HS512,priv-key=secret"},
	} {
		signer, err := OpenJWT(in(dir, test.signs))
		must(t, err)
		verifier, err := OpenJWT(in(dir, test.verifies))
		must(t, err)
		token, err := signer.issue(t.Context(), rbac.Caller{User: "alice", Revision: 7})
		must(t, err)
		for _, j := range []*JWT{signer, verifier} {
			if got, err := j.credential(token); got != kv.Signed(rbac.Caller{User: "alice", Revision: 7}) || err != nil {
				t.Errorf("%s: %v, %v", test.signs, got, err)
			}
			if got, err := j.credential(token[:len(token)-4] + "AAAA"); !sameStatus(err, rpctypes.ErrGRPCInvalidAuthToken) {
				t.Errorf("%s, forged: %v, %v", test.signs, got, err)
			}
		}
		if _, err := verifier.issue(t.Context(), rbac.Caller{User: "alice", Revision: 7}); strings.Contains(test.verifies, "pub") && status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s signs: %v", test.verifies, err)
		}
	}
}

func TestATokenIsValidUnderTheConfiguredMethodAndKeyOnly(t *testing.T) {
	dir := keyFiles(t)
	j, err := OpenJWT(in(dir, "sign-method=RS256,pub-key=rsa.pub"))
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "rsa.pub"))
	must(t, err)
	private, err := os.ReadFile(filepath.Join(dir, "rsa"))
	must(t, err)
	key, err := jwt.ParseRSAPrivateKeyFromPEM(private)
	must(t, err)
	says := func(user string, revision uint64, ends time.Time) *claims {
		c := &claims{User: user, Revision: revision}
		c.ExpiresAt = jwt.NewNumericDate(ends)
		return c
	}
	later := time.Now().Add(time.Hour)
	sign := func(method jwt.SigningMethod, c jwt.Claims, key any) string {
		token, err := jwt.NewWithClaims(method, c).SignedString(key)
		must(t, err)
		return token
	}
	if _, err := j.credential(sign(jwt.SigningMethodRS256, says("root", 1, later), key)); err != nil {
		t.Errorf("the right one: %v", err)
	}
	for name, token := range map[string]string{
		"none":           sign(jwt.SigningMethodNone, says("root", 1, later), jwt.UnsafeAllowNoneSignatureType),
		"the public key": sign(jwt.SigningMethodHS256, says("root", 1, later), public),
		"another method": sign(jwt.SigningMethodPS256, says("root", 1, later), key),
		"expired":        sign(jwt.SigningMethodRS256, says("root", 1, time.Now().Add(-time.Minute)), key),
		"no user":        sign(jwt.SigningMethodRS256, says("", 1, later), key),
		"no revision":    sign(jwt.SigningMethodRS256, says("root", 0, later), key),
		"a revision less than none": sign(jwt.SigningMethodRS256,
			jwt.MapClaims{"username": "root", "revision": -1, "exp": later.Unix()}, key),
		"nothing": "",
	} {
		if got, err := j.credential(token); !sameStatus(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestOptionsOfSignedTokensThatCannotBeAreRefusedInOneLine(t *testing.T) {
	dir := keyFiles(t)
	for _, options := range []string{
		"", "sign-method=RS256", "sign-method=none,priv-key=rsa", "priv-key=rsa", "sign-method=RS256,priv-key=ec", "sign-method=ES256,pub-key=rsa.pub",
		"sign-method=RS256,priv-key=rsa,pub-key=rsa2.pub", "sign-method=HS256,pub-key=secret", "sign-method=RS256,priv-key=missing",
		"sign-method=RS256,priv-key=rsa,ttl=soon", "sign-method=RS256,priv-key=rsa,ttl=-5m", "sign-method=RS256,sign-method=RS256,priv-key=rsa",
		"sign-method=RS256,priv-key=rsa,color=blue", "sign-method",
	} {
		if j, err := OpenJWT(in(dir, options)); err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "--auth-token jwt: ") {
			t.Errorf("%q: %v, %v", options, j, err)
		}
	}
}

func TestASignedTokenEndsWithTheNextChangeOfUsersOrRoles(t *testing.T) {
	dir := keyFiles(t)
	j, err := OpenJWT(in(dir, "sign-method=ES256,priv-key=ec"))
	must(t, err)
	s := serve(t, func(c *Config) { c.BcryptCost, c.JWT = 4, j })
	s.enable(t)
	alice, root := s.login(t, "alice"), s.login(t, "root")
	must(t, s.put(alice, "a"))
	_, err = s.auth().RoleAdd(root, &pb.AuthRoleAddRequest{Name: "another"})
	must(t, err)
	for name, err := range map[string]error{"a put": s.put(alice, "a"), "a read": s.read(alice, "a")} {
		if !sameStatus(err, rpctypes.ErrGRPCAuthOldRevision) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.auth().RoleAdd(root, &pb.AuthRoleAddRequest{Name: "one more"}); !sameStatus(err, rpctypes.ErrGRPCAuthOldRevision) {
		t.Errorf("root: %v", err)
	}
	must(t, s.put(s.login(t, "alice"), "a"))
}
