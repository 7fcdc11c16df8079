package e2e

import (
	"bytes"
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	// leaseTTLMax is the longest TTL that etcd grants, in seconds.
	leaseTTLMax = 9_000_000_000
	// leaseTTLStep lies between the TTLs of any two leases, and below that of each, in seconds. No run is that long: so no lease ends in one, and which of two ends first is known.
	leaseTTLStep = 10_000
)

// leaseTTLs is the TTL of each lease that may be granted.
var leaseTTLs = map[int64]int64{
	1: leaseTTLMax, 2: 1 * leaseTTLStep, 3: 5 * leaseTTLStep, 1 << 40: 2 * leaseTTLStep, -1: 4 * leaseTTLStep, -1 << 63: 3 * leaseTTLStep,
}

// lease returns the ID of a lease that may be there, or of one that never is, 0 among them.
func (g *generator) lease() int64 {
	if g.oneIn(12) {
		return g.Int64N(2) * 7
	}
	return []int64{1, 2, 3, 1 << 40, -1, -1 << 63}[g.IntN(len(leaseTTLs))]
}

// leaseRequest leaves the ID 0 out of grants, for which a server draws one.
func (g *generator) leaseRequest() proto.Message {
	id := g.lease()
	switch g.IntN(12) {
	case 0, 1:
		return &pb.LeaseRevokeRequest{ID: id}
	case 2, 3:
		return &pb.LeaseKeepAliveRequest{ID: id}
	case 4, 5, 6:
		return &pb.LeaseTimeToLiveRequest{ID: id, Keys: !g.oneIn(3)}
	case 7:
		return &pb.LeaseLeasesRequest{}
	case 8:
		return &pb.LeaseGrantRequest{ID: id, TTL: leaseTTLMax + 1 + g.Int64N(2)<<40} // must be refused
	}
	for leaseTTLs[id] == 0 {
		id = g.lease()
	}
	return &pb.LeaseGrantRequest{ID: id, TTL: leaseTTLs[id]}
}

// keepAlive renews a lease on a stream of its own.
func (s server) keepAlive(ctx context.Context, r *pb.LeaseKeepAliveRequest) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewLeaseClient(s.conn).LeaseKeepAlive(ctx)
	if err != nil {
		return answer{err: err}
	}
	stream.Send(r) // its error is Recv's
	return answered(stream.Recv())
}

// settleTimeToLive takes out what time has passed, and the order of the keys, of which etcd has none. A TTL that no run can have left is not touched.
func settleTimeToLive(r *pb.LeaseTimeToLiveResponse) {
	if r.TTL > r.GrantedTTL-leaseTTLStep && r.TTL <= r.GrantedTTL {
		r.TTL = r.GrantedTTL
	}
	slices.SortFunc(r.Keys, bytes.Compare)
}
