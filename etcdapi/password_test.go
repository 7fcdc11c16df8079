package etcdapi

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/peer"
)

// from returns the context of a request on a connection.
func from(ctx context.Context, source uint64) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: client{source: source}})
}

func TestFewHashesAreComputedAtATimeAndFewRequestsWait(t *testing.T) {
	p := newPasswords(4)
	computing, gate := make(chan struct{}, hashesWaitingMax), make(chan struct{})
	hold := func() error {
		computing <- struct{}{}
		<-gate
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	outcomes := make(chan error, hashesWaitingMax)
	for i := range hashesWaitingMax {
		waiting.Go(func() { outcomes <- p.inTurn(from(ctx, uint64(i)), hold) })
	}
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.total == hashesWaitingMax && len(computing) == cap(p.turns)
	})
	gone, leave := context.WithCancel(ctx) // who is let in does not wait
	leave()
	if err := p.inTurn(from(gone, 99), hold); !errors.Is(err, rpctypes.ErrGRPCRequestTooManyRequests) {
		t.Errorf("one more: %v", err)
	}
	cancel() // who waits gives up, who computes goes on
	for range hashesWaitingMax - cap(p.turns) {
		if err := <-outcomes; err == nil {
			t.Error("who gave up got a hash")
		}
	}
	close(gate)
	waiting.Wait()
	if p.total != 0 || len(p.clients) != 0 || len(p.turns) != 0 || len(computing) != cap(p.turns) {
		t.Errorf("%d, %v, %d, %d are left", p.total, p.clients, len(p.turns), len(computing))
	}
	if err := p.inTurn(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOneClientCannotTakeEveryTurn(t *testing.T) {
	p := newPasswords(4)
	ctx, cancel := context.WithCancel(t.Context())
	gate := make(chan struct{})
	var waiting sync.WaitGroup
	for range hashesOfOneClientMax {
		waiting.Go(func() {
			p.inTurn(from(ctx, 1), func() error { <-gate; return nil }) // what becomes of it is not the matter
		})
	}
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.clients[1] == hashesOfOneClientMax
	})
	gone, leave := context.WithCancel(ctx) // who is let in does not wait
	leave()
	if err := p.inTurn(from(gone, 1), func() error { return nil }); !errors.Is(err, rpctypes.ErrGRPCRequestTooManyRequests) {
		t.Errorf("one more of the same: %v", err)
	}
	close(gate)
	if err := p.inTurn(from(t.Context(), 2), func() error { return nil }); err != nil {
		t.Errorf("one of another: %v", err)
	}
	cancel()
	waiting.Wait()
}

func TestEveryRefusalCostsOneComparisonAtTheConfiguredCost(t *testing.T) {
	p := newPasswords(5)
	if cost, err := bcrypt.Cost(p.decoy); cost != 5 || err != nil {
		t.Fatalf("the decoy costs %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword(p.decoy, []byte("x")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Fatalf("the decoy is not compared: %v", err)
	}
	hash, err := p.hash(t.Context(), "right")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost(raw); cost != 5 || err != nil {
		t.Errorf("a hash of cost %d, %v", cost, err)
	}
	user := &authpb.User{Password: raw}
	if err := p.check(t.Context(), user, "right"); err != nil {
		t.Error(err)
	}
	certified := &authpb.User{Password: raw, Options: &authpb.UserAddOptions{NoPassword: true}}
	for name, err := range map[string]error{
		"wrong": p.check(t.Context(), user, "wrong"), "unknown": p.check(t.Context(), nil, "right"),
		"no password": p.check(t.Context(), &authpb.User{}, ""), "certified": p.check(t.Context(), certified, "right"),
	} {
		if err != rpctypes.ErrGRPCAuthFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
