package kv

import "cmp"

// interest is what a watcher asks for. Watchers of one interest are an audience.
type interest struct {
	key, end        string // end is empty for one key, and "\x00" for all keys from key on
	noPut, noDelete bool
	prior           bool // events come with what they took the place of
}

func (i *interest) wants(e *event) bool {
	if e.put {
		return !i.noPut
	}
	return !i.noDelete
}

// audience is all watchers of one interest. Guarded by hub.mu.
type audience struct {
	interest
	members int        // synced or behind
	synced  []*watcher // each knows its place
	told    *run       // what they were told last; nil if that is nothing
}

func (a *audience) addSynced(w *watcher) {
	w.place = len(a.synced)
	a.synced = append(a.synced, w)
}

func (a *audience) removeSynced(w *watcher) {
	last := len(a.synced) - 1
	moved := a.synced[last]
	a.synced[w.place], moved.place = moved, w.place
	a.synced[last] = nil
	a.synced = a.synced[:last]
}

// index finds the audiences of a key.
type index struct {
	audiences map[interest]*audience
	points    map[string][]*audience
	ranges    *spans
}

func newIndex() index {
	return index{audiences: map[interest]*audience{}, points: map[string][]*audience{}}
}

// add enters an audience that is not there yet.
func (x *index) add(a *audience) {
	x.audiences[a.interest] = a
	if a.end == "" {
		x.points[a.key] = append(x.points[a.key], a)
		return
	}
	at := x.ranges.get(a.key, a.end)
	x.ranges = x.ranges.with(a.key, a.end, append(at[:len(at):len(at)], a))
}

func (x *index) remove(a *audience) {
	delete(x.audiences, a.interest)
	if a.end == "" {
		if rest := without(x.points[a.key], a); len(rest) > 0 {
			x.points[a.key] = rest
		} else {
			delete(x.points, a.key)
		}
		return
	}
	if rest := without(x.ranges.get(a.key, a.end), a); len(rest) > 0 {
		x.ranges = x.ranges.with(a.key, a.end, rest)
	} else {
		x.ranges = x.ranges.without(a.key, a.end)
	}
}

func without(all []*audience, a *audience) (rest []*audience) {
	for _, b := range all {
		if b != a {
			rest = append(rest, b)
		}
	}
	return rest
}

// visit calls fn with every audience of a key until it returns false. It reports whether fn never did.
func (x *index) visit(key string, fn func(*audience) bool) bool {
	for _, a := range x.points[key] {
		if !fn(a) {
			return false
		}
	}
	return x.ranges.visit(key, fn)
}

// has reports whether a key has any audience.
func (x *index) has(key string) bool {
	return !x.visit(key, func(*audience) bool { return false })
}

// selection is what a revision has for an audience: frames in a row, which must not be changed.
type selection struct {
	*audience
	events int
	frames []byte
}

func (s *selection) add(frame []byte) {
	if s.events++; s.events == 1 {
		s.frames = frame[:len(frame):len(frame)]
		return
	}
	s.frames = append(s.frames, frame...)
}

// selectFrom selects from a revision for every audience that it concerns. The caller holds hub.mu.
func (x *index) selectFrom(g *group) []selection {
	var found []selection
	var places map[*audience]int // in found
	if len(g.events) > 1 {
		places = map[*audience]int{}
	}
	for _, e := range g.events {
		x.visit(e.key, func(a *audience) bool {
			if !a.wants(e) {
				return true
			}
			place, there := places[a]
			if !there {
				place = len(found)
				found = append(found, selection{audience: a})
				if places != nil {
					places[a] = place
				}
			}
			found[place].add(e.frame(a.prior))
			return true
		})
	}
	return found
}

// spans is a set of ranges of keys: a weight-balanced tree in the order of their beginnings, in which each node knows the
// greatest end below it. It is immutable, and balanced as a census is. The nil tree is empty.
type spans struct {
	key, end    string
	audiences   []*audience // never changed in place
	left, right *spans
	size        int
	reach       string // the greatest end in this tree, "\x00" being greater than all
}

const openEnd = "\x00"

func endsAfter(end, key string) bool { return end == openEnd || end > key }

func (s *spans) count() int {
	if s == nil {
		return 0
	}
	return s.size
}

func (s *spans) order(key, end string) int {
	return cmp.Or(cmp.Compare(key, s.key), cmp.Compare(end, s.end))
}

func (s *spans) get(key, end string) []*audience {
	for s != nil {
		switch order := s.order(key, end); {
		case order < 0:
			s = s.left
		case order > 0:
			s = s.right
		default:
			return s.audiences
		}
	}
	return nil
}

// visit calls fn with the audiences of every range that key lies in, as index.visit does.
func (s *spans) visit(key string, fn func(*audience) bool) bool {
	if s == nil || !endsAfter(s.reach, key) {
		return true
	}
	if !s.left.visit(key, fn) {
		return false
	}
	if key < s.key {
		return true
	}
	if endsAfter(s.end, key) {
		for _, a := range s.audiences {
			if !fn(a) {
				return false
			}
		}
	}
	return s.right.visit(key, fn)
}

func (s *spans) with(key, end string, audiences []*audience) *spans {
	if s == nil {
		return joinSpans(nil, &spans{key: key, end: end, audiences: audiences}, nil)
	}
	switch order := s.order(key, end); {
	case order < 0:
		return balanceSpans(s.left.with(key, end, audiences), s, s.right)
	case order > 0:
		return balanceSpans(s.left, s, s.right.with(key, end, audiences))
	}
	return joinSpans(s.left, &spans{key: key, end: end, audiences: audiences}, s.right)
}

func (s *spans) without(key, end string) *spans {
	if s == nil {
		return nil
	}
	switch order := s.order(key, end); {
	case order < 0:
		return balanceSpans(s.left.without(key, end), s, s.right)
	case order > 0:
		return balanceSpans(s.left, s, s.right.without(key, end))
	case s.left == nil:
		return s.right
	case s.right == nil:
		return s.left
	}
	heir := s.right
	for heir.left != nil {
		heir = heir.left
	}
	return balanceSpans(s.left, heir, s.right.without(heir.key, heir.end))
}

// joinSpans makes a tree of two and the range of a node between them.
func joinSpans(left, at, right *spans) *spans {
	s := &spans{key: at.key, end: at.end, audiences: at.audiences, left: left, right: right, size: left.count() + 1 + right.count(), reach: at.end}
	for _, below := range []*spans{left, right} {
		if below != nil && s.reach != openEnd && endsAfter(below.reach, s.reach) {
			s.reach = below.reach
		}
	}
	return s
}

// balanceSpans is balance, of a census, for spans.
func balanceSpans(left, at, right *spans) *spans {
	l, r := left.count()+1, right.count()+1
	switch {
	case r > balanceDelta*l:
		if right.left.count()+1 < balanceRatio*(right.right.count()+1) {
			return joinSpans(joinSpans(left, at, right.left), right, right.right)
		}
		mid := right.left
		return joinSpans(joinSpans(left, at, mid.left), mid, joinSpans(mid.right, right, right.right))
	case l > balanceDelta*r:
		if left.right.count()+1 < balanceRatio*(left.left.count()+1) {
			return joinSpans(left.left, left, joinSpans(left.right, at, right))
		}
		mid := left.right
		return joinSpans(joinSpans(left.left, left, mid.left), mid, joinSpans(mid.right, at, right))
	}
	return joinSpans(left, at, right)
}
