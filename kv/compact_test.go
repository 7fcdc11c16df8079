package kv

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

var everything = &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}

// stepping hands the sweeper's work to the test: nothing is deleted but by sweepStep. The function returned gives it back.
func (f *fixture) stepping() (resume func()) {
	f.stopSweeper()
	return f.startSweeper
}

// at reads everything at a revision.
func (f *fixture) at(rev int64) *pb.RangeResponse {
	f.t.Helper()
	r := proto.Clone(everything).(*pb.RangeRequest)
	r.Revision = rev
	return f.rangeOf(r)
}

// stored lists the versions and changes in the database.
func (f *fixture) stored() (versions, changes []string) {
	f.t.Helper()
	it, err := f.db.NewIter(nil)
	if err != nil {
		f.t.Fatalf("iterate: %v", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		switch it.Key()[0] {
		case spaceVersions:
			v, err := parseVersion(it.Key(), it.Value())
			if err != nil {
				f.t.Fatalf("%v", err)
			}
			versions = append(versions, fmt.Sprintf("%q %d %v", v.key, v.at.main, v.live))
		case spaceChanges:
			c, err := parseChange(it.Key(), it.Value())
			if err != nil {
				f.t.Fatalf("%v", err)
			}
			changes = append(changes, fmt.Sprintf("%q %d %v", c.key, c.at.main, !c.dead))
		}
	}
	if err := it.Close(); err != nil {
		f.t.Fatalf("iterate: %v", err)
	}
	return versions, changes
}

// TestCompactionNeverShows drives two stores through the same commands. One deletes as soon as it may, the other in single steps at random
// moments; neither's answers, hashes included, may tell which it is.
func TestCompactionNeverShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		swift, slow := open(t, vfs.NewMem()), open(t, vfs.NewMem())
		defer swift.close()
		defer slow.close()
		defer slow.stepping()()
		m := newModel()
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			req := requests{t, m.rev}.command()
			resp, err := m.apply(req)
			for _, f := range []*fixture{swift, slow} {
				got, gotErr := f.do(req)
				compareResult(t, req, Result{Response: got, Err: gotErr}, Result{Response: resp, Err: err})
			}
			if rapid.Bool().Draw(t, "step") {
				slow.step()
			}
			swift.awaitCompaction()
			swift.compareReads(t, m, 2)
			slow.compareReads(t, m, 2)
			for rev := max(m.compacted, 1); rev <= m.rev; rev++ {
				if a, b := swift.hash(rev), slow.hash(rev); !proto.Equal(a, b) {
					t.Fatalf("hashes at %d: %v of the swift, %v of the slow", rev, a, b)
				}
			}
		}
	})
}

// step does one step of the sweeper's work and reports whether it was the last.
func (f *fixture) step() bool {
	f.t.Helper()
	done, err := f.sweepStep()
	if err != nil {
		f.t.Fatalf("sweep: %v", err)
	}
	return done
}

func (f *fixture) hash(rev int64) *pb.HashKVResponse {
	f.t.Helper()
	resp, err := f.HashKV(context.Background(), rev)
	if err != nil {
		f.t.Fatalf("hash at %d: %v", rev, err)
	}
	return resp
}

// TestAHashUpToANegativeRevisionIsThatOfNothing has what etcd 3.7.3 answers: the hash of the bucket's name.
func TestAHashUpToANegativeRevisionIsThatOfNothing(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	for _, rev := range []int64{-1, math.MinInt64} {
		if got := f.hash(rev); got.Hash != 1084519789 || got.HashRevision != rev || got.Header.Revision != 2 {
			t.Errorf("at %d: %v", rev, got)
		}
	}
}

func TestCompactionDeletesExactlyWhatCannotBeReadAnyMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := open(t, vfs.NewMem())
		defer f.close()
		m := newModel()
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			f.applyBoth(t, m, rapid.IntRange(1, 8).Draw(t, "commands"))
			if rapid.Bool().Draw(t, "wait") {
				f.awaitCompaction()
			}
		}
		f.awaitCompaction()
		versions, changes := f.stored()
		if want := m.retained(); !slices.Equal(once(versions), want) {
			t.Fatalf("compacted at %d\n got %v\nwant %v", m.compacted, versions, want)
		}
		slices.Sort(versions)
		slices.Sort(changes)
		if !slices.Equal(versions, changes) {
			t.Fatalf("versions and changes differ:\n%v\n%v", versions, changes)
		}
	})
}

// retained lists what must be stored: all after the compaction, and of each key the newest up to it, unless that is a
// tombstone older than the compaction.
func (m *model) retained() (all []string) {
	for key, stamps := range m.keys {
		for i, s := range stamps {
			newest := i == len(stamps)-1 || stamps[i+1].rev > m.compacted
			if s.rev > m.compacted || newest && (s.live || s.rev == m.compacted) {
				all = append(all, fmt.Sprintf("%q %d", key, s.rev))
			}
		}
	}
	slices.Sort(all)
	return all
}

