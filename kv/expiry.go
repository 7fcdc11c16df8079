package kv

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"sync"
	"time"

	"synod.dev/synod/paxos"
)

// expiry knows when each lease may end as far as this member has measured. None of it is state: another member has other deadlines.
// The rule is that a deadline never lies before the lease's last renewal plus its TTL, in real time. It is safe for concurrent use.
type expiry struct {
	elapsed func() time.Duration // a monotonic clock

	mu      sync.Mutex
	heap    deadlines
	clock   time.Duration // what the lease clock shows
	clockAt time.Duration // when this member saw that
	missed  time.Duration // how much more than this member has measured the lease clock has advanced, since catchUp
}

// deadline is one lease's.
type deadline struct {
	id        int64
	at        time.Duration // by this member's own clock
	ttl       time.Duration
	renewed   paxos.Slot
	renewedAt time.Duration // by the lease clock
}

// missedMax is how much a member may have missed, in a pause or while it caught up with the log, before it takes all leases' ages from the lease clock.
const missedMax = time.Second

func newExpiry(elapsed func() time.Duration) *expiry {
	return &expiry{elapsed: elapsed, heap: deadlines{places: map[int64]int{}}}
}

// now is the member's own clock, slowed by a 1024th: a machine's clock that is fast by less than that ends nothing early.
func (e *expiry) now() time.Duration {
	t := e.elapsed()
	return t - t/1024
}

// load takes over the leases that a store had when it was opened, or that came with a snapshot, and what its lease clock showed.
func (e *expiry) load(all []leased, clock time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clock, e.clockAt = clock, e.now()
	e.heap = deadlines{places: map[int64]int{}}
	for _, l := range all {
		e.heap.Push(e.deadline(l, e.clockAt))
	}
	e.catchUp()
}

// update takes over what a batch has done to leases, in its order, and what the lease clock shows after it. It must be called after the batch is
// committed: time is measured from here on.
func (e *expiry) update(changes []leased, clock time.Duration) {
	if len(changes) == 0 && clock == e.clock {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if clock != e.clock {
		e.missed += max(0, clock-e.clock-min(now-e.clockAt, clockStepMax)) // of several steps at once, this member was there for one at most
		e.clock, e.clockAt = clock, now
	}
	for _, l := range changes {
		place, known := e.heap.places[l.id]
		switch {
		case known && l.exists():
			e.heap.all[place] = e.deadline(l, now)
			heap.Fix(&e.heap, place)
		case known:
			heap.Remove(&e.heap, place)
		case l.exists():
			heap.Push(&e.heap, e.deadline(l, now))
		}
	}
}

func (e *expiry) deadline(l leased, renewed time.Duration) deadline {
	d := deadline{id: l.id, ttl: time.Duration(l.ttl) * time.Second, renewed: l.renewed, renewedAt: l.renewedAt}
	d.at = after(renewed, d.ttl)
	return d
}

// after is t + d, or the end of time.
func after(t, d time.Duration) time.Duration {
	return t + min(d, math.MaxInt64-t)
}

// catchUp brings deadlines forward to where the lease clock says that they are at the latest. What the clock has advanced since a lease was renewed has really
// passed since, but for the one step that may have been measured before.
func (e *expiry) catchUp() {
	for i := range e.heap.all {
		d := &e.heap.all[i]
		if lived := e.clock - d.renewedAt - clockStepMax; lived > 0 { // if not, it may have been renewed after the clock was read
			d.at = min(d.at, after(e.clockAt-lived, d.ttl))
		}
	}
	heap.Init(&e.heap)
	e.missed = 0
}

// next returns the command that the leader should propose now, or nil and when to ask again.
func (e *expiry) next() (u upkeep, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heap.all) == 0 {
		return nil, upkeepPause
	}
	if e.missed >= missedMax {
		e.catchUp()
	}
	now := e.now()
	since := now - e.clockAt
	if since >= clockStep {
		return clockAdvance{from: e.clock, by: min(since, clockStepMax)}, 0
	}
	if due := e.heap.due(now); len(due) > 0 {
		return leaseExpiry{due}, 0
	}
	return nil, min(e.heap.all[0].at-now, clockStep-since, upkeepPause)
}

const (
	// upkeepPause is for how long nothing can become due: no lease's TTL is shorter than a second.
	upkeepPause = time.Second / 2
	// clockStep is how often the lease clock is moved: what passes in between is lost when all members restart.
	clockStep = 2 * time.Second
	// expiryLeasesMax is how many leases one command ends: so many that the log is worth its while, so few that no write waits long for it.
	expiryLeasesMax = 32
)

// remaining returns how long a lease will yet live at least; zero if it may be ended, or has been.
func (e *expiry) remaining(id int64) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	place, known := e.heap.places[id]
	if !known {
		return 0
	}
	return max(0, e.heap.all[place].at-e.now())
}

// inOrder lists all leases, those that end first before the others.
func (e *expiry) inOrder() []int64 {
	e.mu.Lock()
	all := slices.Clone(e.heap.all)
	e.mu.Unlock()
	slices.SortFunc(all, func(a, b deadline) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	ids := make([]int64, len(all))
	for i, d := range all {
		ids[i] = d.id
	}
	return ids
}

// deadlines is a heap of them, the nearest first, that finds a lease by its id.
type deadlines struct {
	all    []deadline
	places map[int64]int
}

func (h *deadlines) Len() int           { return len(h.all) }
func (h *deadlines) Less(i, j int) bool { return h.all[i].at < h.all[j].at }

func (h *deadlines) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.places[h.all[i].id], h.places[h.all[j].id] = i, j
}

func (h *deadlines) Push(x any) {
	d := x.(deadline)
	h.places[d.id] = len(h.all)
	h.all = append(h.all, d)
}

func (h *deadlines) Pop() any {
	last := len(h.all) - 1
	d := h.all[last]
	h.all = h.all[:last]
	delete(h.places, d.id)
	return d
}

// due lists some leases whose deadline has come.
func (h *deadlines) due(now time.Duration) (due []expired) {
	for next := []int{0}; len(next) > 0 && len(due) < expiryLeasesMax; next = next[1:] {
		if i := next[0]; i < len(h.all) && h.all[i].at <= now {
			due = append(due, expired{h.all[i].id, h.all[i].renewed})
			next = append(next, 2*i+1, 2*i+2)
		}
	}
	return due
}
