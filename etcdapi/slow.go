package etcdapi

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
)

// slowRequests logs unary requests that take long: one line a second at most, for a server that is slow must not be slowed down by saying so.
type slowRequests struct {
	bound  time.Duration // 0: nothing is logged
	logger *slog.Logger
	next   atomic.Int64 // Unix nanoseconds before which nothing is logged
	silent atomic.Int64 // slow requests since the last line
}

func (s *slowRequests) observe(ctx context.Context, method string, start time.Time, err error) {
	took := time.Since(start)
	if s.bound == 0 || took <= s.bound {
		return
	}
	now, next := time.Now(), s.next.Load()
	if now.UnixNano() < next || !s.next.CompareAndSwap(next, now.Add(time.Second).UnixNano()) {
		s.silent.Add(1)
		return
	}
	attributes := []any{"method", strings.TrimPrefix(method, "/"), "took", took, "bound", s.bound, "unsaid-before", s.silent.Swap(0)}
	if p, ok := peer.FromContext(ctx); ok {
		attributes = append(attributes, "remote", p.Addr.String())
	}
	if err != nil {
		attributes = append(attributes, "error", err)
	}
	s.logger.Warn("a request took long", attributes...)
}
