package kv

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"synod.dev/synod"
)

// hear returns the next response, which must come, in short: "created", "canceled", "compacted", "progress" with their revision, or events.
func (s *naiveStream) hear() string {
	s.f.t.Helper()
	var r WatchResponse
	eventually(s.f.t, func() (ok bool) { r, ok = s.Next(); return ok })
	switch {
	case r.Created && r.Canceled:
		return "refused: " + r.CancelReason
	case r.Created:
		return fmt.Sprintf("%d created at %d", r.ID, r.Revision)
	case r.CompactRevision != 0:
		return fmt.Sprintf("%d compacted at %d", r.ID, r.CompactRevision)
	case r.Canceled:
		return fmt.Sprintf("%d canceled", r.ID)
	case len(r.Events) == 0:
		return fmt.Sprintf("%d progress at %d", r.ID, r.Revision)
	}
	told := fmt.Sprintf("%d:", r.ID)
	for _, e := range decodeEvents(s.f.t, r) {
		verb := "put"
		if e.Type == mvccpb.Event_DELETE {
			verb = "delete"
		}
		told += fmt.Sprintf(" %s %s@%d", verb, e.Kv.Key, e.Kv.ModRevision)
	}
	return told
}

func (s *naiveStream) hears(want ...string) {
	s.f.t.Helper()
	for _, w := range want {
		if got := s.hear(); got != w {
			s.f.t.Errorf("heard %q, not %q", got, w)
		}
	}
}

// silent demands that there is nothing to be said, now that everything has been distributed.
func (s *naiveStream) silent() {
	s.f.t.Helper()
	s.hub.enter()
	s.hub.mu.Unlock()
	if r, ok := s.Next(); ok {
		s.f.t.Errorf("there is a response: %+v", r)
	}
}

func eventually(t fataler, ok func() bool) {
	t.Helper()
	deadline := time.After(watchBound)
	for tick := time.NewTicker(time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("what should happen has not happened")
		}
	}
}

func (f *fixture) stream(t *testing.T) *naiveStream {
	s := f.watch(&watchLog{})
	t.Cleanup(s.Close)
	return s
}

func key(k string) *pb.WatchCreateRequest { return &pb.WatchCreateRequest{Key: []byte(k)} }

// etcd #20221: a watch of the future, come back to a member that lags, was told of what lies before its start.
func TestWatchOfTheFutureHearsNothingBeforeItsStart(t *testing.T) {
	f := newFixture(t)
	s := f.stream(t)
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 4})
	s.hears("0 created at 1")
	s.RequestProgress()
	f.put("k", "")
	f.put("k", "")
	s.RequestProgress()
	s.silent()
	f.put("k", "")
	s.RequestProgress()
	s.hears("0: put k@4", "-1 progress at 4")

	// Nor does it when revisions pass by unseen.
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 7})
	s.hears("1 created at 4")
	f.limitWatches(func(l *watchLimits) { l.inboxBytes = 0 })
	f.put("k", "")
	f.put("k", "")
	f.put("k", "")
	told := map[string]int{}
	for range 4 {
		for _, e := range strings.Split(s.hear(), " put ") {
			told[e]++
		}
		if told["k@7"] == 2 {
			break
		}
	}
	if told["k@5"] != 1 || told["k@6"] != 1 || told["k@7"] != 2 {
		t.Errorf("two watchers, from 2 and from 7, heard %v", told)
	}
}

// etcd #15220: a progress came before the events that it covers. Here it also parts what gathers.
func TestProgressNeitherPassesEventsNorIsPassed(t *testing.T) {
	f := newFixture(t)
	s := f.stream(t)
	s.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z"), ProgressNotify: true})
	s.hears("0 created at 1")
	f.put("k", "")
	f.put("l", "")
	s.RequestProgress()
	f.put("m", "")
	s.distributed(0)
	s.hears("0: put k@2 put l@3", "-1 progress at 3", "0: put m@4")
	s.NotifyProgress() // it has had events
	s.silent()
	s.NotifyProgress()
	s.NotifyProgress() // one in the queue is enough
	f.put("n", "")
	s.hears("0 progress at 4", "0: put n@5")
}

