package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	writerCount = 20
	readerCount = 4
	// keysPerWriter is how many keys each writer goes round.
	keysPerWriter = 64
	// requestTimeout is what a client of the load gives a request.
	requestTimeout = 3 * time.Second
	// pace is how often each client sends a request at most: enough to keep the log busy, and a processor free for the members.
	pace = 10 * time.Millisecond
)

// outcome is what a client was told of its write.
type outcome int

const (
	unknown      outcome = iota // it may have happened, or may yet
	acknowledged                // it happened
	refused                     // it did not happen and never will
)

// put is one write: no other has the same key and value.
type put struct {
	key, value string
	floor      int64 // a revision that was told to some client before the write began: it comes after that
	outcome    outcome
	told       error // of one that was not acknowledged
	revision   int64 // told to the client; of one acknowledged
}

// get is one linearizable read of a key that succeeded.
type get struct {
	key         string
	floor       int64 // a revision that was told to some client before the read began: it sees that
	revision    int64 // that it was read at, by the answer's header
	value       string
	modRevision int64 // 0 if there was no such key
}

// load is clients that write to a cluster and read from it until they are told to stop, and what they were told.
type load struct {
	t       testing.TB
	members atomic.Pointer[[]*member] // who are asked
	floor   atomic.Int64              // the highest revision that any client was told
	acked   atomic.Int64              // how many writes have been acknowledged

	stopping chan struct{}
	clients  sync.WaitGroup

	mu   sync.Mutex
	puts []put
	gets []get

	probes int // written by the test's own goroutine
}

func newLoad(c *cluster) *load {
	l := &load{t: c.t, stopping: make(chan struct{})}
	l.turnTo(c.members)
	c.t.Cleanup(l.stop)
	return l
}

func startLoad(c *cluster) *load {
	l := newLoad(c)
	for i := range writerCount {
		l.clients.Go(func() { l.write(i) })
	}
	for range readerCount {
		l.clients.Go(l.read)
	}
	return l
}

// stop returns when no client has a request under way. To stop again does nothing.
func (l *load) stop() {
	select {
	case <-l.stopping:
	default:
		close(l.stopping)
	}
	l.clients.Wait()
}

// write is one writer: it puts increasing numbers into its own keys, by way of random members.
func (l *load) write(writer int) {
	var puts []put
	l.eachTurn(pace, func(turn int) {
		puts = append(puts, l.put(l.randomMember(), writerKey(writer, turn%keysPerWriter), turn, requestTimeout))
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts = append(l.puts, puts...)
}

// read is one reader: it gets random keys from random members.
func (l *load) read() {
	var gets []get
	l.eachTurn(pace, func(int) {
		if g, ok := l.get(l.randomMember(), writerKey(rand.IntN(writerCount), rand.IntN(keysPerWriter))); ok {
			gets = append(gets, g)
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gets = append(l.gets, gets...)
}

func (l *load) eachTurn(pace time.Duration, request func(turn int)) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ticker.C:
			request(turn)
		case <-l.stopping:
			return
		}
	}
}

func (l *load) randomMember() *member {
	members := *l.members.Load()
	return members[rand.IntN(len(members))]
}

// turnTo has the clients ask these members from now on.
func (l *load) turnTo(members []*member) { l.members.Store(new(slices.Clone(members))) }

func writerKey(writer, i int) string { return fmt.Sprintf("writer/%02d/%02d", writer, i) }

func (l *load) put(to *member, key string, number int, timeout time.Duration) put {
	return l.putValue(to, key, strconv.Itoa(number), timeout)
}

func (l *load) putValue(to *member, key, value string, timeout time.Duration) put {
	p := put{key: key, value: value, floor: l.floor.Load()}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	resp, err := to.api.Put(ctx, key, p.value)
	if p.outcome, p.told = outcomeOf(err), err; p.outcome == acknowledged {
		p.revision = resp.Header.Revision
		l.raise(p.revision)
		l.acked.Add(1)
	}
	return p
}

// get reports whether the read succeeded; one that did not proves nothing.
func (l *load) get(from *member, key string) (get, bool) {
	g := get{key: key, floor: l.floor.Load()}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	resp, err := from.api.Get(ctx, key)
	if err != nil {
		return g, false
	}
	g.revision = resp.Header.Revision
	for _, kv := range resp.Kvs {
		g.value, g.modRevision = string(kv.Value), kv.ModRevision
	}
	l.raise(g.revision)
	return g, true
}

func (l *load) raise(floor int64) {
	for {
		old := l.floor.Load()
		if old >= floor || l.floor.CompareAndSwap(old, floor) {
			return
		}
	}
}

// outcomeOf is what an error says of a write. Only those errors say that it did not happen with which the server says so, and that
// of a connection that never was.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return acknowledged
	case errors.Is(err, rpctypes.ErrNoLeader), errors.Is(err, rpctypes.ErrTooManyRequests), errors.Is(err, rpctypes.ErrStopped),
		strings.Contains(err.Error(), "connect: connection refused"):
		return refused
	}
	return unknown
}

