package kv

import (
	"context"
	"sync"
	"sync/atomic"
)

// watchLimits bound what watches keep in memory.
type watchLimits struct {
	watcherBytes     int // queued for one watcher
	watcherRevisions int // likewise
	streamBytes      int // queued for one stream, each watcher's share counted
	heldBytes        int // queued for all streams, what they share counted once
	inboxBytes       int // on the way from the writer to the hub
	recentBytes      int // kept for those who are a little behind
	recentRevisions  int
	chunkBytes       int // read from history at a time
	chunkRevisions   int
	chunkChanges     int // looked at in one reading of history, wanted or not
	controls         int // answers to requests of a stream's client, queued
}

var defaultWatchLimits = watchLimits{
	watcherBytes: 1 << 20, watcherRevisions: 1000,
	streamBytes: 64 << 20, heldBytes: 256 << 20,
	inboxBytes:  32 << 20,
	recentBytes: 16 << 20, recentRevisions: 16 << 10,
	chunkBytes: 1 << 20, chunkRevisions: 1000, chunkChanges: 100_000,
	controls: 256,
}

// hub tells watchers what has changed. It follows the store from revision to revision; who has been given everything up to the hub's is
// synced, who has not is behind, and fed from history.
//
// Locks are taken in the order mu, WatchStream.mu, and the innermost: inbox.mu, turns.mu.
type hub struct {
	store    *Store
	limits   watchLimits
	inbox    inbox
	turns    turns
	watchers atomic.Int64 // synced and behind
	behind   atomic.Int64
	streams  atomic.Int64
	events   atomic.Int64 // given to watchers so far
	held     atomic.Int64 // bytes of runs in queues

	mu       sync.Mutex // taken with enter
	revision int64
	recent   recent
	index    index

	ctx     context.Context // until there will be no more events
	end     context.CancelFunc
	running sync.WaitGroup
}

func newHub(s *Store, limits watchLimits) *hub {
	h := &hub{store: s, limits: limits, index: newIndex()}
	h.ctx, h.end = context.WithCancel(context.Background())
	h.inbox.wake, h.turns.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return h
}

// begin follows the store from its current revision on.
func (h *hub) begin() {
	h.revision = h.store.state.revision
	h.inbox.revision = h.revision
	h.running.Go(h.run)
	h.running.Go(h.feed)
}

// put leaves in the inbox what a batch that has been published has changed, up to a revision. It never waits for a watcher.
func (h *hub) put(revision int64, r *notes) { h.inbox.put(revision, r, h.limits.inboxBytes) }

// notes returns where to note what a batch changes. What it says of whether anybody watches need not stay true: a revision that was
// not recorded is read from history by those who began to watch meanwhile.
func (h *hub) notes() notes {
	return notes{on: h.watchers.Load() > 0, limit: h.limits.inboxBytes}
}

// inbox is the way from the writer to the hub. The writer never waits for anything there.
type inbox struct {
	mu       sync.Mutex
	groups   []*group // up to revision, without a gap; none if the last revisions were not recorded
	bytes    int
	revision int64
	wake     chan struct{} // one token: there is something
}

func (b *inbox) put(revision int64, r *notes, limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if revision == b.revision {
		return
	}
	if whole := int64(len(r.groups)) == revision-b.revision; !whole || b.bytes+r.bytes > limit {
		b.groups, b.bytes = nil, 0
		if !whole {
			r = &notes{}
		}
	}
	b.groups = append(b.groups, r.groups...)
	b.bytes += r.bytes
	b.revision = revision
	signal(b.wake)
}

// take empties the inbox.
func (b *inbox) take() (groups []*group, revision int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	groups, b.groups, b.bytes = b.groups, nil, 0
	return groups, b.revision
}

// signal leaves a token in a channel of one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *hub) run() {
	for {
		select {
		case <-h.inbox.wake:
			h.enter()
			h.mu.Unlock()
		case <-h.ctx.Done():
			return
		}
	}
}

// enter takes the hub's lock and brings the hub up to the store: what is decided now comes after every write that was
// acknowledged before.
func (h *hub) enter() {
	h.mu.Lock()
	groups, revision := h.inbox.take()
	first := revision + 1
	if len(groups) > 0 {
		first = groups[0].revision
	}
	if first > h.revision+1 {
		h.skip(first - 1)
	}
	for _, g := range groups {
		h.distribute(g)
	}
}

// skip passes over revisions that were not recorded. Who should have heard of them falls behind.
func (h *hub) skip(to int64) {
	missed := h.revision + 1
	h.revision = to
	h.recent.clear()
	for _, a := range h.index.audiences {
		for i := len(a.synced) - 1; i >= 0; i-- { // from the end, as those who fall behind leave
			if w := a.synced[i]; w.first <= to {
				h.fallBehind(w, max(missed, w.first), false)
			}
		}
	}
}

// distribute gives a revision to every synced watcher that it concerns.
func (h *hub) distribute(g *group) {
	h.revision = g.revision
	h.recent.add(g, &h.limits)
	for _, s := range h.index.selectFrom(g) {
		if len(s.synced) == 0 {
			continue // nor may the run grow that those who are behind still hold
		}
		var p payload
		s.told, p = s.told.take(g.revision, s, &h.held)
		for i := len(s.synced) - 1; i >= 0; i-- {
			w := s.synced[i]
			if g.revision >= w.first && !w.stream.offer(w, &p) {
				h.fallBehind(w, g.revision, true)
			}
		}
		p.run.release(&h.held)
	}
}

// fallBehind notes the first revision that a synced watcher lacks, refused if its queue did not take it.
func (h *hub) fallBehind(w *watcher, next int64, refused bool) {
	w.audience.removeSynced(w)
	w.state, w.next = behind, next
	h.behind.Add(1)
	w.stream.await(w, refused)
}

// catchUp makes a watcher that lacks nothing any more synced.
func (h *hub) catchUp(w *watcher) {
	h.behind.Add(-1)
	w.state = synced
	w.audience.addSynced(w)
}

// join enters a new watcher, which takes everything from w.first on.
func (h *hub) join(w *watcher, i interest) {
	a := h.index.audiences[i]
	if a == nil {
		a = &audience{interest: i}
		h.index.add(a)
	}
	a.members++
	w.audience = a
	h.watchers.Add(1)
	if w.first > h.revision {
		w.state = synced
		a.addSynced(w)
		return
	}
	w.state, w.next = behind, w.first
	h.behind.Add(1)
	h.turns.add(w)
}

// leave takes a watcher out. What is queued for it stays.
func (h *hub) leave(w *watcher) {
	switch w.state {
	case gone:
		return
	case synced:
		w.audience.removeSynced(w)
	case behind:
		h.behind.Add(-1)
	}
	w.state = gone
	h.watchers.Add(-1)
	if w.audience.members--; w.audience.members == 0 {
		h.index.remove(w.audience)
	}
}

// now returns the revision that a client may have seen here. The store may be ahead of the hub by what is on its way into the inbox.
func (h *hub) now() int64 { return max(h.revision, h.store.Revision()) }

// WatchStats says how many watches there are, and how they are doing.
type WatchStats struct {
	Streams, Watchers, Behind int64
	Events                    int64 // given to watchers since the store was opened
	HeldBytes                 int64 // of events queued for watchers
}

// WatchStats returns the current figures. Any goroutine may call it.
func (s *Store) WatchStats() WatchStats {
	h := s.hub
	return WatchStats{
		Streams: h.streams.Load(), Watchers: h.watchers.Load(), Behind: h.behind.Load(),
		Events: h.events.Load(), HeldBytes: h.held.Load(),
	}
}
