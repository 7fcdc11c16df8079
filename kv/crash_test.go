package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// logged is one command of a log, and the model as the command has left it.
type logged struct {
	req   proto.Message
	want  Result
	model *model
}

// TestStoreIsThatOfSomeSlotAfterACrash applies a log while memtables are flushed at arbitrary moments, takes images of the disk as a
// crash would leave it, with any part of what was not synced, and opens each. The store must be exactly that of the
// slot which it says it has applied, not before the one that was durable, and with the rest of the log come to what it was.
func TestStoreIsThatOfSomeSlotAfterACrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		log := []logged{{model: m.clone()}} // slot 0
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			req := requests{t, m.rev}.command()
			m.slot++
			resp, err := m.apply(req)
			log = append(log, logged{req, Result{Response: resp, Err: err}, m.clone()})
		}
		seed := rapid.Uint64().Draw(t, "seed")
		fs := vfs.NewCrashableMem()
		f := open(t, fs)
		stop := f.keepFlushing()
		images := f.applyAndCrash(t, fs, log, rand.New(rand.NewPCG(seed, 1)))
		stop()
		f.close()
		for _, image := range images {
			recover := open(t, image.fs)
			slot := recover.Applied()
			if slot < image.durable || slot > image.applied {
				t.Fatalf("recovered slot %d, of which %d was durable and %d applied", slot, image.durable, image.applied)
			}
			recover.mustBe(t, log[slot].model)
			recover.replay(t, log[slot+1:])
			recover.mustBe(t, m)
			recover.close()
		}
	})
}

// keepFlushing flushes memtables, one after the other, until it is told to stop.
func (f *fixture) keepFlushing() (stop func()) {
	var wg sync.WaitGroup
	var stopped atomic.Bool
	wg.Go(func() {
		for !stopped.Load() {
			if err := f.db.Flush(); err != nil {
				f.t.Errorf("flush: %v", err)
				return
			}
		}
	})
	return func() { stopped.Store(true); wg.Wait() }
}

type image struct {
	fs               vfs.FS
	durable, applied paxos.Slot
}

