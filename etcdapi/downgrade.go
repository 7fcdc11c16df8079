package etcdapi

import (
	"context"
	"regexp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// minorVersion is how a downgrade names its target; a patch level is passed over, as in etcd.
var minorVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)

var errUnknownDowngrade = status.Error(codes.Unknown, "etcdserver: unknown method")

// Downgrade refuses every target: there is no earlier version that could read what this one writes. So none is ever under way, and to cancel it succeeds, as in etcd.
func (s *maintenanceService) Downgrade(_ context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	switch r.Action {
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
		if !minorVersion.MatchString(r.Version) {
			return nil, rpctypes.ErrGRPCWrongDowngradeVersionFormat
		}
		return nil, rpctypes.ErrGRPCInvalidDowngradeTargetVersion
	case pb.DowngradeRequest_CANCEL:
		return &pb.DowngradeResponse{Header: s.header(), Version: version.Cluster(etcdVersion)}, nil
	}
	return nil, errUnknownDowngrade
}
