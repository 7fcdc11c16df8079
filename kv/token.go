package kv

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// A token is a secret that a user was given for its password. The log and the store hold its hash, so that whoever reads them
// cannot use it; every member knows it, and still does after a restart. It expires by the log's clock; see auth.now.

// TokenHash is what the log and the store hold in place of a token. A token is long and random, so one round of hashing is enough.
type TokenHash [sha256.Size]byte

// HashToken returns the hash of a token.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// EncodeLogin makes the command that gives caller a token for ttl. The password must have been checked at caller.Revision.
func (s *Store) EncodeLogin(caller rbac.Caller, token TokenHash, ttl time.Duration) []byte {
	b := s.appendLife([]byte{byte(kindLogin)}, token, ttl)
	b = binary.AppendUvarint(b, caller.Revision)
	return appendName(b, caller.User)
}

// EncodeTokenRenewal makes the command that lets a token live for ttl from now on, if it still does.
func (s *Store) EncodeTokenRenewal(token TokenHash, ttl time.Duration) []byte {
	return s.appendLife([]byte{byte(kindTokenRenewal)}, token, ttl)
}

// appendLife appends the token, uvarint life, and uvarint log's clock as this member reads it. The reading is in the command so that what a token
// lives is counted from when it is given out, however long ago the log was told the time before.
func (s *Store) appendLife(b []byte, token TokenHash, ttl time.Duration) []byte {
	now := time.Now().UnixNano()
	if p := s.current.Load(); p != nil {
		now = max(now, p.auth.now())
	}
	b = append(b, token[:]...)
	b = binary.AppendUvarint(b, uint64(ttl))
	return binary.AppendUvarint(b, uint64(now))
}

// TokenLeft returns how long a token will live unless it is renewed; 0 if it does not.
func (s *Store) TokenLeft(token TokenHash) (left time.Duration, err error) {
	err = s.read(context.Background(), func(v *view) error {
		row, err := v.token(token)
		if row != nil {
			left = max(0, time.Duration(row.expiry-v.auth.now()))
		}
		return err
	})
	return left, err
}

// tokenRow is a token in the store.
type tokenRow struct {
	expiry int64 // by the log's clock
	user   string
}

// token returns the row of a token, expired or not, nil if there is none.
func (v *view) token(token TokenHash) (*tokenRow, error) {
	b, err := get(v.reader, tokenKey(token))
	if err != nil || b == nil {
		return nil, err
	}
	return parseToken(b)
}

func parseToken(b []byte) (*tokenRow, error) {
	if len(b) <= 8 {
		return nil, fmt.Errorf("kv: malformed row of a token: %w", errCorrupt)
	}
	return &tokenRow{expiry: int64(binary.BigEndian.Uint64(b)), user: string(b[8:])}, nil
}

func tokenKey(token TokenHash) []byte { return append(append([]byte{}, tokenPrefix...), token[:]...) }

func expiryKey(expiry int64, token TokenHash) []byte {
	b := binary.BigEndian.AppendUint64(append([]byte{}, expiryPrefix...), uint64(expiry))
	return append(b, token[:]...)
}

// isToken reports whether a command is a login or a renewal.
func isToken(command []byte) bool {
	return len(command) > 0 && (kind(command[0]) == kindLogin || kind(command[0]) == kindTokenRenewal)
}

// executeToken executes a login or a renewal.
func (w *writer) executeToken(command []byte) (proto.Message, error) {
	p := parser{rest: command[1:]}
	var token TokenHash
	copy(token[:], p.take(uint64(len(token))))
	ttl, now := int64(p.uvarint()), int64(p.uvarint())
	if kind(command[0]) == kindTokenRenewal {
		if err := p.end(); err != nil {
			return nil, err
		}
		return answer(w.renew(token, ttl, now))
	}
	caller := rbac.Caller{Revision: p.uvarint()}
	caller.User = p.name()
	if err := p.end(); err != nil {
		return nil, err
	}
	return answer(w.login(caller, token, ttl, now))
}

// end reports what is wrong with a command that should have been read whole.
func (p *parser) end() error {
	if p.failed || len(p.rest) != 0 {
		return errMalformed
	}
	return nil
}