func (f *fixture) applyAndCrash(t *rapid.T, fs *vfs.MemFS, log []logged, rng *rand.Rand) (images []image) {
	for next := 1; next < len(log); {
		n := min(1+rng.IntN(4), len(log)-next)
		f.replay(t, log[next:next+n])
		next += n
		if rng.IntN(2) > 0 {
			continue
		}
		durable, err := f.Durable()
		if err != nil {
			t.Fatalf("durable: %v", err)
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		images = append(images, image{crashed, durable, f.slot})
	}
	return images
}

// replay applies a part of a log in one call, a slot for each command.
func (f *fixture) replay(t *rapid.T, log []logged) {
	var commands []synod.Command
	for _, l := range log {
		f.slot++
		commands = append(commands, synod.Command{Slot: f.slot, Data: encode(t, l.req)})
	}
	for i, r := range f.Apply(commands) {
		compareResult(t, log[i].req, r.(Result), log[i].want)
	}
}

// mustBe compares all that can be read with the model.
func (f *fixture) mustBe(t *rapid.T, m *model) {
	if f.Revision() != m.rev || f.CompactRevision() != m.compacted {
		t.Fatalf("revision %d compacted %d, want %d %d", f.Revision(), f.CompactRevision(), m.rev, m.compacted)
	}
	f.leasesMustBe(t, m)
	for rev := max(m.compacted, 1); rev <= m.rev; rev++ {
		for _, r := range []*pb.RangeRequest{
			{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev},
			{Key: []byte("a"), RangeEnd: []byte("b"), Revision: rev, CountOnly: true},
		} {
			want, err := m.rangeOf(r)
			compareResult(t, r, Result{Response: f.rangeOf(r)}, Result{Response: want, Err: err})
		}
	}
}

// TestSlotAndItsDataComeToDiskTogether fills memtables with values so large that each new one begins with a command's data: if anything
// else of the command were written apart, it would be in the one before, and on disk before it.
func TestSlotAndItsDataComeToDiskTogether(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := openSmall(t, fs, 256<<10)
	const slots = 60
	value := func(slot paxos.Slot) string { return strings.Repeat(fmt.Sprintf("%03d", slot), 30<<10) }
	flushed := map[paxos.Slot]bool{}
	for range slots {
		f.put("a", value(f.slot+1))
		r := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		slot := r.Applied()
		flushed[slot] = true
		kvs := r.at(0).Kvs
		if slot > 0 && (len(kvs) != 1 || string(kvs[0].Value) != value(slot)) || r.Revision() != int64(slot)+1 || r.count(everything) != int64(len(kvs)) {
			t.Fatalf("after a crash: slot %d at revision %d, %d keys, the value is not the slot's", slot, r.Revision(), len(kvs))
		}
		r.close()
	}
	f.close()
	if len(flushed) < 3 {
		t.Fatalf("only slots %v came to disk; the test needs more", flushed)
	}
}

func TestClosedStoreKeepsEverySlot(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := open(t, fs)
	f.put("a", "1")
	f.Advance(7)
	f.close()
	f = open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer f.close()
	if f.Applied() != 7 || f.Revision() != 2 || f.at(0).Count != 1 {
		t.Fatalf("slot %d revision %d", f.Applied(), f.Revision())
	}
}

func TestAdvanceNeverGoesBack(t *testing.T) {
	f := newFixture(t)
	f.Advance(5)
	f.Advance(3)
	if f.Applied() != 5 {
		t.Fatalf("slot %d, want 5", f.Applied())
	}
}

// ailing opens a store that is allowed to fail, and returns what it fails with.
func ailing(t *testing.T, fs vfs.FS) (*Store, <-chan error) {
	t.Helper()
	failed := make(chan error, 2)
	s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, Fail: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	return s, failed
}

// mustFail waits for the store to say why it has stopped.
func mustFail(t *testing.T, failed <-chan error) error {
	t.Helper()
	select {
	case err := <-failed:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the store has not stopped")
		return nil
	}
}

func TestCommandOfANewerVersionStopsTheStoreAndChangesNothing(t *testing.T) {
	for name, command := range map[string][]byte{
		"unknown kind": {200}, "empty": {}, "malformed": {byte(kindPut), 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, failed := ailing(t, fs)
			put := encode(t, &pb.PutRequest{Key: []byte("a")})
			results := s.Apply([]synod.Command{{Slot: 1, Data: put}, {Slot: 2, Data: command}, {Slot: 3, Data: put}})
			for i, r := range results {
				if r.(Result).Err != rpctypes.ErrGRPCTimeoutDueToLeaderFail {
					t.Errorf("result %d: %v", i, r)
				}
			}
			if err := mustFail(t, failed); !strings.Contains(err.Error(), "slot 2") {
				t.Errorf("failed with %v", err)
			}
			if r := s.Apply([]synod.Command{{Slot: 4, Data: put}})[0].(Result); r.Err != rpctypes.ErrGRPCTimeoutDueToLeaderFail {
				t.Errorf("after the failure: %v", r)
			}
			if _, err := s.Range(t.Context(), everything); err != rpctypes.ErrGRPCStopped { // it would be a read without what others have executed
				t.Errorf("a read after the failure: %v", err)
			}
			s.Advance(9)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			f := open(t, fs)
			defer f.close()
			if f.Applied() != 0 || f.Revision() != 1 {
				t.Fatalf("slot %d revision %d have come to disk", f.Applied(), f.Revision())
			}
		})
	}
}

var errDisk = errors.New("the disk is on fire")

// failing makes operations on tables fail once broken is set.
func failing(fs vfs.FS, broken *atomic.Bool, kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !broken.Load() || !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		for _, k := range kinds {
			if op.Kind == k {
				return errDisk
			}
		}
		return nil
	}))
}

