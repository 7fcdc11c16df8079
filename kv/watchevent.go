package kv

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// event is one change as watchers are told of it.
type event struct {
	key    string
	put    bool
	kv     *mvccpb.KeyValue
	prior  *mvccpb.KeyValue // what the key held at the revision before; nil if there was nothing, if the event makes the key, or if it can be read no more
	frames [2][]byte        // encoded without and with prior, when first asked for; guarded by hub.mu
}

// eventOverhead is what an event takes in memory beside keys and values, in bytes and roughly.
const eventOverhead = 300

func (e *event) bytes() int {
	n := eventOverhead + 2*len(e.key) + len(e.kv.Value)
	if e.prior != nil {
		n += len(e.key) + len(e.prior.Value)
	}
	return n
}

// eventsField is the number of WatchResponse's events.
const eventsField protowire.Number = 11

// frame returns the event as a field of a WatchResponse, tag and length included, so that any number of frames one after the other
// are a response, or part of one. It is encoded once.
func (e *event) frame(withPrior bool) []byte {
	i := 0
	if withPrior && e.prior != nil {
		i = 1
	}
	if e.frames[i] != nil {
		return e.frames[i]
	}
	m := &mvccpb.Event{Kv: e.kv}
	if !e.put {
		m.Type = mvccpb.Event_DELETE
	}
	if i == 1 {
		m.PrevKv = e.prior
	}
	size := proto.Size(m)
	b := make([]byte, 0, protowire.SizeTag(eventsField)+protowire.SizeBytes(size))
	b = protowire.AppendTag(b, eventsField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		panic(fmt.Sprintf("kv: an event of key %q cannot be encoded: %v; report this as a bug", e.key, err))
	}
	e.frames[i] = b
	return b
}

// group is all events of one revision, in the order in which they were made.
type group struct {
	revision int64
	events   []*event
	bytes    int
}

func (g *group) add(e *event) {
	g.events = append(g.events, e)
	g.bytes += e.bytes()
}

// priorOf returns what a key that the revision has changed already held at the revision before.
func (g *group) priorOf(key string) *mvccpb.KeyValue {
	for _, e := range g.events {
		if e.key == key {
			return e.prior
		}
	}
	return nil
}

// notes is what a batch changes, for the watchers.
type notes struct {
	on     bool // off if nobody watches, or once it has become too much: the watchers will read history
	groups []*group
	bytes  int
	limit  int
}

func (r *notes) add(v *version, prior version) {
	if !r.on {
		return
	}
	e := &event{key: string(v.key), put: v.live}
	if v.live {
		e.kv = v.keyValue()
	} else {
		e.kv = &mvccpb.KeyValue{Key: []byte(e.key), ModRevision: v.at.main}
	}
	if n := len(r.groups); n == 0 || r.groups[n-1].revision != v.at.main {
		r.groups = append(r.groups, &group{revision: v.at.main})
	}
	g := r.groups[len(r.groups)-1]
	switch {
	case v.isNew():
	case prior.at.main == v.at.main:
		e.prior = g.priorOf(e.key)
	case prior.live:
		e.prior = prior.keyValue()
	}
	g.add(e)
	if r.bytes += e.bytes(); r.bytes > r.limit {
		*r = notes{}
	}
}

// recent is the last groups that went through the hub, without a gap between them.
type recent struct {
	groups []*group
	bytes  int
}

func (r *recent) clear() { *r = recent{} }

func (r *recent) add(g *group, l *watchLimits) {
	r.groups = append(r.groups, g)
	r.bytes += g.bytes
	for len(r.groups) > l.recentRevisions || r.bytes > l.recentBytes {
		r.bytes -= r.groups[0].bytes
		r.groups[0] = nil
		r.groups = r.groups[1:]
		if len(r.groups) == 0 {
			break
		}
	}
}

// covers reports whether a revision is among them.
func (r *recent) covers(revision int64) bool {
	return len(r.groups) > 0 && r.groups[0].revision <= revision && revision <= r.groups[len(r.groups)-1].revision
}

// extend adds to a chunk the groups that follow it, as many as go into another.
func (r *recent) extend(c *chunk, l *watchLimits) {
	if !r.covers(c.end + 1) {
		return
	}
	bytes := 0
	for i, g := range r.groups[c.end+1-r.groups[0].revision:] {
		if i >= l.chunkRevisions || bytes >= l.chunkBytes {
			return
		}
		c.groups = append(c.groups, g)
		c.end = g.revision
		bytes += g.bytes
	}
}
