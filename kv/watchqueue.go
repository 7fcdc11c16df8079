package kv

import "context"

// queued is one response in a stream's queue. Events for its watcher are added to it until it is taken, or sealed.
type queued struct {
	response  WatchResponse
	watcher   *watcher // nil in an answer to a request
	run       *run     // which the events are a stretch of; nil without events
	to        int      // where they end in it
	revisions int
	bytes     int
	next      *queued
}

// queue is what is to be said, in order. The zero value is empty.
type queue struct{ head, tail *queued }

func (q *queue) put(e *queued) {
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.next = e
	}
	q.tail = e
}

func (q *queue) take() *queued {
	e := q.head
	if e == nil {
		return nil
	}
	if q.head = e.next; q.head == nil {
		q.tail = nil
	}
	e.next = nil
	return e
}

const (
	// gatherBytes is how large a response gets by gathering revisions: beyond it nothing is saved.
	gatherBytes = 64 << 10
	// gatherRevisions is etcd's bound of the revisions in one response.
	gatherRevisions = 1000
	// shareOverhead is what is counted for a place in a queue beside the events, in bytes.
	shareOverhead = 64
)

// offer queues a payload for a watcher. It refuses if there is no room. The caller holds hub.mu.
func (ws *WatchStream) offer(w *watcher, p *payload) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	size := p.size() + shareOverhead
	if !ws.hasRoom(w, size) {
		return false
	}
	e := w.open
	if e == nil || e.run != p.run || e.to != p.from {
		e = &queued{watcher: w, run: p.run, response: WatchResponse{ID: w.id, Fragment: w.fragment}}
		p.run.retain()
		w.open = e
		ws.queue.put(e)
	}
	e.extend(p)
	e.bytes += size
	w.bytes += size
	w.revisions++
	w.quiet = false
	ws.bytes += size
	ws.hub.events.Add(int64(p.events))
	signal(ws.ready)
	return true
}

// extend adds the payload that follows in the run; the first if there is none yet.
func (e *queued) extend(p *payload) {
	e.response.Events = p.data[p.from-len(e.response.Events):]
	e.response.Revision = p.revision
	e.to = len(p.data)
	e.revisions++
}

// hasRoom applies the limits. Where nothing is queued there is room for one payload, however large.
func (ws *WatchStream) hasRoom(w *watcher, size int) bool {
	l := &ws.hub.limits
	if w.revisions > 0 && (w.revisions >= l.watcherRevisions || w.bytes+size > l.watcherBytes) {
		return false
	}
	full := ws.bytes+size > l.streamBytes || ws.hub.held.Load() > int64(l.heldBytes)
	return ws.bytes == 0 || !full
}

// await puts a watcher that is behind in line as soon as there is room for what it lacks. The caller holds hub.mu.
func (ws *WatchStream) await(w *watcher, refused bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case w.revisions > 0:
		w.hungry = true
	case refused && ws.bytes > 0:
		ws.starved = append(ws.starved, w)
	default:
		ws.hub.turns.add(w)
	}
}

// say queues a response that has no events.
func (ws *WatchStream) say(e *queued) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.sayLocked(e)
}

func (ws *WatchStream) sayLocked(e *queued) {
	ws.controls++
	ws.queue.put(e)
	signal(ws.ready)
}

// notify queues a progress for one watcher, if it holds and the watcher has been quiet.
func (ws *WatchStream) notify(w *watcher, revision int64, holds bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.quiet && holds && !w.told {
		w.open, w.told = nil, true
		ws.sayLocked(&queued{response: WatchResponse{ID: w.id, Revision: revision}, watcher: w})
	}
	w.quiet = true
}

// seal keeps later events from being added to responses that are queued. The caller holds hub.mu.
func (ws *WatchStream) seal() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.watchers {
		w.open = nil
	}
}

// AwaitRoom returns once there is room for the answer to a further request. Its error is that of ctx.
func (ws *WatchStream) AwaitRoom(ctx context.Context) error {
	for {
		ws.mu.Lock()
		ok := ws.controls < ws.hub.limits.controls
		ws.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ws.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ready holds a token when there may be a response.
func (ws *WatchStream) Ready() <-chan struct{} { return ws.ready }

// Next takes the next response. If there is none it returns false, and Ready tells when there may be one.
func (ws *WatchStream) Next() (WatchResponse, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	e := ws.queue.take()
	if e == nil {
		return WatchResponse{}, false
	}
	ws.settle(e)
	return e.response, true
}

// settle takes a response that has left the queue off the accounts, and lets those get in line who have waited for the room.
func (ws *WatchStream) settle(e *queued) {
	w := e.watcher
	if e.run == nil {
		ws.controls--
		signal(ws.room)
		if w != nil {
			w.told = false
		}
		return
	}
	if w.open == e {
		w.open = nil
	}
	e.run.release(&ws.hub.held)
	w.revisions -= e.revisions
	w.bytes -= e.bytes
	ws.bytes -= e.bytes
	if w.hungry && w.revisions == 0 {
		w.hungry = false
		ws.hub.turns.add(w)
	}
	l := &ws.hub.limits
	if ws.bytes == 0 || ws.bytes <= l.streamBytes/2 && ws.hub.held.Load() <= int64(l.heldBytes)/2 {
		ws.hub.turns.add(ws.starved...)
		ws.starved = nil
	}
}

// drop empties the queue of a stream whose watchers have gone.
func (ws *WatchStream) drop() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for e := ws.queue.take(); e != nil; e = ws.queue.take() {
		ws.settle(e)
	}
}
