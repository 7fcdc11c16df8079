package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

const (
	watchStreams = 5 // how many streams of watches there may be at a time
	watchersMost = 8 // how many watches one stream may have
	// progressPause is how long a stream is given to answer before it is asked for its progress again.
	progressPause = 20 * time.Millisecond
)

// watches are the same watches on a real etcd and on Synod: some streams, with some watches each.
type watches struct {
	servers [2]server
	streams [watchStreams]*pairedStream

	events, compacted int // how many have been compared, and how many watches a compaction ended
}

// pairedStream is the same stream on both servers.
type pairedStream struct {
	sides  [2]*watchStream
	cancel context.CancelFunc
	live   map[int64]*pb.WatchCreateRequest // the watches, by ID
}

// difference says what the two servers have answered differently.
type difference struct{ etcd, synod any }

func (d *difference) Error() string { return fmt.Sprintf("\netcd:  %v\nsynod: %v", d.etcd, d.synod) }

// do makes a request for one of the streams; revision and compacted are the servers'. A stream is opened for its first request, as whoever makes that.
func (w *watches) do(ctx context.Context, r request, revision, compacted int64) (*pb.WatchResponse, error) {
	s := w.streams[r.slot]
	if s == nil {
		var err error
		if s, err = w.open(ctx, r.as); err != nil {
			return nil, err
		}
		w.streams[r.slot] = s
	}
	switch m := r.Message.(*pb.WatchRequest); {
	case m.GetCreateRequest() != nil:
		if len(s.live) == watchersMost {
			return nil, nil
		}
		return w.create(ctx, s, m, compacted)
	case m.GetCancelRequest() != nil:
		return w.cancelWatch(ctx, s, m, revision)
	case m.GetProgressRequest() != nil:
		return nil, w.compareStream(ctx, s, revision)
	}
	err := w.compareStream(ctx, s, revision)
	s.cancel()
	w.streams[r.slot] = nil
	return nil, err
}

func (w *watches) open(ctx context.Context, as *login) (*pairedStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &pairedStream{cancel: cancel, live: map[int64]*pb.WatchCreateRequest{}}
	for i, server := range w.servers {
		ctx := ctx
		if as != nil {
			ctx = showing(ctx, as.tokens[i])
		}
		stream, err := pb.NewWatchClient(server.conn).Watch(ctx)
		if err != nil {
			cancel()
			return nil, err
		}
		s.sides[i] = newWatchStream(stream, s.live)
	}
	return s, nil
}

// askProgress asks how far all watches of a stream are.
var askProgress = &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}

// create begins a watch, asks at once how far it is, when it may not be there yet, and waits for its end if it begins at what has been compacted. Such a watch is canceled by the client, too, as etcd's own client does: as long as
// it is not, etcd does not tell of any progress on the stream.
func (w *watches) create(ctx context.Context, s *pairedStream, m *pb.WatchRequest, compacted int64) (*pb.WatchResponse, error) {
	for _, m := range []*pb.WatchRequest{m, askProgress} {
		if err := s.send(m); err != nil {
			return nil, err
		}
	}
	created, err := s.exchange(ctx, nil, func(r *pb.WatchResponse) bool { return r.Created })
	if err != nil || created.Canceled {
		return created, err
	}
	r := m.GetCreateRequest()
	if r.StartRevision == 0 || r.StartRevision >= compacted {
		s.live[created.WatchId] = r
		return created, nil
	}
	canceled := func(r *pb.WatchResponse) bool { return r.Canceled }
	ended, err := s.exchange(ctx, nil, canceled)
	if err != nil {
		return nil, err
	}
	w.compacted++
	cancel := &pb.WatchCancelRequest{WatchId: created.WatchId}
	_, err = s.exchange(ctx, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: cancel}}, canceled)
	return ended, err
}

// cancelWatch cancels a watch, or one that is not there, which is not answered. Events that are under way when a watch is canceled come or not as it happens, so it is brought up to
// date first; if that is not to be had, nothing is done.
func (w *watches) cancelWatch(ctx context.Context, s *pairedStream, m *pb.WatchRequest, revision int64) (*pb.WatchResponse, error) {
	id := m.GetCancelRequest().WatchId
	r := s.live[id]
	switch {
	case r == nil:
		return nil, s.send(m)
	case r.StartRevision > revision:
	case s.awaitsFuture(revision):
		return nil, nil
	default:
		if err := w.compareStream(ctx, s, revision); err != nil {
			return nil, err
		}
	}
	delete(s.live, id)
	return s.exchange(ctx, m, func(r *pb.WatchResponse) bool { return r.Canceled })
}

// awaitsFuture reports whether a watch of the stream begins later. There is no progress on such a stream.
func (s *pairedStream) awaitsFuture(revision int64) bool {
	for _, r := range s.live {
		if r.StartRevision > revision {
			return true
		}
	}
	return false
}

func (w *watches) awaitFuture(revision int64) bool {
	return slices.ContainsFunc(w.streams[:], func(s *pairedStream) bool { return s != nil && s.awaitsFuture(revision) })
}

// compare brings all watches up to a revision, but those on streams with one that begins later, and compares what they were told.
func (w *watches) compare(ctx context.Context, revision int64) error {
	for _, s := range w.streams {
		if s == nil {
			continue
		}
		if err := w.compareStream(ctx, s, revision); err != nil {
			return err
		}
	}
	return nil
}