// awaitWrites waits until n more writes have been acknowledged than now.
func (l *load) awaitWrites(n int64) {
	l.t.Helper()
	goal := l.acked.Load() + n
	eventually(l.t, fmt.Sprintf("%d more writes", n), func() bool { return l.acked.Load() >= goal })
}

// awaitResume returns how long after the moment since the first write was acknowledged of those that begin from now on, one at a time through one member after the other,
// whatever became of those before: none has to wait for another to be given up.
func (l *load) awaitResume(since time.Time) time.Duration {
	l.t.Helper()
	resumed := make(chan time.Duration, 1)
	late := time.After(patience)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	members := *l.members.Load()
	for next := rand.IntN(len(members)); ; next++ {
		number := l.nextProbe()
		l.clients.Go(func() {
			p := l.put(members[next%len(members)], "probe", number, requestTimeout)
			took := time.Since(since)
			l.note(p)
			if p.outcome == acknowledged {
				select {
				case resumed <- took:
				default: // another one was first
				}
			}
		})
		select {
		case took := <-resumed:
			return took
		case <-ticker.C:
		case <-late:
			l.t.Fatalf("writes do not resume within %v", patience)
		}
	}
}

// nextProbe numbers the writes of the test's own goroutine.
func (l *load) nextProbe() int {
	l.probes++
	return l.probes
}

// note has the write judged.
func (l *load) note(p put) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts = append(l.puts, p)
}

// judge stops the load and compares everything that its clients were told with the history that the cluster kept:
//
//   - each revision is one write that a client made, and no write has two;
//   - an acknowledged write has the revision that its client was told; one that was refused has none;
//   - revisions are in the order of real time: a write comes after everything that anyone was told before it began;
//   - a read at its revision saw what the history has there, and no less than anyone was told before it began.
func (l *load) judge(c *cluster) {
	l.t.Helper()
	l.stop()
	last := c.agree()
	h := readLedger(l.t, c.members[rand.IntN(len(c.members))].api, last)
	counts := map[outcome]int{}
	for _, p := range l.puts {
		counts[p.outcome]++
		if err := h.admit(p); err != nil {
			l.t.Errorf("%v", err)
		}
	}
	for _, g := range l.gets {
		if err := h.explain(g); err != nil {
			l.t.Errorf("%v", err)
		}
	}
	for _, e := range h.unclaimed() {
		l.t.Errorf("revision %d is %s = %s, which nobody wrote", e.revision, e.key, e.value)
	}
	l.t.Logf("checked: %d writes acknowledged, %d refused, %d unknown, %d reads, %d revisions",
		counts[acknowledged], counts[refused], counts[unknown], len(l.gets), last)
	if counts[acknowledged] == 0 || len(l.gets) == 0 {
		l.t.Error("the load wrote nothing or read nothing, so nothing was checked")
	}
}

// event is one revision of the store.
type event struct {
	key, value string
	revision   int64
}

// ledger is all that ever happened in a store, in which every revision is one put, none of them compacted.
type ledger struct {
	events  []event             // by revision, the first of which is 2
	byKey   map[string][]event  // in order of revisions
	byWrite map[[2]string]int64 // from key and value to the revision
	claimed map[int64]bool      // that a client's write has been found for
}

