package etcdapi

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/kv"
)

// watchService serves etcdserverpb.Watch from this member's store. What is said, and in which order, is the store's; here it gets
// headers and goes out.
type watchService struct {
	pb.UnsafeWatchServer // a method that is missing does not compile
	*Server
}

// Watch serves one stream. One goroutine takes requests to the store, this one sends what the store has to say.
func (s *watchService) Watch(stream pb.Watch_WatchServer) error {
	watches := s.store.NewWatchStream()
	defer watches.Close()
	received := make(chan error, 1)
	go func() { received <- s.receive(stream, watches) }()
	progress := time.NewTicker(s.progressInterval + rand.N(s.progressInterval/10+1)) // not all streams at the same time
	defer progress.Stop()

	ctx := stream.Context()
	sender := watchSender{server: s.Server, stream: stream, head: pb.WatchResponse{Header: &pb.ResponseHeader{}}}
	for {
		for r, ok := watches.Next(); ok; r, ok = watches.Next() {
			if err := sender.send(r); err != nil {
				return watchError(ctx, err)
			}
		}
		select {
		case <-watches.Ready():
		case <-progress.C:
			watches.NotifyProgress()
		case err := <-received:
			return watchError(ctx, err)
		case <-ctx.Done():
			return watchError(ctx, ctx.Err())
		case <-s.stopped.Done():
			return rpctypes.ErrGRPCStopped
		case <-watches.Done():
			return rpctypes.ErrGRPCStopped
		}
	}
}

// watchError says why a stream has ended.
func watchError(ctx context.Context, err error) error {
	switch {
	case context.Cause(ctx) == rpctypes.ErrGRPCNoLeader:
		return rpctypes.ErrGRPCNoLeader
	case errors.Is(ctx.Err(), context.Canceled):
		return rpctypes.ErrGRPCWatchCanceled
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return answerTo(err)
}

// receive passes requests on until the client is gone. That it has nothing more to ask does not end the stream. It takes no
// more requests than it can answer.
func (s *watchService) receive(stream pb.Watch_WatchServer, watches *kv.WatchStream) error {
	ctx := stream.Context()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			<-ctx.Done()
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := watches.AwaitRoom(ctx); err != nil {
			return err
		}
		switch r := r.RequestUnion.(type) {
		case *pb.WatchRequest_CreateRequest:
			s.create(ctx, watches, r.CreateRequest)
		case *pb.WatchRequest_CancelRequest:
			watches.Cancel(r.CancelRequest.GetWatchId())
		case *pb.WatchRequest_ProgressRequest:
			watches.RequestProgress()
		}
	}
}

// create enters a watcher if its client may read what it asks for. That is asked here and never again, as in etcd.
func (s *watchService) create(ctx context.Context, watches *kv.WatchStream, r *pb.WatchCreateRequest) {
	if r == nil {
		return
	}
	if len(r.Key) == 0 {
		r.Key = []byte{0} // the least of keys
	}
	if r.StartRevision >= 0 {
		if err := s.permitWatch(ctx, r); err != nil {
			watches.Refuse(err.Error()) // code and all: clients compare it to know whether to log in again
			return
		}
	}
	watches.Create(r)
}

func (s *watchService) permitWatch(ctx context.Context, r *pb.WatchCreateRequest) error {
	ctx, err := s.admit(ctx, pb.Watch_Watch_FullMethodName, nil)
	if err != nil {
		return err
	}
	_, err = s.permit(ctx, &pb.RangeRequest{Key: r.Key, RangeEnd: r.RangeEnd})
	return err
}
