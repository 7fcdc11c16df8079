package kv

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// readersMax is how many watchers one reading of history serves at most, which bounds how long giving holds the hub's lock.
const readersMax = 1024

// turns is the line of watchers that are behind and have nothing queued.
type turns struct {
	mu   sync.Mutex
	line []*watcher
	wake chan struct{} // one token: there is somebody
}

func (t *turns) add(watchers ...*watcher) {
	if len(watchers) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = append(t.line, watchers...)
	signal(t.wake)
}

// take removes the first few, and with them those that have gone meanwhile. The caller holds hub.mu.
func (t *turns) take() (taken []*watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for ; n < len(t.line) && len(taken) < readersMax; n++ {
		if w := t.line[n]; w.state == behind {
			taken = append(taken, w)
		}
	}
	t.line = slices.Delete(t.line, 0, n)
	return taken
}

// feed serves the line until the hub ends.
func (h *hub) feed() {
	for {
		select {
		case <-h.turns.wake:
		case <-h.ctx.Done():
			return
		}
		for h.ctx.Err() == nil {
			r := h.nextReading()
			if len(r.watchers) == 0 {
				break
			}
			h.serve(r)
		}
	}
}

// reading is one look at history, and who is to have what it finds.
type reading struct {
	watchers []*watcher // behind, in the order of the first revision that they lack
	from, to int64
	wanted   index // the audiences of the watchers
	recalled bool  // the hub remembers from
}

// nextReading takes from the line those who lack what its first lacks, or begin above it. The others go to its end, and so come first some time.
func (h *hub) nextReading() (r reading) {
	h.enter()
	defer h.mu.Unlock()
	line := h.turns.take()
	if len(line) == 0 {
		return r
	}
	r.from, r.to, r.wanted = line[0].next, h.revision, newIndex()
	for _, w := range line {
		if w.next < r.from {
			h.turns.add(w)
			continue
		}
		r.watchers = append(r.watchers, w)
		if r.wanted.audiences[w.audience.interest] == nil {
			r.wanted.add(w.audience)
		}
	}
	slices.SortFunc(r.watchers, func(a, b *watcher) int { return cmp.Compare(a.next, b.next) })
	r.recalled = h.recent.covers(r.from) && r.from > h.store.CompactRevision() // what is compacted is gone, and so is prev_kv at that revision, remembered or not
	return r
}

// serve gives a chunk of history, which it reads unless the hub remembers it, and what the hub remembers of the revisions after it.
func (h *hub) serve(r reading) {
	c, err := chunk{end: r.from - 1}, error(nil)
	if !r.recalled {
		c, err = h.store.readChunk(h.ctx, r.from, r.to, &r.wanted, &h.limits)
	}
	h.enter()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, rpctypes.ErrGRPCCompacted):
		h.cancelBelow(c.compacted, r.watchers)
	case err == nil:
		h.recent.extend(&c, &h.limits)
		h.give(r, c)
	}
	// Any other error has stopped the store, or comes of the hub's end.
}

// give hands out a chunk. Who has then been given everything up to the hub's revision is synced.
func (h *hub) give(r reading, c chunk) {
	found := h.payloadsOf(c, &r.wanted)
	defer h.releaseAll(found)
	for _, w := range r.watchers {
		if w.state != behind {
			continue
		}
		if w.next > c.end+1 {
			h.turns.add(w)
			continue
		}
		refused := !h.giveTo(w, found[w.audience])
		switch {
		case refused:
			w.stream.await(w, true)
		case c.end == h.revision:
			h.catchUp(w)
		default:
			w.next = c.end + 1
			w.stream.await(w, false)
		}
	}
}

// payloadsOf encodes what a chunk has for each audience of an index, in the order of revisions. Each payload's run has a reference to be released.
func (h *hub) payloadsOf(c chunk, wanted *index) map[*audience][]payload {
	found := map[*audience][]payload{}
	for _, g := range c.groups {
		for _, s := range wanted.selectFrom(g) {
			before := found[s.audience]
			var last *run
			if len(before) > 0 {
				last = before[len(before)-1].run
			}
			_, p := last.take(g.revision, s, &h.held)
			found[s.audience] = append(before, p)
		}
	}
	return found
}

func (h *hub) releaseAll(found map[*audience][]payload) {
	for _, payloads := range found {
		for _, p := range payloads {
			p.run.release(&h.held)
		}
	}
}

// giveTo offers a watcher what it lacks of some payloads. If its queue refuses one, that is the first it lacks from then on.
func (h *hub) giveTo(w *watcher, payloads []payload) bool {
	first, _ := slices.BinarySearchFunc(payloads, w.next, func(p payload, revision int64) int { return cmp.Compare(p.revision, revision) })
	for i := first; i < len(payloads); i++ {
		if p := &payloads[i]; !w.stream.offer(w, p) {
			w.next = p.revision
			return false
		}
	}
	return true
}

// cancelBelow cancels the watchers that lack something which is compacted. The others wait for another turn.
func (h *hub) cancelBelow(compacted int64, watchers []*watcher) {
	for _, w := range watchers {
		switch {
		case w.state != behind:
		case w.next < compacted:
			h.leave(w)
			w.stream.say(&queued{response: WatchResponse{ID: w.id, Canceled: true, CompactRevision: compacted}})
		default:
			h.turns.add(w)
		}
	}
}

// chunk is a stretch of history.
type chunk struct {
	groups    []*group
	end       int64 // the last revision that was looked at
	compacted int64 // with an error that says so: the compacted revision
}

// readChunk reads the events of the keys that have an audience in wanted, of the revisions from one up to another or as far as a chunk may reach.
// prev_kv is there if the revision is above the compacted one, whatever the sweeper has left of it.
func (s *Store) readChunk(ctx context.Context, from, to int64, wanted *index, l *watchLimits) (c chunk, err error) {
	err = s.read(ctx, func(v *view) error {
		if from < v.compacted {
			c.compacted = v.compacted
			return rpctypes.ErrGRPCCompacted
		}
		c, err = v.chunk(ctx, from, to, wanted, l)
		return err
	})
	return c, err
}

func (v *view) chunk(ctx context.Context, from, to int64, wanted *index, l *watchLimits) (chunk, error) {
	c := chunk{end: to}
	looked, bytes := 0, 0
	var at int64
	for ch, err := range v.changes(ctx, revision{main: from}, revision{main: to + 1}) {
		if err != nil {
			return chunk{}, err
		}
		if ch.at.main != at && (looked >= l.chunkChanges || len(c.groups) >= l.chunkRevisions || bytes >= l.chunkBytes) {
			c.end = ch.at.main - 1
			break
		}
		at = ch.at.main
		if looked++; !wanted.has(string(ch.key)) {
			continue
		}
		e, err := v.watchEvent(ch)
		if err != nil {
			return chunk{}, err
		}
		if n := len(c.groups); n == 0 || c.groups[n-1].revision != at {
			c.groups = append(c.groups, &group{revision: at})
		}
		c.groups[len(c.groups)-1].add(e)
		bytes += e.bytes()
	}
	return c, nil
}

func (v *view) watchEvent(c change) (*event, error) {
	m, err := v.event(c)
	if err != nil {
		return nil, err
	}
	e := &event{key: string(m.Kv.Key), put: !c.dead, kv: m.Kv}
	if c.at.main > v.compacted {
		e.prior = m.PrevKv
	}
	return e, nil
}