// etcd #17529, #18089: a slow watcher lost events, or those of a compaction.
func TestSlowWatcherLosesNothingOrIsToldOfTheCompaction(t *testing.T) {
	for _, remembered := range []bool{true, false} {
		f := newFixture(t)
		f.limitWatches(func(l *watchLimits) { l.watcherRevisions = 2 })
		if !remembered {
			f.limitWatches(func(l *watchLimits) { l.recentRevisions = 0 })
		}
		s := f.stream(t)
		s.create(key("k"))
		s.hears("0 created at 1")
		for range 3 {
			f.put("k", "")
		}
		f.delete("k") // revision 5
		f.put("k", "")
		s.distributed(1)
		s.hears("0: put k@2 put k@3")
		got := ""
		for strings.Count(got, "@") < 3 {
			got += strings.TrimPrefix(s.hear(), "0:")
		}
		if got != " put k@4 delete k@5 put k@6" {
			t.Errorf("remembered %v: caught up by %q", remembered, got)
		}

		for range 4 { // 7 to 10
			f.put("k", "")
		}
		s.distributed(1)
		f.compactTo(10)
		f.awaitCompaction()
		s.hears("0: put k@7 put k@8", "0 compacted at 10")
	}
}

// distributed lets the hub come up with the store and demands that so many watchers are behind.
func (s *naiveStream) distributed(want int64) {
	s.f.t.Helper()
	s.hub.enter()
	s.hub.mu.Unlock()
	if got := s.f.WatchStats().Behind; got != want {
		s.f.t.Errorf("%d watchers are behind, not %d", got, want)
	}
}

// The random comparison with etcd found a watch that began below the compacted revision and was served from what the hub remembered.
func TestWhatIsCompactedCannotBeWatchedEvenIfItIsRemembered(t *testing.T) {
	f := newFixture(t)
	s := f.stream(t)
	s.create(key("other"))
	s.hears("0 created at 1")
	f.put("k", "")
	f.put("k", "")
	f.compactTo(3)
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2})
	s.hears("1 created at 3", "1 compacted at 3")
}

// etcd #19179: a watch that begins at the compacted revision lacked the deletion of that revision.
func TestWatchAtTheCompactedRevisionSeesItsDeletion(t *testing.T) {
	f := newFixture(t)
	f.put("k", "")
	f.delete("k") // revision 3
	f.put("l", "")
	f.compactTo(3)
	f.awaitCompaction()
	s := f.stream(t)
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 3})
	s.hears("0 created at 4", "0: delete k@3")
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2})
	s.hears("1 created at 4", "1 compacted at 3")
}

// TestOfThoseWhoseHistoryIsReadTogetherOnlyWhoLacksWhatIsCompactedIsCancelled: one watcher begins below the compacted revision, one at it, and one look at history is for both.
func TestOfThoseWhoseHistoryIsReadTogetherOnlyWhoLacksWhatIsCompactedIsCancelled(t *testing.T) {
	f := newFixture(t)
	f.put("k", "")
	f.delete("k") // revision 3
	f.put("l", "")
	f.compactTo(3)
	f.awaitCompaction()
	s := f.stream(t)
	s.hub.enter()
	for id, first := range []int64{2, 3} {
		w := &watcher{id: int64(id), stream: s.WatchStream, start: first, first: first}
		s.WatchStream.watchers[w.id] = w
		s.hub.join(w, interest{key: "k"})
	}
	s.hub.mu.Unlock()
	s.hears("0 compacted at 3", "1: delete k@3")
}

// A watch that nobody else preceded begins with revisions that were not recorded, and one that comes between Apply's publication and the
// hub must not hear of what its client may have read.
func TestWatchOfNowHearsOfWhatComesAfterIt(t *testing.T) {
	f := newFixture(t)
	f.put("k", "")
	first := f.stream(t)
	first.create(key("k"))
	f.put("k", "")
	second := f.stream(t)
	second.create(key("k"))
	f.put("k", "")
	first.distributed(0)
	first.hears("0 created at 2", "0: put k@3 put k@4")
	second.hears("0 created at 3", "0: put k@4")
}

