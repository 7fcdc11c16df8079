package etcdapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
)

// tokens gives tokens to those who have shown their password, and tells what a token that is shown stands for.
type tokens interface {
	issue(ctx context.Context, caller rbac.Caller) (string, error)
	credential(token string) (kv.Credential, error)
}

// tokenBytes is how long a simple token is before it is written in base64.
const tokenBytes = 32

// simpleTokens are random and mean nothing but to the store, which knows their hashes: so they are good at every member, and
// after its restart.
type simpleTokens struct{ *Server }

// issue has the log take a new token's hash. The password must still be the one that was checked, or the answer is ErrGRPCAuthOldRevision.
func (t simpleTokens) issue(ctx context.Context, caller rbac.Caller) (string, error) {
	secret := make([]byte, tokenBytes)
	rand.Read(secret) // never fails
	token := base64.RawURLEncoding.EncodeToString(secret)
	return token, t.command(ctx, t.store.EncodeLogin(caller, kv.HashToken(token), t.tokenTTL))
}

func (t simpleTokens) credential(token string) (kv.Credential, error) {
	if base64.RawURLEncoding.DecodedLen(len(token)) != tokenBytes {
		return nil, rpctypes.ErrGRPCInvalidAuthToken
	}
	return kv.Token(kv.HashToken(token)), nil
}

// command proposes a command of which nothing is wanted but that it succeeds.
func (s *Server) command(ctx context.Context, command []byte) error {
	answer, err := s.propose(ctx, MachineKV, command)
	if err != nil {
		return err
	}
	return answer.(kv.Result).Err
}

// renewalsMax bounds the renewals under way at a time; a token that finds no room is renewed at a later use.
const renewalsMax = 64

// renewals lets tokens that are used live on. A token is renewed through the log when less than half of its life is left, so
// a busy client costs two commands in a life.
type renewals struct {
	server *Server

	mu      sync.Mutex
	running map[kv.Token]struct{}
	done    sync.WaitGroup
}

// use notes that a credential is used. It does not wait.
func (r *renewals) use(credential kv.Credential) {
	token, ok := credential.(kv.Token)
	if !ok {
		return
	}
	left, err := r.server.store.TokenLeft(kv.TokenHash(token))
	if err != nil || left == 0 || left > r.server.tokenTTL/2 || !r.begin(token) {
		return
	}
	go func() {
		defer r.end(token)
		r.renew(token)
	}()
}

func (r *renewals) renew(token kv.Token) {
	s := r.server
	err := s.command(s.stopped, s.store.EncodeTokenRenewal(kv.TokenHash(token), s.tokenTTL))
	if err != nil && !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) && s.stopped.Err() == nil {
		s.logger.Warn("cannot renew a token; its next use tries again", slog.Any("error", err))
	}
}

func (r *renewals) begin(token kv.Token) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, runs := r.running[token]; runs || len(r.running) >= renewalsMax || r.server.stopped.Err() != nil {
		return false
	}
	r.running[token] = struct{}{}
	r.done.Add(1)
	return true
}

func (r *renewals) end(token kv.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, token)
	r.done.Done()
}

// await returns once no renewal runs; none begins after the server has been told to stop.
func (r *renewals) await() {
	r.mu.Lock() // who has begun before is counted
	r.mu.Unlock()
	r.done.Wait()
}
