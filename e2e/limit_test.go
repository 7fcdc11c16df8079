package e2e

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// TestTheSameRequestsAreTooLarge looks for the largest value that each server takes. Etcd's limit moves by a byte with the ID that
// it gives a request, and so with the member's own.
func TestTheSameRequestsAreTooLarge(t *testing.T) {
	want, got := largestValue(t, startEtcd(t)), largestValue(t, startSequential(t))
	if d := want - got; d < -1 || d > 1 {
		t.Errorf("etcd takes values up to %d bytes, Synod up to %d", want, got)
	}
}

func largestValue(t *testing.T, endpoint string) int {
	kv := pb.NewKVClient(connect(t, endpoint))
	low, high := 0, 2<<20-64 // below the limit of the wire
	for low < high {
		n := (low + high + 1) / 2
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, n)})
		switch {
		case err == nil:
			low = n
		case status.Convert(err).Message() == status.Convert(rpctypes.ErrGRPCRequestTooLarge).Message():
			high = n - 1
		default:
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	return low
}