// login gives a user a token. The password was checked against what is still the auth revision, or must be checked again.
func (w *writer) login(caller rbac.Caller, token TokenHash, ttl, now int64) (*pb.AuthenticateResponse, error) {
	switch {
	case !w.auth.Enabled:
		return nil, rpctypes.ErrGRPCAuthNotEnabled
	case caller.Revision != w.auth.Revision:
		return nil, rpctypes.ErrGRPCAuthOldRevision
	case w.auth.Users[caller.User] == nil:
		return nil, rpctypes.ErrGRPCAuthFailed
	}
	w.tell(now)
	if err := w.expireTokens(); err != nil {
		return nil, err
	}
	if err := w.setToken(token, tokenRow{w.auth.clock + ttl, caller.User}); err != nil {
		return nil, err
	}
	return &pb.AuthenticateResponse{Header: &pb.ResponseHeader{Revision: w.revision}}, nil
}

// renew lets a token live on. One that has gone, or has expired by now, stays so.
func (w *writer) renew(token TokenHash, ttl, now int64) (*pb.AuthenticateResponse, error) {
	row, err := w.token(token)
	if err != nil {
		return nil, err
	}
	if row == nil || row.expiry <= max(w.auth.clock, now) {
		return nil, rpctypes.ErrGRPCInvalidAuthToken
	}
	w.tell(now)
	if err := w.batch.Delete(expiryKey(row.expiry, token), nil); err != nil {
		return nil, err
	}
	if err := w.setToken(token, tokenRow{w.auth.clock + ttl, row.user}); err != nil {
		return nil, err
	}
	return &pb.AuthenticateResponse{Header: &pb.ResponseHeader{Revision: w.revision}}, nil
}

// tell moves the log's clock forward.
func (w *writer) tell(now int64) {
	if now > w.auth.clock {
		w.auth = &auth{Policy: w.auth.Policy, clock: now, taken: time.Now()}
	}
}

func (w *writer) setToken(token TokenHash, row tokenRow) error {
	value := append(binary.BigEndian.AppendUint64(nil, uint64(row.expiry)), row.user...)
	if err := w.batch.Set(tokenKey(token), value, nil); err != nil {
		return err
	}
	return w.batch.Set(expiryKey(row.expiry, token), nil, nil)
}

// expireTokens deletes the tokens whose time is up, so that there are never more than were given out within their lifetime.
func (w *writer) expireTokens() error {
	for r, err := range w.prefixed(expiryPrefix) {
		if err != nil {
			return err
		}
		expiry, token, err := parseExpiryKey(r.key)
		if err != nil {
			return err
		}
		if expiry > w.auth.clock {
			return nil
		}
		if err := w.deleteToken(token, expiry); err != nil {
			return err
		}
	}
	return nil
}

func parseExpiryKey(key []byte) (expiry int64, token TokenHash, err error) {
	rest := key[len(expiryPrefix):]
	if len(rest) != 8+len(token) {
		return 0, token, fmt.Errorf("kv: malformed row of a token's expiry: %w", errCorrupt)
	}
	copy(token[:], rest[8:])
	return int64(binary.BigEndian.Uint64(rest)), token, nil
}

func (w *writer) deleteToken(token TokenHash, expiry int64) error {
	if err := w.batch.Delete(tokenKey(token), nil); err != nil {
		return err
	}
	return w.batch.Delete(expiryKey(expiry, token), nil)
}

// dropTokens deletes the tokens of a user, or those of everyone.
func (w *writer) dropTokens(of func(user string) bool) error {
	for r, err := range w.prefixed(tokenPrefix) {
		if err != nil {
			return err
		}
		row, err := parseToken(r.value)
		if err != nil {
			return err
		}
		if !of(row.user) {
			continue
		}
		if err := w.deleteToken(TokenHash(r.key[len(tokenPrefix):]), row.expiry); err != nil {
			return err
		}
	}
	return nil
}

// row is a key with its value, both valid until the iterator they come from moves.
type row struct{ key, value []byte }

// prefixed yields the rows that begin with a prefix, whose last byte is not 255, in order.
func (v *view) prefixed(prefix []byte) func(yield func(row, error) bool) {
	upper := append([]byte{}, prefix...)
	upper[len(upper)-1]++
	return rows(v, &pebble.IterOptions{LowerBound: prefix, UpperBound: upper}, func(it *pebble.Iterator, yield func(row, error) bool) error {
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if !yield(row{it.Key(), value}, nil) {
				return nil
			}
		}
		return it.Error()
	})
}
