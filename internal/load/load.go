// Package load makes requests at a server with etcd's API and measures how long they take.
//
// There are two loops. In the closed one each client makes its next request when the last is answered: a slow server is asked less. In the open
// one requests fall due at a fixed rate whatever the server does, and the latency of a request counts from when it fell due: a
// server that stalls pays for every request that it kept from being made.
package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Request makes one request on behalf of a client, numbered from 0, and returns once it is answered. n counts all requests of a run from 0.
type Request func(ctx context.Context, client, n int) error

// Plan says how many requests are made, and when. It ends after Warm and Duration or after Requests, whichever comes first.
type Plan struct {
	Clients  int           // each has one request under way at a time; in the open loop they bound how many are
	Rate     float64       // requests that fall due in a second; 0 for the closed loop
	Warm     time.Duration // what begins or falls due in this time, at first, is not measured
	Duration time.Duration // how long is measured; 0 for no bound
	Requests int           // how many are made, those that are not measured included; 0 for no bound
	Timeout  time.Duration // how long one request may take before it has failed; 0 for no bound
}

// Running is a run under way. All its methods may be called by any goroutine.
type Running struct {
	plan    Plan
	request Request
	begin   time.Time // of the measurement
	end     time.Time // no request begins or falls due after it; zero for no bound
	giveUp  time.Time // no overdue request of the open loop is made any more; zero for no bound

	next     atomic.Int64
	answered atomic.Int64
	recorder *recorder
	clients  sync.WaitGroup
}

// Run makes the requests of a plan and measures them. When ctx ends, the run ends, and requests under way are abandoned and not counted.
func Run(ctx context.Context, p Plan, request Request) *Result {
	return Begin(ctx, p, request).Wait()
}

// Begin is Run that does not wait.
func Begin(ctx context.Context, p Plan, request Request) *Running {
	start := time.Now()
	r := &Running{plan: p, request: request, begin: start.Add(p.Warm), recorder: newRecorder()}
	if p.Duration > 0 {
		r.end = r.begin.Add(p.Duration)
		r.giveUp = r.end.Add(p.Duration / 2) // a server that has not caught up by then does not bear the rate
	}
	loop := r.closedLoop
	if p.Rate > 0 {
		loop = func(ctx context.Context, client int) { r.openLoop(ctx, client, start) }
	}
	for client := range p.Clients {
		r.clients.Go(func() { loop(ctx, client) })
	}
	return r
}

// Answered returns how many requests have succeeded so far, measured or not.
func (r *Running) Answered() int64 { return r.answered.Load() }

// Latest returns what has been measured so far.
func (r *Running) Latest() *Result { return r.recorder.result(max(0, time.Since(r.begin))) }

// Wait waits for the run to end and returns what was measured.
func (r *Running) Wait() *Result {
	r.clients.Wait()
	now := time.Now()
	if !r.end.IsZero() && now.After(r.end) && r.plan.Rate == 0 {
		now = r.end // those that were under way at the end stand for those that were under way at the beginning
	}
	return r.recorder.result(max(0, now.Sub(r.begin)))
}

func (r *Running) closedLoop(ctx context.Context, client int) {
	for ctx.Err() == nil {
		now := time.Now()
		if !r.end.IsZero() && !now.Before(r.end) {
			return
		}
		n := int(r.next.Add(1) - 1)
		if r.plan.Requests > 0 && n >= r.plan.Requests {
			return
		}
		r.do(ctx, client, n, now)
	}
}

// openLoop takes the requests in the order in which they fall due. One that falls due while all clients wait for answers is made when the first
// of them has its own; one that is not made in time at all counts for as long as it has waited.
func (r *Running) openLoop(ctx context.Context, client int, start time.Time) {
	for ctx.Err() == nil {
		n := int(r.next.Add(1) - 1)
		due := start.Add(time.Duration(float64(n) / r.plan.Rate * float64(time.Second)))
		if r.plan.Requests > 0 && n >= r.plan.Requests || !r.end.IsZero() && !due.Before(r.end) {
			return
		}
		if !sleepUntil(ctx, due) {
			return
		}
		if now := time.Now(); !r.giveUp.IsZero() && now.After(r.giveUp) {
			r.recorder.overdue(client, now.Sub(due))
			continue
		}
		r.do(ctx, client, n, due)
	}
}

// do makes one request, whose latency counts from since.
func (r *Running) do(ctx context.Context, client, n int, since time.Time) {
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if r.plan.Timeout > 0 {
		bounded, cancel = context.WithTimeout(ctx, r.plan.Timeout)
	}
	err := r.request(bounded, client, n)
	cancel()
	took := time.Since(since)
	switch {
	case err != nil && ctx.Err() != nil: // abandoned
	case err != nil:
		r.recorder.failed(client, err)
	default:
		r.answered.Add(1)
		if !since.Before(r.begin) {
			r.recorder.answered(client, took)
		}
	}
}

// sleepUntil reports false if ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