// once drops what the model does not know: whether a version is live, and that a command which both puts and deletes a key makes two.
func once(versions []string) (keys []string) {
	for _, v := range versions {
		keys = append(keys, v[:strings.LastIndex(v, " ")])
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func TestCompactionCoversTheKeptTombstoneNextTime(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	deleted := f.delete("a")
	f.compactTo(deleted)
	f.awaitCompaction()
	if versions, _ := f.stored(); len(versions) != 1 {
		t.Fatalf("after compaction at the deletion: %v, want its tombstone", versions)
	}
	f.compactTo(f.put("b", "1"))
	f.awaitCompaction()
	if versions, changes := f.stored(); len(versions) != 1 || len(changes) != 1 || versions[0] != `"b" 4 true` {
		t.Fatalf("after the next compaction: %v and %v, want b alone", versions, changes)
	}
}

func TestCompactionWorksInSmallStepsThatReadsAndWritesMayInterrupt(t *testing.T) {
	f := newFixture(t)
	resume := f.stepping()
	for i := range 3 * sweepChanges {
		f.put("key", fmt.Sprint(i))
	}
	last := f.put("key", "last")
	f.compactTo(last)
	steps := 0
	for !f.step() {
		steps++
		if got := f.at(last); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "last" {
			t.Fatalf("after %d steps: %v", steps, got)
		}
		f.put("other", "x")
	}
	if steps < 2 {
		t.Fatalf("the compaction took %d steps, want several", steps)
	}
	if _, err := f.Range(context.Background(), &pb.RangeRequest{Key: []byte("key"), Revision: last - 1}); !sameError(err, rpctypes.ErrGRPCCompacted) {
		t.Fatalf("below the compaction: %v", err)
	}
	resume()
	f.awaitCompaction()
	if versions, _ := f.stored(); len(versions) != 1+steps {
		t.Fatalf("left: %v", versions)
	}
}

func TestCompactionMayBeOvertakenByALaterOneAtAnyStep(t *testing.T) {
	f := newFixture(t)
	resume := f.stepping()
	for i := range sweepChanges - 3 {
		f.put(fmt.Sprintf("k%03d", i%7), "x")
	}
	all := &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	f.must(all) // seven tombstones of one revision, of which the first step sees three
	first := f.Revision()
	f.compactTo(first)
	if f.step() {
		t.Fatal("one step was enough; the test wants it to end within the revision")
	}
	f.put("last", "x")
	f.compactTo(f.Revision())
	resume()
	f.awaitCompaction()
	if versions, changes := f.stored(); len(versions) != 1 || len(changes) != 1 {
		t.Fatalf("left: %v and %v, want the last key alone", versions, changes)
	}
}

func TestTheSweeperTakesMoreOfTheTimeOnlyWhileHistoryGrowsFasterThanItIsDeleted(t *testing.T) {
	f := newFixture(t)
	resume := f.stepping()
	want := sweepPartsMax
	for range 6 {
		for range 2 * sweepChanges {
			f.put("key", "x")
		}
		f.compactTo(f.Revision())
		if f.step() || f.sweeper.parts != want {
			t.Fatalf("it works one part of %d, want %d", f.sweeper.parts, want)
		}
		want = max(want/2, sweepPartsMin)
	}
	for !f.step() {
	}
	if f.sweeper.parts != sweepPartsMax {
		t.Fatalf("it works one part of %d when all is deleted, want %d", f.sweeper.parts, sweepPartsMax)
	}
	resume()
}

// TestACompactionIsNotDoneBeforeWhatALaterOneAllowsIsDeleted has a compaction come between the reading and the deleting of a step.
func TestACompactionIsNotDoneBeforeWhatALaterOneAllowsIsDeleted(t *testing.T) {
	f := newFixture(t)
	resume := f.stepping()
	f.compactTo(f.put("key", "1"))
	read := cursor{target: f.CompactRevision(), next: revision{main: f.CompactRevision() + 1}}
	f.compactTo(f.put("key", "2"))
	batch := f.db.NewBatch()
	defer batch.Close()
	if done, err := f.commitSweep(f.db, batch, read, 0); done || err != nil {
		t.Fatalf("done %v, %v", done, err)
	}
	select {
	case <-f.sweeper.swept():
		t.Fatal("it is said that all is deleted")
	default:
	}
	resume()
	f.awaitCompaction()
	if versions, _ := f.stored(); len(versions) != 1 {
		t.Fatalf("left: %v", versions)
	}
}

// TestNothingIsDeletedFromADatabaseThatHasTakenTheOthersPlace: what was read of the old one says nothing of the new one.
func TestNothingIsDeletedFromADatabaseThatHasTakenTheOthersPlace(t *testing.T) {
	f := newFixture(t)
	resume := f.stepping()
	f.put("key", "1")
	old := f.db
	batch := old.NewBatch()
	defer batch.Close()
	other := newFixture(t)
	other.put("other", "1")
	if err := f.receive(50, other.pack()).Install(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Set(cursorKey, cursor{target: 9, next: revision{main: 10}}.encode(), nil); err != nil {
		t.Fatal(err)
	}
	size := f.Size()
	if done, err := f.commitSweep(old, batch, cursor{target: 9, next: revision{main: 10}}, size); done || err != nil {
		t.Fatalf("done %v, %v", done, err)
	}
	if c, err := loadCursor(f.db); c.target != 0 || err != nil || f.Size() != size {
		t.Fatalf("the cursor is %v (%v), the size %d of %d", c, err, f.Size(), size)
	}
	resume()
}

// TestRevisionSurvivesCompactionOfEverything is etcd's bug 17780: the revision must not go back when the newest change is compacted away.
func TestRevisionSurvivesCompactionOfEverything(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.put("a", "1")
	rev := f.delete("a")
	f.compactTo(rev)
	f.awaitCompaction()
	f.close()
	f = open(t, fs)
	defer f.close()
	if f.Revision() != rev || f.CompactRevision() != rev {
		t.Fatalf("revision %d compacted %d, want %d", f.Revision(), f.CompactRevision(), rev)
	}
	if next := f.put("a", "2"); next != rev+1 {
		t.Fatalf("next revision %d, want %d", next, rev+1)
	}
}

func TestAwaitCompactionEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	f.mu.Lock() // so the sweeper cannot work
	f.sweeper.begin()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := f.AwaitCompaction(ctx)
	f.mu.Unlock()
	if err != context.Canceled {
		t.Fatalf("got %v", err)
	}
}

// TestTxnReadsAtARevisionAreDecidedByTheLog is etcd's bug 18667: whether a transaction may read at a revision must not depend on
// whether this replica has deleted it yet.
func TestTxnReadsAtARevisionAreDecidedByTheLog(t *testing.T) {
	f := newFixture(t)
	defer f.stepping()()
	old := f.put("a", "1")
	f.put("a", "2")
	f.compactTo(old + 1)
	txn := &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b")}}},
		{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), Revision: old}}},
	}}
	before := f.Revision()
	if versions, _ := f.stored(); len(versions) != 2 {
		t.Fatalf("the old version is gone already: %v", versions)
	}
	if _, err := f.do(txn); !sameError(err, rpctypes.ErrGRPCCompacted) {
		t.Fatalf("got %v", err)
	}
	if f.Revision() != before || f.at(0).Count != 1 {
		t.Fatalf("the refused transaction has changed something")
	}
}

