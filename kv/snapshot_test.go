package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// pack writes an image of a store.
func (f *fixture) pack() []byte {
	f.t.Helper()
	image, err := f.Snapshot()
	if err != nil {
		f.t.Fatalf("snapshot: %v", err)
	}
	return f.unroll(image)
}

func (f *fixture) unroll(image synod.Image) []byte {
	f.t.Helper()
	var b bytes.Buffer
	n, err := image.WriteTo(&b)
	if err := errors.Join(err, image.Close()); err != nil || int(n) != b.Len() {
		f.t.Fatalf("%d bytes are written, %d are said to be: %v", b.Len(), n, err)
	}
	return b.Bytes()
}

// receive writes a snapshot to the side.
func (f *fixture) receive(slot uint64, content []byte) synod.Installation {
	f.t.Helper()
	i, err := f.Receive(paxos.Slot(slot), bytes.NewReader(content))
	if err != nil {
		f.t.Fatalf("receive: %v", err)
	}
	return i
}

func (f *fixture) hashNow() uint32 {
	f.t.Helper()
	resp, err := f.HashKV(context.Background(), 0)
	if err != nil {
		f.t.Fatalf("hash: %v", err)
	}
	return resp.Hash
}

// TestASnapshotIsTheStore takes an image in the middle of a log, goes on, and installs the image in another store, which had executed another part of the log. From there
// that store comes to where the first one is.
func TestASnapshotIsTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		log := []logged{{model: m.clone()}}
		for range rapid.IntRange(2, 60).Draw(t, "commands") {
			req := requests{t, m.rev}.command()
			m.slot++
			resp, err := m.apply(req)
			log = append(log, logged{req, Result{Response: resp, Err: err}, m.clone()})
		}
		at := rapid.IntRange(1, len(log)-1).Draw(t, "image")
		behind := rapid.IntRange(0, at-1).Draw(t, "behind")
		sender, receiver := open(t, vfs.NewMem()), open(t, vfs.NewMem())
		defer receiver.close()
		defer sender.close()
		sender.replay(t, log[1:at+1])
		image, err := sender.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		sender.replay(t, log[at+1:]) // the image does not see it
		receiver.replay(t, log[1:behind+1])
		i := receiver.receive(uint64(at), sender.unroll(image))
		receiver.mustBe(t, log[behind].model)
		if err := i.Install(); err != nil {
			t.Fatal(err)
		}
		if receiver.Applied() != paxos.Slot(uint64(at)) {
			t.Fatalf("applied slot %d, the snapshot is of %d", receiver.Applied(), at)
		}
		if durable, err := receiver.Durable(); err != nil || durable != receiver.Applied() {
			t.Fatalf("durable up to %d: %v", durable, err)
		}
		receiver.mustBe(t, log[at].model)
		receiver.slot = receiver.Applied()
		receiver.replay(t, log[at+1:])
		receiver.mustBe(t, m)
		if a, b := sender.hashNow(), receiver.hashNow(); a != b {
			t.Fatalf("hashes %x and %x", a, b)
		}
	})
}

func TestASnapshotOfALaterSlotRaisesTheAppliedSlot(t *testing.T) {
	f, g := newFixture(t), newFixture(t)
	f.put("a", "1")
	if err := g.receive(40, f.pack()).Install(); err != nil {
		t.Fatal(err)
	}
	if g.Applied() != 40 {
		t.Errorf("applied up to %d", g.Applied())
	}
	if _, err := g.Receive(0, bytes.NewReader(f.pack())); !errors.Is(err, errCorrupt) {
		t.Errorf("a snapshot of a slot before its own effects: %v", err)
	}
}

// At every call to the disk while a snapshot is received and installed the power may fail: the store is the old one or the new one, whole.
func TestACrashLeavesTheOldStoreOrTheNewOne(t *testing.T) {
	source := newFixture(t)
	for n := range 300 {
		source.put(fmt.Sprintf("new-%03d", n), strings.Repeat("x", 100))
	}
	packed, want := source.pack(), source.hashNow()

	fs := vfs.NewCrashableMem()
	f := open(t, fs)
	f.put("old", "1")
	if err := f.db.Flush(); err != nil {
		t.Fatal(err)
	}
	before := f.hashNow()
	var images []*vfs.MemFS
	crash := func() { images = append(images, fs.CrashClone(vfs.CrashCloneCfg{})) }
	i, err := f.Receive(paxos.Slot(400), &observed{bytes.NewReader(packed), crash})
	if err != nil {
		t.Fatal(err)
	}
	crash()
	if err := i.Install(); err != nil {
		t.Fatal(err)
	}
	crash()
	f.retired.Wait()
	crash()
	f.close()
	found := map[uint32]int{}
	for n, image := range images {
		g := open(t, image)
		hash := g.hashNow()
		found[hash]++
		installed := n >= len(images)-2
		if hash == want && g.Applied() != 400 || hash == before && g.Applied() != 1 || hash != want && hash != before || installed != (hash == want) {
			t.Errorf("image %d of %d: hash %x at slot %d; it was %x, and is to be %x", n, len(images), hash, g.Applied(), before, want)
		}
		names, err := image.List("db")
		if err != nil || len(names) > 2 {
			t.Errorf("image %d is left with %q: %v", n, names, err)
		}
		g.close()
	}
	if found[want] != 2 || found[before] < 3 {
		t.Errorf("the images hold %v", found)
	}
}

