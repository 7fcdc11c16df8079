package etcdapi

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"synod.dev/synod"
)

// sparing lets something be said once a second at most: a server that is slow must not be slowed down by saying so.
type sparing struct {
	next   atomic.Int64 // Unix nanoseconds before which nothing is said
	silent atomic.Int64 // times that nothing was said since the last time that something was
}

// may reports whether to say something now, and how often that was not so since the last time.
func (s *sparing) may() (muted int64, now bool) {
	t, next := time.Now(), s.next.Load()
	if t.UnixNano() < next || !s.next.CompareAndSwap(next, t.Add(time.Second).UnixNano()) {
		s.silent.Add(1)
		return 0, false
	}
	return s.silent.Swap(0), true
}

// slowRequests logs unary requests that take long.
type slowRequests struct {
	bound  time.Duration // 0: nothing is logged
	logger *slog.Logger
	sparing
}

func (s *slowRequests) observe(ctx context.Context, method string, start time.Time, err error) {
	took := time.Since(start)
	if s.bound == 0 || took <= s.bound {
		return
	}
	muted, now := s.may()
	if !now {
		return
	}
	attributes := []any{"method", strings.TrimPrefix(method, "/"), "took", took, "bound", s.bound, "muted", muted}
	if remote := remoteOf(ctx); remote != "" {
		attributes = append(attributes, "remote", remote)
	}
	if err != nil {
		attributes = append(attributes, "error", err)
	}
	s.logger.Warn("a request took long", attributes...)
}

// slowApplies counts calls of the store that take long, and logs them in etcd's words. What it counts in etcd are single requests; here a call executes all that has gathered.
type slowApplies struct {
	bound  time.Duration // 0: nothing is counted or logged
	logger *slog.Logger
	count  prometheus.Counter
	sparing
}

func (s *slowApplies) observe(done synod.ApplyDone) {
	if s.bound == 0 || done.Duration <= s.bound {
		return
	}
	s.count.Inc()
	if muted, now := s.may(); now {
		s.logger.Warn("apply request took too long", "took", done.Duration, "expected-duration", s.bound,
			"slot", uint64(done.Slot), "requests", done.Commands, "bytes", done.Bytes, "muted", muted)
	}
}