func TestEventsAreWhatEachRevisionChanged(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	f.put("a", "2")
	f.must(&pb.DeleteRangeRequest{Key: []byte("a")})
	type seen struct {
		rev              int64
		typ              mvccpb.Event_EventType
		key, value, prev string
	}
	list := func(from, to int64) (all []seen, err error) {
		err = f.Events(context.Background(), from, to, func(rev int64, events []*mvccpb.Event) error {
			for _, e := range events {
				all = append(all, seen{rev, e.Type, string(e.Kv.Key), string(e.Kv.Value), string(e.PrevKv.GetValue())})
			}
			return nil
		})
		return all, err
	}
	got, err := list(1, 100)
	want := []seen{{2, mvccpb.Event_PUT, "a", "1", ""}, {3, mvccpb.Event_PUT, "a", "2", "1"}, {4, mvccpb.Event_DELETE, "a", "", "2"}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v %v, want %v", got, err, want)
	}
	f.compactTo(4)
	f.awaitCompaction()
	if got, err := list(4, 4); err != nil || fmt.Sprint(got) != fmt.Sprint([]seen{{4, mvccpb.Event_DELETE, "a", "", ""}}) {
		t.Fatalf("at the compacted revision: %v %v", got, err)
	}
	if _, err := list(3, 4); !sameError(err, rpctypes.ErrGRPCCompacted) {
		t.Fatalf("below the compacted revision: %v", err)
	}
	if got, err := list(5, 9); err != nil || len(got) != 0 {
		t.Fatalf("of the future: %v %v", got, err)
	}
	stop := fmt.Errorf("enough")
	if err := f.Events(context.Background(), 4, 4, func(int64, []*mvccpb.Event) error { return stop }); err != stop || f.Err() != nil {
		t.Fatalf("an error of the callback: %v, store %v", err, f.Err())
	}
}

func TestAHistoryTrimCompactsOnNobodysBehalfAndNeverFails(t *testing.T) {
	f := newFixture(t)
	for range 9 {
		f.put("a", "1")
	}
	f.found()
	for _, c := range []struct{ revision, want int64 }{{0, -1}, {-3, -1}, {5, 5}, {4, 5}, {5, 5}, {99, 5}, {7, 7}} {
		if r := f.keepUp(historyTrim{c.revision}); r.Err != nil || f.CompactRevision() != c.want {
			t.Errorf("at %d: %v, compacted at %d, want %d", c.revision, r.Err, f.CompactRevision(), c.want)
		}
	}
	f.alarm(3, pb.AlarmType_CORRUPT, true)
	f.keepUp(historyTrim{f.Revision()})
	if got := f.CompactRevision(); got != 7 {
		t.Errorf("compacted at %d although the store is said to be corrupt", got)
	}
}