func (w *watches) compareStream(ctx context.Context, s *pairedStream, revision int64) error {
	if len(s.live) == 0 || s.awaitsFuture(revision) {
		return nil
	}
	errs := s.both(func(side *watchStream) error { return side.upTo(ctx, revision) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for id, r := range s.live {
		want, got := s.sides[0].told[id], s.sides[1].told[id]
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || !proto.Equal(want[i], got[i]) {
				return fmt.Errorf("watch %d, %v, at revision %d: event %d of %d and %d: %w", id, r, revision, i, len(want), len(got), &difference{tail(want, i), tail(got, i)})
			}
		}
		w.events += len(want)
	}
	for _, side := range s.sides {
		for id := range side.told {
			if s.live[id] == nil {
				return fmt.Errorf("events of watch %d, which there is not", id)
			}
		}
		clear(side.told)
	}
	return nil
}

func tail(events []*mvccpb.Event, i int) []*mvccpb.Event {
	return events[min(i, len(events)):min(i+3, len(events))]
}

// both does the same with both sides at the same time.
func (s *pairedStream) both(do func(*watchStream) error) (errs [2]error) {
	other := make(chan error, 1)
	go func() { other <- do(s.sides[0]) }()
	errs[1] = do(s.sides[1])
	errs[0] = <-other
	return errs
}

func (s *pairedStream) send(m *pb.WatchRequest) error {
	for _, side := range s.sides {
		if err := side.stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a request, unless it is nil, and returns the answer, which must be the same from both.
func (s *pairedStream) exchange(ctx context.Context, m *pb.WatchRequest, answers func(*pb.WatchResponse) bool) (*pb.WatchResponse, error) {
	if m != nil {
		if err := s.send(m); err != nil {
			return nil, err
		}
	}
	errs := s.both(func(side *watchStream) error { return side.receive(ctx, answers) })
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	want, got := s.sides[0].last, s.sides[1].last
	if !proto.Equal(want, got) {
		return nil, &difference{brief(want), brief(got)}
	}
	return want, nil
}

// watchStream is what one server says of some watches.
type watchStream struct {
	stream    pb.Watch_WatchClient
	responses chan *pb.WatchResponse
	err       error // why there are no more
	live      map[int64]*pb.WatchCreateRequest

	last *pb.WatchResponse         // that is no event
	told map[int64][]*mvccpb.Event // by watch, since they were compared

	revisions map[int64]int64 // of the last event of each watch, or progress since
	parts     map[int64]bool  // whether more of the last response to each watch is to come
}

func newWatchStream(stream pb.Watch_WatchClient, live map[int64]*pb.WatchCreateRequest) *watchStream {
	s := &watchStream{
		stream: stream, live: live, responses: make(chan *pb.WatchResponse), told: map[int64][]*mvccpb.Event{}, revisions: map[int64]int64{}, parts: map[int64]bool{},
	}
	go func() {
		defer close(s.responses)
		for {
			r, err := stream.Recv()
			if err != nil {
				s.err = err
				return
			}
			select {
			case s.responses <- r:
			case <-stream.Context().Done():
				s.err = stream.Context().Err()
				return
			}
		}
	}()
	return s
}

// upTo receives until the server tells that all watches have heard of a revision, for which it is asked again and again, as clients must.
func (s *watchStream) upTo(ctx context.Context, revision int64) error {
	ctx, stop := context.WithCancel(ctx)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for tick := time.NewTicker(progressPause); ; {
			if s.stream.Send(askProgress) != nil {
				return // receive says why
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		<-asked
	}()
	return s.receive(ctx, func(r *pb.WatchResponse) bool { return isProgress(r) && r.Header.Revision >= revision })
}

func isProgress(r *pb.WatchResponse) bool {
	return r.WatchId == -1 && !r.Created && !r.Canceled
}

// receive notes events until there is the response that is waited for. Older progress may come before it, and nothing else.
func (s *watchStream) receive(ctx context.Context, awaited func(*pb.WatchResponse) bool) error {
	patience := time.NewTimer(callBound)
	defer patience.Stop()
	for {
		select {
		case r, ok := <-s.responses:
			switch {
			case !ok:
				return s.err
			case r.Header.ClusterId == 0 || r.Header.MemberId == 0 || r.Header.RaftTerm == 0:
				return fmt.Errorf("a header without cluster, member or term: %v", r.Header)
			}
			r.Header.ClusterId, r.Header.MemberId, r.Header.RaftTerm = 0, 0, 0
			if err := s.note(r); err != nil {
				return err
			}
			switch {
			case len(r.Events) > 0:
			case awaited(r):
				if s.last = r; r.Created {
					delete(s.revisions, r.WatchId)
				}
				return nil
			case !isProgress(r):
				return fmt.Errorf("nobody has asked for %v", r)
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return fmt.Errorf("a watch says nothing: %w", context.DeadlineExceeded)
		}
	}
}

// note keeps events, of which those of one revision come in one response, or in parts of one. There must be no progress of a watch that is yet to begin, or before its events.
func (s *watchStream) note(r *pb.WatchResponse) error {
	id := r.WatchId
	if isProgress(r) {
		for id, w := range s.live {
			if w.StartRevision > r.Header.Revision {
				return fmt.Errorf("watch %d begins at revision %d, and has a progress at %d", id, w.StartRevision, r.Header.Revision)
			}
			s.revisions[id], s.parts[id] = max(s.revisions[id], r.Header.Revision), false
		}
	}
	if len(r.Events) == 0 {
		return nil
	}
	if first := r.Events[0].Kv.ModRevision; first < s.revisions[id] || first == s.revisions[id] && !s.parts[id] {
		return fmt.Errorf("watch %d: a response that begins with revision %d after one that ended with, or told of, %d", id, first, s.revisions[id])
	}
	s.revisions[id], s.parts[id] = r.Events[len(r.Events)-1].Kv.ModRevision, r.Fragment
	s.told[id] = append(s.told[id], r.Events...)
	return nil
}