// observed calls fn at each read.
type observed struct {
	io.Reader
	fn func()
}

func (o *observed) Read(p []byte) (int, error) {
	o.fn()
	return o.Reader.Read(p[:min(len(p), 8<<10)])
}

func TestAStreamThatIsCutOrGarbageLeavesNothing(t *testing.T) {
	source := newFixture(t)
	source.put("a", strings.Repeat("x", 1000))
	packed := source.pack()
	fs := vfs.NewMem()
	f := open(t, fs)
	defer f.close()
	f.put("b", "1")
	broken := errors.New("the sender is gone")
	for name, r := range map[string]io.Reader{
		"cut within a row": bytes.NewReader(packed[:len(packed)-3]),
		"the sender's end": io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), &cutOff{broken}),
		"a giant row":      bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}),
		"no state row":     bytes.NewReader(appendRow(nil, []byte{spaceVersions}, nil)),
		"nothing":          bytes.NewReader(nil),
	} {
		if _, err := f.Receive(9, r); err == nil {
			t.Errorf("%s: it is received", name)
		}
		names, err := fs.List("db")
		if err != nil || len(names) != 1 {
			t.Errorf("%s: it is left with %q: %v", name, names, err)
		}
	}
	if err := f.receive(9, packed).Discard(); err != nil {
		t.Error(err)
	}
	if names, _ := fs.List("db"); len(names) != 1 {
		t.Errorf("after a discard it is left with %q", names)
	}
	if f.Revision() != 2 {
		t.Errorf("revision %d", f.Revision())
	}
}

type cutOff struct{ err error }

func (f *cutOff) Read([]byte) (int, error) { return 0, f.err }

// A reader sees the old state or the new one while the store is switched, and one that is under way ends with what it has begun with.
func TestReadersGoOnWhileTheStoreIsSwitched(t *testing.T) {
	source, f := newFixture(t), newFixture(t)
	for n := range 200 {
		f.put(fmt.Sprintf("k%03d", n), "old")
	}
	for range 2 {
		for n := range 200 {
			source.put(fmt.Sprintf("k%03d", n), "new")
		}
	}
	packed := source.pack()
	var readers sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				resp, err := f.Range(context.Background(), &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
				if err != nil || len(resp.Kvs) != 200 || !bytes.Equal(resp.Kvs[0].Value, resp.Kvs[199].Value) {
					t.Errorf("a reader sees %d keys: %v", len(resp.GetKvs()), err)
					return
				}
				if _, err := f.HashKV(context.Background(), 0); err != nil {
					t.Errorf("hash: %v", err)
				}
				if _, err := f.Durable(); err != nil {
					t.Errorf("durable: %v", err)
				}
			}
		})
	}
	err := f.read(context.Background(), func(v *view) error { // it holds the old state
		if err := f.receive(500, packed).Install(); err != nil {
			return err
		}
		ver, err := v.get([]byte("k000"), v.revision)
		if err != nil || string(ver.value) != "old" {
			t.Errorf("the reader that was under way sees %q: %v", ver.value, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	done.Store(true)
	readers.Wait()
	if f.hashNow() != source.hashNow() {
		t.Error("the hashes differ")
	}
	f.retired.Wait()
}

// What a watcher lacks it is fed from the new state's history.
func TestWatchersGoOnWithTheNewHistory(t *testing.T) {
	source, f := newFixture(t), newFixture(t)
	for n := range 50 {
		source.put("k", fmt.Sprint(n))
	}
	f.put("k", "0")
	ws := f.NewWatchStream()
	defer ws.Close()
	ws.Create(&pb.WatchCreateRequest{Key: []byte("k")})
	if err := f.receive(50, source.pack()).Install(); err != nil {
		t.Fatal(err)
	}
	late := time.After(10 * time.Second)
	events, last := 0, int64(0)
	for last < source.Revision() {
		select {
		case <-ws.Ready():
		case <-late:
			t.Fatalf("it has heard up to revision %d, the store is at %d", last, source.Revision())
		}
		for {
			r, ok := ws.Next()
			if !ok {
				break
			}
			events += len(decodeEvents(t, r))
			if len(r.Events) > 0 {
				last = r.Revision
			}
		}
	}
	if events != 49 {
		t.Errorf("%d events: revisions 3 to 51 are 49", events)
	}
}

func TestFlushMakesTheAppliedSlotDurable(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	if durable, err := f.Durable(); err != nil || durable != 0 {
		t.Fatalf("durable up to %d: %v", durable, err)
	}
	flushed, err := f.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	f.Flush()
	<-flushed
	if durable, err := f.Durable(); err != nil || durable != 1 {
		t.Errorf("durable up to %d: %v", durable, err)
	}
}

func FuzzReceive(f *testing.F) {
	source := open(f, vfs.NewMem())
	defer source.close()
	source.put("a", "1")
	packed := source.pack()
	f.Add(packed)
	f.Add(packed[:len(packed)/2])
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		g := newFixture(t)
		i, err := g.Receive(7, bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := i.Discard(); err != nil {
			t.Fatal(err)
		}
	})
}
