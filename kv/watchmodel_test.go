package kv

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
)

// watchBound is how long what happens at once may take on a busy machine.
const watchBound = 20 * time.Second

// tinyWatchLimits let watchers fall behind all the time, for every reason.
var tinyWatchLimits = watchLimits{
	watcherBytes: 300, watcherRevisions: 3, streamBytes: 900, heldBytes: 2000, inboxBytes: 1500,
	recentBytes: 3000, recentRevisions: 4, chunkBytes: 1000, chunkRevisions: 3, chunkChanges: 5, controls: 1 << 20,
}

// limitWatches changes the limits while nothing looks at them.
func (f *fixture) limitWatches(change func(*watchLimits)) {
	f.Store.mu.Lock()
	defer f.Store.mu.Unlock()
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	change(&f.hub.limits)
}

// watchLog is all events that there have ever been, read from the store before a compaction could take them.
type watchLog struct{ events []*mvccpb.Event }

func (l *watchLog) last() int64 {
	if len(l.events) == 0 {
		return 1
	}
	return l.events[len(l.events)-1].Kv.ModRevision
}

func (l *watchLog) read(f *fixture) {
	err := f.Events(context.Background(), l.last()+1, f.Revision(), func(_ int64, events []*mvccpb.Event) error {
		l.events = append(l.events, events...)
		return nil
	})
	if err != nil {
		f.t.Fatalf("events from %d: %v", l.last()+1, err)
	}
}

// naiveWatcher is what a client knows of a watcher: what it asked for, and what came.
type naiveWatcher struct {
	*pb.WatchCreateRequest
	id, first int64
	next      int // in the log
	progress  int64
	canceled  bool
}

func (n *naiveWatcher) wants(e *mvccpb.Event) bool {
	put := e.Type == mvccpb.Event_PUT
	if e.Kv.ModRevision < n.first || put && slices.Contains(n.Filters, pb.WatchCreateRequest_NOPUT) || !put && slices.Contains(n.Filters, pb.WatchCreateRequest_NODELETE) {
		return false
	}
	key := string(n.Key)
	if key == "" {
		key = "\x00"
	}
	end := string(n.RangeEnd)
	at := string(e.Kv.Key)
	return end == "" && at == key || end != "" && at >= key && (end == "\x00" || at < end)
}

// upTo returns what the watcher is still to be told, up to a revision.
func (n *naiveWatcher) upTo(l *watchLog, revision int64) (events []*mvccpb.Event) {
	for ; n.next < len(l.events) && l.events[n.next].Kv.ModRevision <= revision; n.next++ {
		if n.wants(l.events[n.next]) {
			events = append(events, l.events[n.next])
		}
	}
	return events
}

// naiveStream is the client's side of a stream.
type naiveStream struct {
	*WatchStream
	f        *fixture
	log      *watchLog
	asked    []*pb.WatchCreateRequest // creates that are not answered yet
	watchers map[int64]*naiveWatcher
}

func (f *fixture) watch(log *watchLog) *naiveStream {
	return &naiveStream{WatchStream: f.NewWatchStream(), f: f, log: log, watchers: map[int64]*naiveWatcher{}}
}

func (s *naiveStream) create(r *pb.WatchCreateRequest) {
	s.asked = append(s.asked, r)
	s.Create(proto.Clone(r).(*pb.WatchCreateRequest))
}

// take checks the next response, if there is one.
func (s *naiveStream) take() bool {
	s.f.t.Helper()
	r, ok := s.Next()
	if ok {
		s.check(r)
	}
	return ok
}

func (s *naiveStream) check(r WatchResponse) {
	t := s.f.t
	t.Helper()
	if r.Created {
		s.checkCreated(r)
		return
	}
	w := s.watchers[r.ID]
	switch {
	case r.ID == NoWatch:
		for _, w := range s.watchers {
			s.checkProgress(w, r.Revision)
		}
	case w == nil || w.canceled && !r.Canceled:
		t.Fatalf("a response for watcher %d, which there is not: %+v", r.ID, r)
	case r.CompactRevision != 0:
		s.checkCompacted(w, r)
	case r.Canceled:
		delete(s.watchers, r.ID)
	case len(r.Events) == 0:
		s.checkProgress(w, r.Revision)
	default:
		s.checkEvents(w, r)
	}
}

func (s *naiveStream) checkCreated(r WatchResponse) {
	asked := s.asked[0]
	s.asked = s.asked[1:]
	if r.Canceled {
		if _, taken := s.watchers[asked.WatchId]; asked.StartRevision >= 0 && !taken && (len(asked.RangeEnd) == 0 || string(asked.RangeEnd) > string(asked.Key)) {
			s.f.t.Fatalf("refused %v: %+v", asked, r)
		}
		return
	}
	w := &naiveWatcher{WatchCreateRequest: asked, id: r.ID, first: asked.StartRevision}
	if w.first == 0 {
		w.first = r.Revision + 1
	}
	if s.watchers[r.ID] != nil || asked.WatchId != 0 && asked.WatchId != r.ID {
		s.f.t.Fatalf("asked for watcher %d, got %d; there are %v", asked.WatchId, r.ID, s.watchers)
	}
	s.watchers[r.ID] = w
}

// checkProgress demands that a watcher has been told of everything up to a revision, and of nothing above it.
func (s *naiveStream) checkProgress(w *naiveWatcher, revision int64) {
	t := s.f.t
	if w.canceled {
		return
	}
	if revision < w.StartRevision || revision < w.first-1 || revision < w.progress {
		t.Fatalf("progress at %d of a watcher from %d that has seen %d", revision, w.first, w.progress)
	}
	w.progress = revision
	if missing := w.upTo(s.log, revision); len(missing) > 0 {
		t.Fatalf("progress at %d ahead of %v", revision, missing[0])
	}
}