// prev_kv is what the key held at the revision before: what the same transaction has put is none, and neither is what a transaction deletes before it makes the key anew.
func TestPrevKvIsOfTheRevisionBeforeWhateverTheTransactionHasDoneItself(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.put("old", "1")
	live := f.stream(t)
	live.create(&pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true})
	live.hears("0 created at 2")
	put := func(k string) *pb.RequestOp { return opPut(&pb.PutRequest{Key: []byte(k), Value: []byte("2")}) }
	all := opDelete(&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}})
	for _, ops := range [][]*pb.RequestOp{{put("old"), put("new"), all}, {put("old")}, {all, put("old")}} {
		f.must(&pb.TxnRequest{Success: ops})
	}
	tells := func(s *naiveStream) string {
		var told []string
		for len(told) < 7 {
			var r WatchResponse
			eventually(t, func() (ok bool) { r, ok = s.Next(); return ok })
			for _, e := range decodeEvents(t, r) {
				verb, before := "put", "nothing"
				if e.Type == mvccpb.Event_DELETE {
					verb = "delete"
				}
				if p := e.PrevKv; p != nil {
					before = fmt.Sprintf("%s@%d", p.Value, p.ModRevision)
				}
				told = append(told, fmt.Sprintf("%s %s@%d after %s", verb, e.Kv.Key, e.Kv.ModRevision, before))
			}
		}
		return strings.Join(told, ", ")
	}
	want := "put old@3 after 1@2, put new@3 after nothing, delete new@3 after nothing, delete old@3 after 1@2, put old@4 after nothing, delete old@5 after 2@4, put old@5 after nothing"
	if told := tells(live); told != want {
		t.Errorf("as it happens: %s", told)
	}
	f.close()
	f = open(t, fs)
	t.Cleanup(f.close)
	past := f.stream(t)
	past.create(&pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 3, PrevKv: true})
	past.hears("0 created at 5")
	if told := tells(past); told != want {
		t.Errorf("from history: %s", told)
	}
}

func TestRestartedStoreIsWatchedFromItsHistory(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.put("k", "")
	f.delete("k")
	f.close()
	f = open(t, fs)
	t.Cleanup(f.close)
	s := f.stream(t)
	s.create(&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2})
	s.hears("0 created at 3", "0: put k@2 delete k@3")
}

