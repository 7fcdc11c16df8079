package kv

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
	"synod.dev/synod/disk"
)

func (f *fixture) digestNow() uint64 {
	f.t.Helper()
	d, known := f.Digest()
	if !known {
		f.t.Fatalf("the digest is not known")
	}
	return d
}

// Replicas have one digest at one slot, however they cut the log, whatever they have deleted, and whether they came there by the log, by a restart or by a snapshot.
func TestReplicasHaveOneDigestHoweverTheyGotThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		log := []logged{{model: m.clone()}}
		for range rapid.IntRange(2, 60).Draw(t, "commands") {
			req := requests{t, m.rev}.command()
			m.slot++
			resp, err := m.apply(req)
			log = append(log, logged{req, Result{Response: resp, Err: err}, m.clone()})
		}
		disk := vfs.NewMem()
		swift, cutter, receiver := open(t, vfs.NewMem()), open(t, disk), open(t, vfs.NewMem())
		defer swift.close()
		defer receiver.close()
		image := rapid.IntRange(1, len(log)-1).Draw(t, "image")
		behind := rapid.IntRange(0, image-1).Draw(t, "behind")
		swift.replay(t, log[1:image+1])
		packed := swift.pack()
		swift.replay(t, log[image+1:])
		for next := 1; next < len(log); {
			n := rapid.IntRange(1, len(log)-next).Draw(t, "batch")
			cutter.applyAtOnce(log[next : next+n])
			next += n
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0:
				cutter.awaitCompaction()
			case 1:
				cutter.close()
				cutter = open(t, disk)
			}
		}
		defer cutter.close()
		receiver.replay(t, log[1:behind+1])
		if err := receiver.receive(uint64(image), packed).Install(); err != nil {
			t.Fatal(err)
		}
		receiver.slot = receiver.Applied()
		receiver.replay(t, log[image+1:])
		want := swift.digestNow()
		if a, b := cutter.digestNow(), receiver.digestNow(); a != want || b != want {
			t.Fatalf("digests %x, %x after restarts and %x after a snapshot", want, a, b)
		}
		for _, f := range []*fixture{swift, cutter, receiver} {
			if err := f.Verify(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// applyAtOnce executes a part of the log in one call.
func (f *fixture) applyAtOnce(part []logged) {
	f.t.Helper()
	var commands []synod.Command
	for _, l := range part {
		f.slot++
		commands = append(commands, synod.Command{Slot: f.slot, Data: encode(f.t, l.req)})
	}
	f.Apply(commands)
}

// Whatever a replica does otherwise shows in its digest, and goes on to show when its keys are the same again.
func TestADigestTellsOfWhateverWasDoneOtherwise(t *testing.T) {
	put := func(key, value string) proto.Message {
		return &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
	}
	common := []proto.Message{put("a", "1"), put("b", "2"), &pb.LeaseGrantRequest{ID: 7, TTL: 60}}
	seen := map[uint64]string{}
	for name, own := range map[string][]proto.Message{
		"nothing":               {},
		"another value":         {put("a", "2")},
		"another key":           {put("c", "1")},
		"the same value again":  {put("a", "1")},
		"deleted and put again": {&pb.DeleteRangeRequest{Key: []byte("a")}, put("a", "1")},
		"there and back":        {put("a", "2"), put("a", "1")},
		"a refused command":     {&pb.PutRequest{Key: []byte("x"), IgnoreValue: true}},
		"another refusal":       {&pb.PutRequest{Key: []byte("x"), Lease: 99}},
		"a compaction":          {&pb.CompactionRequest{Revision: 2}},
		"another lease":         {&pb.LeaseGrantRequest{ID: 8, TTL: 60}},
		"a lease revoked":       {&pb.LeaseRevokeRequest{ID: 7}},
		"an attachment":         {&pb.PutRequest{Key: []byte("a"), Value: []byte("1"), Lease: 7}},
		"a role":                {&pb.AuthRoleAddRequest{Name: "r"}},
	} {
		f := newFixture(t)
		for _, req := range append(common, own...) {
			f.do(req)
		}
		d := f.digestNow()
		if other, there := seen[d]; there {
			t.Errorf("%s, and %s, have one digest", name, other)
		}
		seen[d] = name
	}
	for name, command := range map[string][]byte{
		"an alarm":                 EncodeAlarm(&pb.AlarmMember{MemberID: 1, Alarm: pb.AlarmType_NOSPACE}, true),
		"an advance of the clock":  clockAdvance{0, time.Second}.encode(),
		"a renewal":                EncodeLeaseRenewal([]int64{7}),
		"the same at another slot": nil,
	} {
		f := newFixture(t)
		for _, req := range common {
			f.do(req)
		}
		if command == nil {
			f.slot++
			command = EncodeLeaseRenewal([]int64{7})
		}
		f.slot++
		f.Apply([]synod.Command{{Slot: f.slot, Data: command}})
		d := f.digestNow()
		if other, there := seen[d]; there {
			t.Errorf("%s, and %s, have one digest", name, other)
		}
		seen[d] = name
	}
}

// Rows that change without a command, under a sound checksum, are found by reading them all.
func TestVerifyFindsRowsThatNoCommandHasWritten(t *testing.T) {
	row := appendRevision(appendPrefix(nil, []byte("key-0500")), revision{main: 502})
	for name, harm := range map[string]func(*pebble.DB) error{
		"another value": func(db *pebble.DB) error {
			return db.Set(row, appendVersion(nil, &version{live: true, created: 502, count: 1, value: []byte("bent")}), pebble.NoSync)
		},
		"a lost row": func(db *pebble.DB) error { return db.Delete(row, pebble.NoSync) },
		"one more": func(db *pebble.DB) error {
			return db.Set(appendRevision(appendPrefix(nil, []byte("zzz")), revision{main: 502}), appendVersion(nil, &version{live: true, created: 502, count: 1}), pebble.NoSync)
		},
	} {
		var failure error
		fs := vfs.NewMem()
		s, err := openStore(Config{Dir: "db", FS: fs, Logger: quiet, CacheBytes: 8 << 20, Fail: func(err error) { failure = err }}, memTableBytes)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{Store: s, t: t}
		for n := range 1000 {
			f.put("key-"+string(padded(n)), "value")
		}
		if err := f.Verify(t.Context()); err != nil || failure != nil {
			t.Fatalf("%s, before: %v, %v", name, err, failure)
		}
		if err := harm(f.db.DB); err != nil {
			t.Fatal(err)
		}
		f.put("other", "value") // from now on readers see it
		f.Verify(t.Context())
		if !errors.Is(failure, errCorrupt) || !strings.Contains(failure.Error(), "digest") {
			t.Errorf("%s: %v", name, failure)
		}
		s.Close()
	}
}

func padded(n int) []byte {
	return []byte{byte('0' + n/1000), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)}
}

func TestVerifyEndsWithItsCaller(t *testing.T) {
	f := newFixture(t)
	for n := range 2 * digestStep {
		f.put("key-"+string(padded(n)), "value")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A store that a version without digests has begun never claims to have one.
func TestAStoreOfOldHasNoDigest(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.put("a", "1")
	old := f.state
	old.digest = digest{}
	if err := f.db.Set(stateKey, old.encode(), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	f.close()
	f = open(t, fs)
	defer f.close()
	f.put("a", "2")
	if d, known := f.Digest(); known {
		t.Errorf("it has the digest %x", d)
	}
	if err := f.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// A check of a store that is not open compares the digest, too.
func TestCheckComparesTheDigest(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.put("a", "1")
	bent := f.state
	bent.digest.live++
	if err := f.db.Set(stateKey, bent.encode(), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	f.close()
	var found []string
	if _, err := Check(fs, "db", disk.Inspection{Found: func(f disk.Finding) { found = append(found, f.Problem) }, Progress: func(string, int64, int64) {}}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !strings.Contains(found[0], "digest") {
		t.Errorf("found %q", found)
	}
}