// checkEvents demands the very next events of the log, whole revisions of them.
func (s *naiveStream) checkEvents(w *naiveWatcher, r WatchResponse) {
	t := s.f.t
	got := decodeEvents(t, r)
	last := got[len(got)-1].Kv.ModRevision
	want := w.upTo(s.log, last)
	if last <= w.progress || r.Revision != last || len(got) != len(want) {
		t.Fatalf("watcher %d at %d: %d events up to %d, header %d; should be %d\ngot  %v\nwant %v", w.id, w.progress, len(got), last, r.Revision, len(want), got, want)
	}
	w.progress = last
	for i, e := range want {
		e = proto.Clone(e).(*mvccpb.Event)
		if !w.PrevKv || got[i].PrevKv == nil && e.Kv.ModRevision <= s.f.CompactRevision() {
			e.PrevKv = nil
		}
		if !proto.Equal(e, got[i]) {
			t.Fatalf("watcher %d (%v): got %v, not %v", w.id, w.WatchCreateRequest, got[i], e)
		}
	}
}

// checkCompacted demands that a canceled watcher does lack what is compacted.
func (s *naiveStream) checkCompacted(w *naiveWatcher, r WatchResponse) {
	t := s.f.t
	if !r.Canceled || r.Revision != 0 || r.CompactRevision > s.f.CompactRevision() || w.progress >= r.CompactRevision || w.first >= r.CompactRevision {
		t.Fatalf("watcher from %d, at %d, canceled by %+v", w.first, w.progress, r)
	}
	w.canceled = true
}

func decodeEvents(t fataler, r WatchResponse) []*mvccpb.Event {
	t.Helper()
	m := &pb.WatchResponse{}
	if err := proto.Unmarshal(r.Events, m); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return m.Events
}

// settle takes all there is until every watcher has been told of everything.
func (s *naiveStream) settle() {
	t := s.f.t
	t.Helper()
	deadline := time.After(watchBound)
	for {
		for s.take() {
		}
		if s.done() && !s.take() {
			return
		}
		select {
		case <-s.Ready():
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("watchers wait for ever: %+v", s.f.WatchStats())
		}
	}
}

// done reports whether the naive log has nothing more for any watcher that is left.
func (s *naiveStream) done() bool {
	for _, w := range s.watchers {
		probe := *w
		if !w.canceled && len(probe.upTo(s.log, s.log.last())) > 0 {
			return false
		}
	}
	return len(s.asked) == 0
}

// TestWatchersAreToldWhatTheLogHolds applies random commands and compactions while watchers of every kind come, go, are slow and ask for
// progress. Each must get exactly the log's events for it, whole revisions in order, and every progress must be true.
func TestWatchersAreToldWhatTheLogHolds(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits watchLimits
	}{{"with room for little", tinyWatchLimits}, {"with room for all", defaultWatchLimits}} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { watchAtRandom(t, c.limits) })
		})
	}
}

func watchAtRandom(t *rapid.T, limits watchLimits) {
	f := open(t, vfs.NewMem())
	defer f.close()
	f.limitWatches(func(l *watchLimits) { *l = limits })
	log := &watchLog{}
	var streams []*naiveStream
	for range 3 {
		s := f.watch(log)
		defer s.Close()
		streams = append(streams, s)
	}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		g := requests{t, f.Revision()}
		s := streams[g.n(len(streams), "stream")]
		switch g.n(10, "step") {
		case 0, 1, 2:
			f.applyAtRandom(g)
			log.read(f)
		case 3:
			f.do(&pb.CompactionRequest{Revision: rapid.Int64Range(max(f.Revision()-8, 0), f.Revision()).Draw(t, "compact")})
		case 4, 5:
			s.create(g.watch())
		case 6:
			s.Cancel(int64(g.n(4, "cancel")))
		case 7:
			s.RequestProgress()
		case 8:
			s.NotifyProgress()
		case 9:
			for range g.n(5, "takes") {
				s.take()
			}
		}
	}
	for _, s := range streams {
		s.settle()
		s.Close()
	}
	if stats := f.WatchStats(); stats.Watchers != 0 || stats.Behind != 0 || stats.Streams != 0 || stats.HeldBytes != 0 || len(f.hub.index.audiences) != 0 || f.hub.index.ranges != nil || len(f.hub.index.points) != 0 {
		t.Fatalf("left over: %+v, %d audiences", stats, len(f.hub.index.audiences))
	}
}

// applyAtRandom executes some commands, none of them a compaction, in one call.
func (f *fixture) applyAtRandom(g requests) {
	var commands []synod.Command
	for range 1 + g.n(8, "commands") {
		req := g.command()
		if _, is := req.(*pb.CompactionRequest); is {
			req = g.put()
		}
		f.slot++
		commands = append(commands, synod.Command{Slot: f.slot, Data: encode(f.t, req)})
	}
	f.Apply(commands)
}

func (g requests) watch() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.coin("prev"), ProgressNotify: g.coin("notify"), Fragment: g.coin("fragment")}
	if g.n(8, "least") == 0 {
		r.Key = nil
	}
	if g.coin("past") {
		r.StartRevision = rapid.Int64Range(max(g.rev-15, -1), g.rev+3).Draw(g.t, "start")
	}
	for _, filter := range []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE} {
		if g.n(6, "filter") == 0 {
			r.Filters = append(r.Filters, filter)
		}
	}
	if g.n(5, "id") == 0 {
		r.WatchId = int64(g.n(6, "watch id"))
	}
	return r
}

func (n *naiveWatcher) String() string { return fmt.Sprintf("%d: %v", n.id, n.WatchCreateRequest) }
