package load

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// List reads the first n keys with their values in one linearizable request, answered at once or as a stream of chunks, and returns how many bytes came.
func (t *Target) List(ctx context.Context, keys Keys, n int, stream bool) (int64, error) {
	request := &pb.RangeRequest{Key: keys.Key(0), RangeEnd: keys.Key(n)}
	if stream {
		return t.listStream(ctx, request)
	}
	var received int64
	err := t.conns[0].Invoke(t.as(ctx), pb.KV_Range_FullMethodName, request, &received, tallied(size))
	return received, err
}

func (t *Target) listStream(ctx context.Context, request *pb.RangeRequest) (int64, error) {
	chunks, err := t.kv[0].RangeStream(t.as(ctx), request, tallied(size))
	if err != nil {
		return 0, err
	}
	for received := int64(0); ; {
		var chunk int64
		switch err := chunks.RecvMsg(&chunk); {
		case errors.Is(err, io.EOF):
			return received, nil
		case err != nil:
			return received, err
		}
		received += chunk
	}
}

// Compact forgets all that is past, and returns once that is gone from the disk of the member that is asked, too.
func (t *Target) Compact(ctx context.Context) error {
	response, err := t.kv[0].Range(t.as(ctx), &pb.RangeRequest{Key: []byte{0}, CountOnly: true})
	if err != nil {
		return err
	}
	_, err = t.kv[0].Compact(t.as(ctx), &pb.CompactionRequest{Revision: response.Header.Revision, Physical: true})
	return err
}

// Leads reports whether the member that the first connection goes to leads.
func (t *Target) Leads(ctx context.Context) (bool, error) {
	status, err := pb.NewMaintenanceClient(t.conns[0]).Status(t.as(ctx), &pb.StatusRequest{})
	if err != nil {
		return false, err
	}
	return status.Leader != 0 && status.Leader == status.Header.MemberId, nil
}
