package etcdsnapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

var origin = Origin{Index: 7, Term: 2, ClusterVersion: "3.7.0", StorageVersion: "3.7.0", Members: []*pb.Member{
	{ID: 0xa, Name: "a", PeerURLs: []string{"http://127.0.0.1:1"}, ClientURLs: []string{"http://127.0.0.1:2"}}}}

func open(t testing.TB) *kv.Store {
	t.Helper()
	s, err := kv.Open(kv.Config{Dir: t.TempDir(), Fail: func(err error) { t.Errorf("the store failed: %v", err) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// filled returns a store with some history, part of it compacted.
func filled(t testing.TB) *kv.Store {
	t.Helper()
	s := open(t)
	slot := paxos.Slot(0)
	do := func(req proto.Message) {
		t.Helper()
		command, err := kv.Encode(req)
		if err != nil {
			t.Fatal(err)
		}
		slot++
		if r := s.Apply([]synod.Command{{Slot: slot, Data: command}})[0].(kv.Result); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for i := range 300 {
		do(&pb.PutRequest{Key: fmt.Appendf(nil, "key-%d", i%50), Value: bytes.Repeat([]byte{byte(i)}, 100)})
		if i%7 == 0 {
			do(&pb.DeleteRangeRequest{Key: fmt.Appendf(nil, "key-%d", i%50)})
		}
	}
	do(&pb.CompactionRequest{Revision: 100})
	return s
}

// save writes a snapshot of s with its hash, and returns the file.
func save(t testing.TB, s *kv.Store) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bare")
	if err := Write(t.Context(), path, s, origin); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	left := info.Size()
	if err := Stream(path, func(piece []byte, remaining int64) error {
		saved.Write(piece)
		if left = max(left-int64(len(piece)), 0); remaining != left {
			t.Errorf("%d bytes are said to remain, %d do", remaining, left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, saved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestARestoredStoreHasTheHashOfTheFirst(t *testing.T) {
	from := filled(t)
	path := save(t, from)
	if _, err := Verify(path); err != nil {
		t.Fatal(err)
	}
	to := open(t)
	state, err := Restore(path, to)
	if err != nil {
		t.Fatal(err)
	}
	if state.Revision != from.Revision() || state.Compacted != 100 {
		t.Errorf("restored at %+v, saved at revision %d", state, from.Revision())
	}
	for rev := int64(100); rev <= state.Revision; rev += 20 {
		want, err := from.HashKV(t.Context(), rev)
		if err != nil {
			t.Fatal(err)
		}
		got, err := to.HashKV(t.Context(), rev)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(want, got) {
			t.Errorf("at revision %d: %v, saved %v", rev, got, want)
		}
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	path := save(t, filled(t))
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for at := 0; at < len(sound); at += 997 {
		damaged := bytes.Clone(sound)
		damaged[at] ^= 1
		write(damaged)
		if _, err := Verify(path); err == nil || errors.Is(err, ErrNoHash) {
			t.Errorf("byte %d was flipped: %v", at, err)
		}
	}
	write(sound[:len(sound)-32])
	if _, err := Verify(path); !errors.Is(err, ErrNoHash) {
		t.Errorf("without the hash: %v", err)
	}
	write([]byte("no snapshot at all"))
	if _, err := Restore(path, open(t)); err == nil {
		t.Error("a file that is no snapshot was restored")
	}
}

func TestTheFirstErrorOfAReceiverEndsTheStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bare")
	if err := Write(t.Context(), path, filled(t), origin); err != nil {
		t.Fatal(err)
	}
	calls := 0
	if err := Stream(path, func([]byte, int64) error { calls++; return io.ErrClosedPipe }); err != io.ErrClosedPipe || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
