package etcdapi

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod/kv"
)

// keepAlives gathers renewals: those that come while a command is under way share the next one. So the log holds no more of these commands than one
// after the other, however many clients keep leases alive.
type keepAlives struct {
	propose func(ids []int64) (ttls []int64, err error)
	ended   context.Context

	mu      sync.Mutex
	waiting []*round
	wake    chan struct{} // one token: somebody waits
}

// round is the renewals of one command.
type round struct {
	ids  []int64
	ttls []int64 // once done
	err  error
	done chan struct{}
}

// roundsMax bounds the rounds that wait, of kv.MaxLeaseRenewals each.
const roundsMax = 64

func newKeepAlives(ended context.Context, propose func([]int64) ([]int64, error)) *keepAlives {
	return &keepAlives{propose: propose, ended: ended, wake: make(chan struct{}, 1)}
}

// renew returns the TTLs of leases once they are renewed, 0 for those that do not exist. There may be kv.MaxLeaseRenewals at most.
func (k *keepAlives) renew(ctx context.Context, ids []int64) ([]int64, error) {
	r, first := k.join(ids)
	if r == nil {
		return nil, rpctypes.ErrGRPCRequestTooManyRequests
	}
	select {
	case <-r.done:
		if r.err != nil {
			return nil, r.err
		}
		return r.ttls[first : first+len(ids)], nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.ended.Done():
		return nil, rpctypes.ErrGRPCStopped
	}
}

// join puts ids into a round that has not begun, and returns it, nil if too many wait, and where in it they are.
func (k *keepAlives) join(ids []int64) (r *round, first int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.waiting); n > 0 && len(k.waiting[n-1].ids)+len(ids) <= kv.MaxLeaseRenewals {
		r = k.waiting[n-1]
	} else if n < roundsMax {
		r = &round{done: make(chan struct{})}
		k.waiting = append(k.waiting, r)
	} else {
		return nil, 0
	}
	first = len(r.ids)
	r.ids = append(r.ids, ids...)
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return r, first
}

// run proposes one round after the other, until the server ends.
func (k *keepAlives) run() {
	for {
		select {
		case <-k.wake:
		case <-k.ended.Done():
			return
		}
		for r := k.next(); r != nil; r = k.next() {
			r.ttls, r.err = k.propose(r.ids)
			close(r.done)
		}
	}
}

// next takes the round that has waited longest; nobody joins it any more.
func (k *keepAlives) next() *round {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.waiting) == 0 {
		return nil
	}
	r := k.waiting[0]
	k.waiting = k.waiting[1:]
	return r
}
