package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Audience is how watchers watch.
type Audience int

const (
	OneKey   Audience = iota // all watch the first of the keys
	EveryKey                 // all watch all keys, as a prefix
	OwnKey                   // each watches one that nobody writes
)

// Watchers are watchers that count what they are told, and decode nothing else, to be cheaper than the server.
type Watchers struct {
	events atomic.Int64
	failed atomic.Pointer[error]
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// Watch returns once all watchers are there, spread evenly over the streams, and those over the connections.
func (t *Target) Watch(ctx context.Context, keys Keys, audience Audience, watchers, streams int) (*Watchers, error) {
	ctx, cancel := context.WithCancel(t.as(ctx))
	w := &Watchers{cancel: cancel}
	var creating sync.WaitGroup
	failed := make(chan error, streams)
	for i := range streams {
		first, last := watchers*i/streams, watchers*(i+1)/streams
		creating.Go(func() {
			if err := w.watchSome(ctx, t.conns[i%len(t.conns)], keys, audience, first, last); err != nil {
				failed <- err
			}
		})
	}
	creating.Wait()
	close(failed)
	if err := <-failed; err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Events is how many events have been received, by all watchers together.
func (w *Watchers) Events() int64 { return w.events.Load() }

// Err is why one of the watchers hears nothing any more, nil if all do.
func (w *Watchers) Err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Close ends all watchers.
func (w *Watchers) Close() {
	w.cancel()
	w.ended.Wait()
}

// watchSome returns once the watchers first to last-1 are created, on one stream.
func (w *Watchers) watchSome(ctx context.Context, conn *grpc.ClientConn, keys Keys, audience Audience, first, last int) error {
	stream, err := pb.NewWatchClient(conn).Watch(ctx, tallied(events))
	if err != nil {
		return err
	}
	for i := first; i < last; i++ {
		request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: creation(keys, audience, i)}}
		if err := stream.Send(request); err != nil {
			return err
		}
		var n int64
		if err := stream.RecvMsg(&n); err != nil {
			return err
		}
		w.events.Add(n)
	}
	w.ended.Go(func() {
		for {
			var n int64
			if err := stream.RecvMsg(&n); err != nil {
				if ctx.Err() == nil {
					w.failed.Store(&err)
				}
				return
			}
			w.events.Add(n)
		}
	})
	return nil
}

func creation(keys Keys, audience Audience, watcher int) *pb.WatchCreateRequest {
	switch audience {
	case EveryKey:
		return &pb.WatchCreateRequest{Key: []byte(keys.Prefix), RangeEnd: prefixEnd(keys.Prefix)}
	case OwnKey:
		return &pb.WatchCreateRequest{Key: fmt.Appendf(nil, "%swatcher%d", keys.Prefix, watcher)}
	}
	return &pb.WatchCreateRequest{Key: keys.Key(0)}
}

// prefixEnd is the first key behind all that begin with prefix, which ends in a byte below 0xff.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}
