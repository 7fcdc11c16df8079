package etcdapi

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNoDowngradeIsPossibleAndNoneIsUnderWay(t *testing.T) {
	s := serve(t, nil)
	wrong, impossible := status.Convert(rpctypes.ErrGRPCWrongDowngradeVersionFormat), status.Convert(rpctypes.ErrGRPCInvalidDowngradeTargetVersion)
	for _, tc := range []struct {
		action  pb.DowngradeRequest_DowngradeAction
		version string
		want    *status.Status
	}{
		{pb.DowngradeRequest_VALIDATE, "3.6", impossible},
		{pb.DowngradeRequest_VALIDATE, "3.6.1", impossible},
		{pb.DowngradeRequest_ENABLE, "3.6", impossible},
		{pb.DowngradeRequest_ENABLE, "3.0", impossible},
		{pb.DowngradeRequest_VALIDATE, "", wrong},
		{pb.DowngradeRequest_ENABLE, "3", wrong},
		{pb.DowngradeRequest_ENABLE, "3.x", wrong},
		{pb.DowngradeRequest_CANCEL, "", nil},
		{7, "3.6", status.New(codes.Unknown, "etcdserver: unknown method")},
	} {
		resp, err := pb.NewMaintenanceClient(s.conn).Downgrade(t.Context(), &pb.DowngradeRequest{Action: tc.action, Version: tc.version})
		if got := status.Convert(err); got.Code() != tc.want.Code() || got.Message() != tc.want.Message() {
			t.Errorf("%v to %q: %v, want %v", tc.action, tc.version, err, tc.want)
		}
		if err == nil && (resp.Version != "3.7" || resp.Header.GetMemberId() == 0) {
			t.Errorf("%v answers %v", tc.action, resp)
		}
	}
}
