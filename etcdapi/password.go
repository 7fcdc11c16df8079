package etcdapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bcrypt is slow on purpose: some 60 ms of a core at its default cost. So that whoever tries passwords cannot take the cores from
// replication, half of them at most compute hashes, and what waits for its turn is bounded.
const (
	hashesWaitingMax     = 64
	hashesOfOneClientMax = 4
)

// passwords computes and checks hashes of passwords, a few at a time. Any goroutine may use it.
type passwords struct {
	cost  int
	decoy []byte        // a hash that no password is known for
	turns chan struct{} // holds as many tokens as hashes are being computed

	mu      sync.Mutex
	total   int            // that wait or compute
	clients map[uint64]int // the same, by the client's connection
}

func newPasswords(cost int) *passwords {
	return &passwords{
		cost:    cost,
		decoy:   fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat("u", 53)),
		turns:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		clients: map[uint64]int{},
	}
}

// hash returns the hash of a password as etcd's requests carry it.
func (p *passwords) hash(ctx context.Context, password string) (hash string, err error) {
	err = p.inTurn(ctx, func() error {
		b, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		hash = base64.StdEncoding.EncodeToString(b)
		return nil
	})
	return hash, err
}

// check returns nil if the password is the user's. An unknown user, nil, takes as long to be refused as a wrong password.
func (p *passwords) check(ctx context.Context, user *authpb.User, password string) error {
	hash := user.GetPassword()
	if _, err := bcrypt.Cost(hash); err != nil { // there is none
		hash = p.decoy
	}
	return p.inTurn(ctx, func() error {
		if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || user.GetOptions().GetNoPassword() {
			return rpctypes.ErrGRPCAuthFailed
		}
		return nil
	})
}

// inTurn runs compute once it is the caller's turn, unless there are too many before it or ctx ends.
func (p *passwords) inTurn(ctx context.Context, compute func() error) error {
	source := sourceOf(ctx)
	if !p.enter(source) {
		return rpctypes.ErrGRPCRequestTooManyRequests
	}
	defer p.leave(source)
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
		return compute()
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (p *passwords) enter(source uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= hashesWaitingMax || p.clients[source] >= hashesOfOneClientMax {
		return false
	}
	p.total++
	p.clients[source]++
	return true
}

func (p *passwords) leave(source uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.clients[source]--; p.clients[source] == 0 {
		delete(p.clients, source)
	}
}
