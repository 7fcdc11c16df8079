package etcdapi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod/etcdsnapshot"
)

// snapshotsMax bounds the snapshots that are made at a time: each is a file as large as the store.
const snapshotsMax = 2

// Snapshot streams the whole store, as of now, in the form of etcd's own snapshots. It is written to a file first, whose size etcd's protocol wants to know.
func (s *maintenanceService) Snapshot(_ *pb.SnapshotRequest, stream grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	if s.snapshotDir == "" {
		return status.Error(codes.FailedPrecondition, "this member was given no directory for snapshots")
	}
	ctx := stream.Context()
	select {
	case s.snapshots <- struct{}{}:
		defer func() { <-s.snapshots }()
	default:
		return rpctypes.ErrGRPCRequestTooManyRequests
	}
	dir, err := os.MkdirTemp(s.snapshotDir, "snapshot-")
	if err != nil {
		return s.snapshotFailed(ctx, err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			s.logger.Warn("cannot remove a snapshot that has been sent", "error", err)
		}
	}()
	began, path := time.Now(), filepath.Join(dir, "db")
	if err := etcdsnapshot.Write(ctx, path, s.store, s.origin()); err != nil {
		return s.snapshotFailed(ctx, err)
	}
	s.metrics.snapshotsMade.Observe(time.Since(began).Seconds())
	size := int64(0)
	err = etcdsnapshot.Stream(path, func(piece []byte, remaining int64) error {
		size += int64(len(piece))
		return stream.Send(&pb.SnapshotResponse{Blob: piece, RemainingBytes: uint64(remaining), Version: storageVersion})
	})
	if err != nil {
		return s.snapshotFailed(ctx, err)
	}
	s.logger.Info("sent a snapshot", "bytes", size, "took", time.Since(began))
	return nil
}

// origin tells of this cluster what a snapshot of etcd's says.
func (s *Server) origin() etcdsnapshot.Origin {
	return etcdsnapshot.Origin{Index: uint64(s.store.Applied()), Term: s.term(), Members: s.memberList(), ClusterVersion: clusterVersion, StorageVersion: storageVersion}
}

// snapshotFailed says why a snapshot was not sent: the client's doing, or this member's.
func (s *Server) snapshotFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, fmt.Sprintf("cannot make a snapshot: %v", err))
}