func TestWriteErrorStopsTheStore(t *testing.T) {
	for name, kind := range map[string]errorfs.OpKind{"create": errorfs.OpCreate, "write": errorfs.OpFileWrite, "sync": errorfs.OpFileSyncData} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			s, failed := ailing(t, failing(vfs.NewMem(), &broken, kind))
			put := encode(t, &pb.PutRequest{Key: []byte("a"), Value: []byte("1")})
			s.Apply([]synod.Command{{Slot: 1, Data: put}})
			broken.Store(true)
			if _, err := s.db.AsyncFlush(); err != nil {
				t.Fatal(err)
			}
			if err := mustFail(t, failed); !errors.Is(err, errDisk) {
				t.Errorf("failed with %v", err)
			}
			if r := s.Apply([]synod.Command{{Slot: 2, Data: put}})[0].(Result); r.Err != rpctypes.ErrGRPCTimeoutDueToLeaderFail {
				t.Errorf("acknowledged after a write error: %v", r)
			}
			broken.Store(false)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReadStopsTheStoreUnlessItsErrorIsAnAnswerOrItsContextHasEnded(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name      string
		ctx       context.Context
		err, want error
		stops     bool
	}{
		{"an answer", t.Context(), rpctypes.ErrGRPCCompacted, rpctypes.ErrGRPCCompacted, false},
		{"the context's end", ended, context.Canceled, context.Canceled, false},
		{"the disk", t.Context(), errDisk, rpctypes.ErrGRPCStopped, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, failed := ailing(t, vfs.NewMem())
			if err := s.read(c.ctx, func(*view) error { return c.err }); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.stops != errors.Is(s.Err(), errDisk) || c.stops != (len(failed) == 1) {
				t.Errorf("store: %v, Fail was called %d times", s.Err(), len(failed))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReadErrorStopsTheStore(t *testing.T) {
	var broken atomic.Bool
	fs := vfs.NewMem()
	f := open(t, fs)
	for i := range 64 { // more than the blocks that opening the store reads
		f.put(fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 4<<10))
	}
	f.close()
	for name, c := range map[string]struct {
		read   func(s *Store) error
		answer error
	}{
		"range": {func(s *Store) error { _, err := s.Range(t.Context(), everything); return err }, rpctypes.ErrGRPCStopped},
		"apply": {func(s *Store) error {
			return s.Apply([]synod.Command{{Slot: 9, Data: encode(t, &pb.PutRequest{Key: []byte("40")})}})[0].(Result).Err
		}, rpctypes.ErrGRPCTimeoutDueToLeaderFail},
	} {
		t.Run(name, func(t *testing.T) {
			broken.Store(false)
			s, failed := ailing(t, failing(fs, &broken, errorfs.OpFileReadAt, errorfs.OpOpen))
			broken.Store(true)
			if err := c.read(s); err != c.answer {
				t.Errorf("got %v, want %v", err, c.answer)
			}
			if err := mustFail(t, failed); !errors.Is(err, errDisk) {
				t.Errorf("failed with %v", err)
			}
			broken.Store(false)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBatchIsCutBetweenSlotsOnly: a batch that ended within a slot would make a store that crashes after it execute the slot's first
// commands twice.
func TestBatchIsCutBetweenSlotsOnly(t *testing.T) {
	f := newFixture(t)
	big := encode(t, &pb.PutRequest{Key: []byte("a"), Value: make([]byte, batchBytes/4)})
	var commands []synod.Command
	for i := range 12 {
		commands = append(commands, synod.Command{Slot: paxos.Slot(1 + i/6), Data: big})
	}
	f.mu.Lock()
	n, err := f.applySome(commands, make([]any, len(commands)))
	f.mu.Unlock()
	if n != 6 || err != nil || f.Applied() != 1 || f.Revision() != 7 {
		t.Fatalf("%d commands up to slot %d at revision %d, %v; want the first slot's six", n, f.Applied(), f.Revision(), err)
	}
	for _, r := range f.Apply(commands[6:]) {
		if r.(Result).Err != nil {
			t.Fatalf("then: %v", r)
		}
	}
	if f.Applied() != 2 || f.Revision() != 13 {
		t.Fatalf("then slot %d at revision %d", f.Applied(), f.Revision())
	}
}