const firstRevision = 2 // an empty store has 1

func readLedger(t testing.TB, api *clientv3.Client, last int64) *ledger {
	t.Helper()
	h := &ledger{byKey: map[string][]event{}, byWrite: map[[2]string]int64{}, claimed: map[int64]bool{}}
	const stride = 500
	for low := int64(firstRevision); low <= last; low += stride {
		h.readRange(t, api, low, min(low+stride-1, last))
	}
	for i, e := range h.events {
		if e.revision != firstRevision+int64(i) {
			t.Fatalf("revision %d is missing or there twice", firstRevision+int64(i))
		}
		h.byKey[e.key] = append(h.byKey[e.key], e)
		write := [2]string{e.key, e.value}
		if first, again := h.byWrite[write]; again {
			t.Errorf("one write, %s = %s, happened twice: as revisions %d and %d", e.key, e.value, first, e.revision)
		}
		h.byWrite[write] = e.revision
	}
	return h
}

// readRange reads the revisions from low to high. As of high a key shows only its last change, so a range that does not show
// all is read in halves.
func (h *ledger) readRange(t testing.TB, api *clientv3.Client, low, high int64) {
	t.Helper()
	resp, err := api.Get(t.Context(), "", clientv3.WithFromKey(), clientv3.WithRev(high), clientv3.WithMinModRev(low), clientv3.WithSerializable())
	if err != nil {
		t.Fatalf("cannot read revisions %d to %d: %v", low, high, err)
	}
	if int64(len(resp.Kvs)) < high-low+1 {
		if low == high {
			t.Fatalf("revision %d is no put of anything", low)
		}
		middle := (low + high) / 2
		h.readRange(t, api, low, middle)
		h.readRange(t, api, middle+1, high)
		return
	}
	first := len(h.events)
	for _, kv := range resp.Kvs {
		h.events = append(h.events, event{string(kv.Key), string(kv.Value), kv.ModRevision})
	}
	slices.SortFunc(h.events[first:], func(a, b event) int { return int(a.revision - b.revision) })
}

// admit checks what a writer was told, and takes the write for the one that made its revision.
func (h *ledger) admit(p put) error {
	revision, happened := h.byWrite[[2]string{p.key, p.value}]
	if happened {
		h.claimed[revision] = true
	}
	switch {
	case p.outcome == acknowledged && !happened:
		return fmt.Errorf("lost: %s = %s was acknowledged as revision %d and is nowhere", p.key, p.value, p.revision)
	case p.outcome == acknowledged && p.revision != revision:
		return fmt.Errorf("%s = %s was acknowledged as revision %d and is revision %d", p.key, p.value, p.revision, revision)
	case p.outcome == refused && happened:
		return fmt.Errorf("%s = %s was refused (%v), and is revision %d nevertheless", p.key, p.value, p.told, revision)
	case happened && revision <= p.floor:
		return fmt.Errorf("%s = %s is revision %d, though revision %d was known before it began", p.key, p.value, revision, p.floor)
	}
	return nil
}

// explain checks what a reader was told.
func (h *ledger) explain(g get) error {
	if g.revision < g.floor {
		return fmt.Errorf("stale: a read of %s was answered as of revision %d, though revision %d was known before it began", g.key, g.revision, g.floor)
	}
	events := h.byKey[g.key]
	after, _ := slices.BinarySearchFunc(events, g.revision+1, func(e event, revision int64) int { return int(e.revision - revision) })
	var want event
	if after > 0 {
		want = events[after-1]
	}
	if want.revision != g.modRevision || want.value != g.value {
		return fmt.Errorf("a read as of revision %d saw %s = %q of revision %d; it was %q of revision %d",
			g.revision, g.key, g.value, g.modRevision, want.value, want.revision)
	}
	return nil
}

// unclaimed returns the revisions that no write has been admitted for.
func (h *ledger) unclaimed() []event {
	return slices.DeleteFunc(slices.Clone(h.events), func(e event) bool { return h.claimed[e.revision] })
}
