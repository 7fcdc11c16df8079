package kv

import (
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// NoWatch is the ID in a response that is of no watcher, or of all of a stream.
const NoWatch = -1

// WatchResponse is etcd's, but for the header, of which it has the revision, and with the events encoded.
type WatchResponse struct {
	ID              int64
	Revision        int64 // of the last event; or the store's; 0 if canceled because of a compaction
	Created         bool
	Canceled        bool
	CancelReason    string
	CompactRevision int64
	// Events are fields of a WatchResponse in a row, one for each event, tag and length included. They are shared and must not be changed.
	Events []byte
	// Fragment says that the client takes the events in several responses if they are many.
	Fragment bool
}

// WatchStream is some watchers with one queue for all that is to be said to them. The methods for requests are called by one goroutine
// and those for responses by one, which may be another.
type WatchStream struct {
	hub   *hub
	ready chan struct{} // one token: there is a response
	room  chan struct{} // one token: an answer has been taken

	// Guarded by hub.mu.
	watchers map[int64]*watcher // also those that a compaction has canceled, until the client cancels them
	nextID   int64
	closed   bool

	mu       sync.Mutex
	queue    queue
	bytes    int        // of events in it, for each watcher
	controls int        // responses in it without events
	starved  []*watcher // behind, refused although they have nothing queued: for want of room in the stream, or altogether
}

type watchState byte

const (
	synced watchState = iota
	behind
	gone
)

type watcher struct {
	id       int64
	stream   *WatchStream
	audience *audience
	start    int64 // as the client has it: 0 for now
	first    int64 // it takes nothing below this revision
	progress bool  // it wants to hear of progress now and then
	fragment bool

	// Guarded by hub.mu.
	state watchState
	next  int64 // while behind: the first revision that it lacks
	place int   // while synced: among those of its audience

	// Guarded by stream.mu.
	open      *queued // in the queue; takes further events
	bytes     int     // of events in the queue
	revisions int     // likewise
	hungry    bool    // behind; gets in line once it has nothing queued
	quiet     bool    // no events since it was last looked at for progress
	told      bool    // progress is in the queue
}

// NewWatchStream returns a stream without watchers. It must be closed.
func (s *Store) NewWatchStream() *WatchStream {
	s.hub.streams.Add(1)
	return &WatchStream{
		hub: s.hub, ready: make(chan struct{}, 1), room: make(chan struct{}, 1), watchers: map[int64]*watcher{},
	}
}

// Done is closed when the store stops: the stream will have no more events.
func (ws *WatchStream) Done() <-chan struct{} { return ws.hub.ctx.Done() }

// Close cancels all watchers and drops what is queued.
func (ws *WatchStream) Close() {
	ws.hub.enter()
	if !ws.closed {
		ws.closed = true
		ws.hub.streams.Add(-1)
	}
	for id, w := range ws.watchers {
		ws.hub.leave(w)
		delete(ws.watchers, id)
	}
	ws.hub.mu.Unlock()
	ws.drop()
}

var (
	errEmptyRange  = errors.New("mvcc: watcher range is empty")
	errDuplicateID = errors.New("mvcc: duplicate watch ID provided on the WatchStream")
)

// Create enters a watcher, or refuses it; the client is told which. r is not kept.
func (ws *WatchStream) Create(r *pb.WatchCreateRequest) {
	h := ws.hub
	h.enter()
	defer h.mu.Unlock()
	if ws.closed {
		return
	}
	w := &watcher{stream: ws, start: r.StartRevision, progress: r.ProgressNotify, fragment: r.Fragment, quiet: true}
	i, err := interestOf(r)
	if err == nil {
		w.id, err = ws.idFor(r.WatchId)
	}
	if err != nil {
		ws.refuse(err.Error())
		return
	}
	if w.first = w.start; w.start == 0 {
		w.first = h.now() + 1
	}
	ws.watchers[w.id] = w
	ws.say(&queued{response: WatchResponse{ID: w.id, Revision: h.now(), Created: true}})
	h.join(w, i)
}

// Refuse answers a request for a watcher that is not to be.
func (ws *WatchStream) Refuse(reason string) {
	ws.hub.enter()
	defer ws.hub.mu.Unlock()
	if !ws.closed {
		ws.refuse(reason)
	}
}

func (ws *WatchStream) refuse(reason string) {
	ws.say(&queued{response: WatchResponse{ID: NoWatch, Revision: ws.hub.now(), Created: true, Canceled: true, CancelReason: reason}})
}

// interestOf reads what a request asks for, or says why etcd would not have it.
func interestOf(r *pb.WatchCreateRequest) (interest, error) {
	i := interest{key: string(r.Key), end: string(r.RangeEnd), prior: r.PrevKv}
	if i.key == "" {
		i.key = "\x00" // the least of keys
	}
	for _, f := range r.Filters {
		i.noPut = i.noPut || f == pb.WatchCreateRequest_NOPUT
		i.noDelete = i.noDelete || f == pb.WatchCreateRequest_NODELETE
	}
	switch {
	case r.StartRevision < 0:
		return i, rpctypes.ErrCompacted
	case i.end != "" && i.end != openEnd && i.end <= i.key:
		return i, errEmptyRange
	}
	return i, nil
}

// idFor returns the ID for a new watcher: the one that was asked for, or the next that is free.
func (ws *WatchStream) idFor(wanted int64) (int64, error) {
	if wanted != 0 {
		if ws.watchers[wanted] != nil {
			return 0, errDuplicateID
		}
		return wanted, nil
	}
	for ws.watchers[ws.nextID] != nil {
		ws.nextID++
	}
	ws.nextID++
	return ws.nextID - 1, nil
}

// Cancel ends a watcher and tells the client so, after what is queued for it, unless there is none of that ID.
func (ws *WatchStream) Cancel(id int64) {
	h := ws.hub
	h.enter()
	defer h.mu.Unlock()
	w := ws.watchers[id]
	if w == nil {
		return
	}
	delete(ws.watchers, id)
	h.leave(w)
	ws.say(&queued{response: WatchResponse{ID: id, Revision: h.now(), Canceled: true}})
}

// RequestProgress tells the client how far all of the stream's watchers are, if all have heard of everything up to the same revision and none
// begins above it. Otherwise it says nothing, and the client has to ask again.
func (ws *WatchStream) RequestProgress() {
	h := ws.hub
	h.enter()
	defer h.mu.Unlock()
	watchers := 0
	for _, w := range ws.watchers {
		if w.state == gone {
			continue
		}
		if !h.reached(w) {
			return
		}
		watchers++
	}
	if watchers == 0 {
		return
	}
	ws.seal()
	ws.say(&queued{response: WatchResponse{ID: NoWatch, Revision: h.revision}})
}

// NotifyProgress tells those watchers that want it how far they are, if they have had no events since the last call.
func (ws *WatchStream) NotifyProgress() {
	h := ws.hub
	h.enter()
	defer h.mu.Unlock()
	for _, w := range ws.watchers {
		if w.progress && w.state != gone {
			ws.notify(w, h.revision, h.reached(w))
		}
	}
}

// reached reports whether a progress at the hub's revision holds for a watcher. The caller holds hub.mu.
func (h *hub) reached(w *watcher) bool {
	return w.state == synced && h.revision >= max(w.start, w.first-1)
}
