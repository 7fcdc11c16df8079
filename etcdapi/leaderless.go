package etcdapi

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// leaderChecks is how often a member must find itself without a leader, over the leader timeout, before that counts.
const leaderChecks = 3

// led streams are those whose clients demand a leader. They end when there has been none for a while.
type ledStreams struct {
	mu   sync.Mutex
	ends map[*context.CancelCauseFunc]struct{}
}

// bind returns a context that ends with rpctypes.ErrGRPCNoLeader as its cause when the leader is lost. release must be called.
func (l *ledStreams) bind(ctx context.Context) (bound context.Context, release func()) {
	bound, end := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[&end] = struct{}{}
	return bound, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, &end)
		end(nil)
	}
}

func (l *ledStreams) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.ends {
		(*end)(rpctypes.ErrGRPCNoLeader)
	}
}

// followLeader ends the streams that demand a leader whenever there has been none for the leader timeout, until the server stops.
func (s *Server) followLeader() {
	tick := time.NewTicker(s.leaderTimeout / leaderChecks)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-tick.C:
		case <-s.stopped.Done():
			return
		}
		if missed++; s.led() {
			missed = 0
		}
		if missed >= leaderChecks {
			s.ledStreams.lost()
		}
	}
}

// demandsLeader reports whether a request says that it wants a leader, as the Go client's WithRequireLeader does.
func demandsLeader(ctx context.Context) bool {
	wants := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	return len(wants) > 0 && wants[0] == rpctypes.MetadataHasLeader
}