func TestCommandThatChangesTooMuchToRecordIsReadFromHistory(t *testing.T) {
	f := newFixture(t)
	f.limitWatches(func(l *watchLimits) { l.inboxBytes = 3000 })
	s := f.stream(t)
	s.create(&pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	s.hears("0 created at 1")
	f.must(replaceAll(16, 2))
	if told := s.hear(); strings.Count(told, "put") != 16 {
		t.Errorf("heard %s", told)
	}
}

// TestHeldBytesAreBounded lets many streams stand still while much is written: each may hold one response beyond the bound.
func TestHeldBytesAreBounded(t *testing.T) {
	const streams, value, bound = 20, 1000, 10_000
	f := newFixture(t)
	f.limitWatches(func(l *watchLimits) { l.heldBytes = bound })
	var all []*naiveStream
	for range streams {
		s := f.stream(t)
		s.create(key("k"))
		s.hears("0 created at 1")
		all = append(all, s)
	}
	for range 100 {
		f.put("k", strings.Repeat("v", value))
	}
	all[0].distributed(streams)
	if held := f.WatchStats().HeldBytes; held > bound+streams*2*value || held == 0 {
		t.Errorf("%d bytes are held", held)
	}
	for _, s := range all {
		for next := int64(2); next <= 101; {
			var r WatchResponse
			eventually(t, func() (ok bool) { r, ok = s.Next(); return ok })
			for _, e := range decodeEvents(t, r) {
				if e.Kv.ModRevision != next {
					t.Fatalf("revision %d in place of %d", e.Kv.ModRevision, next)
				}
				next++
			}
		}
	}
	if held := f.WatchStats().HeldBytes; held != 0 {
		t.Errorf("%d bytes are held although all has been said", held)
	}
}

func TestRequestsWaitWhileTheirAnswersAreNotRead(t *testing.T) {
	f := newFixture(t)
	f.limitWatches(func(l *watchLimits) { l.controls = 2 })
	s := f.stream(t)
	s.create(key("k"))
	s.create(key("k"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AwaitRoom(ctx); err != context.Canceled {
		t.Errorf("there is room: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- s.AwaitRoom(t.Context()) }()
	s.hears("0 created at 1")
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// TestEventIsEncodedOnceHoweverManyWatch looks at the bytes themselves.
func TestEventIsEncodedOnceHoweverManyWatch(t *testing.T) {
	f := newFixture(t)
	a, b := f.stream(t), f.stream(t)
	for _, s := range []*naiveStream{a, b} {
		s.create(key("k"))
		s.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z")})
		s.hears("0 created at 1", "1 created at 1")
	}
	f.put("k", "")
	a.distributed(0)
	var seen []*byte
	for _, s := range []*naiveStream{a, b} {
		for range 2 {
			r, _ := s.Next()
			seen = append(seen, &r.Events[0])
		}
	}
	for _, first := range seen {
		if first != seen[0] {
			t.Fatal("the same event has been encoded twice")
		}
	}
}

// TestIndexFindsTheAudiencesOfAKey compares the tree with a list.
func TestIndexFindsTheAudiencesOfAKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		all := map[interest]*audience{}
		g := requests{t, 0}
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			i, err := interestOf(&pb.WatchCreateRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.coin("prev")})
			if err != nil {
				continue
			}
			if a := all[i]; a != nil {
				delete(all, i)
				x.remove(a)
			} else {
				all[i] = &audience{interest: i}
				x.add(all[i])
			}
			checkSpans(t, x.ranges)
		}
		for _, k := range someKeys {
			found := map[*audience]bool{}
			x.visit(string(k), func(a *audience) bool {
				if found[a] {
					t.Fatalf("%v twice", a.interest)
				}
				found[a] = true
				return true
			})
			for i, a := range all {
				n := naiveWatcher{WatchCreateRequest: &pb.WatchCreateRequest{Key: []byte(i.key), RangeEnd: []byte(i.end)}}
				if want := n.wants(&mvccpb.Event{Kv: &mvccpb.KeyValue{Key: k}}); found[a] != want {
					t.Fatalf("key %q, watched by %q to %q: found %v", k, i.key, i.end, found[a])
				}
			}
		}
	})
}

// checkSpans demands order and balance.
func checkSpans(t fataler, s *spans) {
	if s == nil {
		return
	}
	l, r := s.left.count()+1, s.right.count()+1
	if l > balanceDelta*r || r > balanceDelta*l || s.size != l+r-1 {
		t.Fatalf("%d and %d below a node of %d", l-1, r-1, s.size)
	}
	if s.left != nil && s.order(s.left.key, s.left.end) >= 0 || s.right != nil && s.order(s.right.key, s.right.end) <= 0 {
		t.Fatalf("out of order at %q", s.key)
	}
	checkSpans(t, s.left)
	checkSpans(t, s.right)
}

// TestWatchersAndWritersAtTheSameTime is for the race detector: commands, compactions, readers that come and go.
func TestWatchersAndWritersAtTheSameTime(t *testing.T) {
	f := newFixture(t)
	f.limitWatches(func(l *watchLimits) { *l = tinyWatchLimits; l.watcherRevisions, l.controls = 5, 4 })
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for round := range 20 {
				f.watchInOrder(t, round)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			if stats := f.WatchStats(); stats.Watchers != 0 || stats.Behind != 0 || stats.HeldBytes != 0 {
				t.Errorf("left over: %+v", stats)
			}
			return
		default:
		}
		f.slot++
		f.Apply([]synod.Command{{Slot: f.slot, Data: encode(t, &pb.PutRequest{Key: []byte("k"), Value: fmt.Append(nil, i)})}})
		if i%50 == 49 {
			f.slot++
			f.Apply([]synod.Command{{Slot: f.slot, Data: encode(t, &pb.CompactionRequest{Revision: f.Revision() - 5})}})
		}
	}
}

// watchInOrder watches until it has heard of some revisions, each the one after the last.
func (f *fixture) watchInOrder(t *testing.T, round int) {
	s := f.NewWatchStream()
	defer s.Close()
	s.Create(&pb.WatchCreateRequest{Key: []byte("k"), ProgressNotify: true, StartRevision: int64(round%2) * f.Revision()})
	var last, heard int64
	for heard < 30 {
		r, ok := s.Next()
		if !ok {
			select {
			case <-s.Ready():
			case <-time.After(watchBound):
				t.Errorf("nothing comes after %d", last)
				return
			}
			continue
		}
		for _, e := range decodeEvents(t, r) {
			if last != 0 && e.Kv.ModRevision != last+1 {
				t.Errorf("revision %d after %d", e.Kv.ModRevision, last)
			}
			last = e.Kv.ModRevision
			heard++
		}
		s.NotifyProgress()
		s.RequestProgress()
		if r.CompactRevision != 0 {
			if last >= r.CompactRevision {
				t.Errorf("canceled by a compaction at %d after %d", r.CompactRevision, last)
			}
			return
		}
	}
}
