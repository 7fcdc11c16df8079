package etcdapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/etcdsnapshot"
	"synod.dev/synod/kv"
)

// snapshot receives a snapshot and returns the file it is in.
func (s *serving) snapshot(t *testing.T) string {
	t.Helper()
	stream, err := pb.NewMaintenanceClient(s.conn).Snapshot(t.Context(), &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Write(resp.Blob)
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASnapshotHasEverything(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, func(c *Config) { c.SnapshotDir = dir })
	for _, key := range []string{"a", "b", "c"} {
		s.mustPut(t, key, "1")
		s.mustPut(t, key, "2")
	}
	path := s.snapshot(t)
	if _, err := etcdsnapshot.Verify(path); err != nil {
		t.Fatal(err)
	}
	fail := func(err error) { t.Errorf("the store failed: %v", err) }
	restored, err := kv.Open(kv.Config{Dir: t.TempDir(), Fail: fail, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if _, err := etcdsnapshot.Restore(path, restored); err != nil {
		t.Fatal(err)
	}
	want, err := s.store.HashKV(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := restored.HashKV(t.Context(), 0)
	if err != nil || !proto.Equal(want, got) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("the directory of snapshots holds %v, %v", left, err)
	}
}

func TestNoMoreSnapshotsAreMadeAtATimeThanAreAllowed(t *testing.T) {
	s := serve(t, func(c *Config) { c.SnapshotDir = t.TempDir() })
	for range snapshotsMax {
		s.snapshots <- struct{}{}
	}
	stream, err := pb.NewMaintenanceClient(s.conn).Snapshot(t.Context(), &pb.SnapshotRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	<-s.snapshots
	s.snapshot(t)
}

func TestOnlyAMemberCanBeGivenLeadership(t *testing.T) {
	s := serve(t, nil)
	maintenance := pb.NewMaintenanceClient(s.conn)
	if _, err := maintenance.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: uint64(testMember)}); err != nil {
		t.Error(err)
	}
	if _, err := maintenance.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: 99}); status.Convert(err).Message() != "etcdserver: bad leader transferee" {
		t.Error(err)
	}
}
