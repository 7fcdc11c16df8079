package kv

import (
	"sync"
	"sync/atomic"
)

// payload is what one revision has for one audience, encoded: a stretch of a run.
type payload struct {
	revision int64
	events   int
	run      *run
	from     int    // where it begins in data
	data     []byte // the run up to its end
}

func (p *payload) size() int { return len(p.data) - p.from }

// run is what an audience has been told lately, one payload behind the other, so that what gathers for a watcher lies in a row and costs nothing to gather. It is
// shared by the queues of all the audience's watchers and bounded by what goes into one response. It counts as held, and is kept, as long as it is in any queue.
type run struct {
	mu        sync.Mutex
	data      []byte // only ever appended to: who has a slice of it may read on without the lock
	revisions int
	refs      int
}

// take appends a payload, or begins another run with it if this one is nil or has no room. It returns the run that took it, with a
// reference that the caller has to release.
func (r *run) take(revision int64, s selection, held *atomic.Int64) (*run, payload) {
	if r == nil || !r.append(s.frames, held) {
		r = &run{}
		r.append(s.frames, held)
	}
	data := r.data // which nobody else appends to: the caller holds hub.mu
	return r, payload{revision: revision, events: s.events, run: r, from: len(data) - len(s.frames), data: data}
}

// append adds frames and a reference. The first are not copied: most are sent before there are others.
func (r *run) append(frames []byte, held *atomic.Int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refs == 0:
		r.data = frames[:len(frames):len(frames)]
	case len(r.data)+len(frames) > gatherBytes || r.revisions >= gatherRevisions:
		return false
	default:
		r.data = append(r.data, frames...)
	}
	r.revisions++
	r.refs++
	held.Add(int64(len(frames)))
	return true
}

func (r *run) retain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refs++
}

func (r *run) release(held *atomic.Int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refs--; r.refs == 0 {
		held.Add(-int64(len(r.data)))
		r.data, r.revisions = nil, 0
	}
}
