package e2e

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// alarmed are the members for whom alarms are raised: all, and one that there is not.
var alarmed = []uint64{0, 5}

func (g *mixedGenerator) maintenance() proto.Message {
	switch n := g.IntN(100); {
	case n < 30:
		return g.alarm()
	case n < 50:
		return &pb.StatusRequest{}
	case n < 70:
		return g.hash()
	case n < 75:
		return &pb.HashRequest{}
	case n < 82:
		return &pb.MoveLeaderRequest{TargetID: alarmed[g.IntN(len(alarmed))]} // no member's
	case n < 95:
		return g.downgrade()
	case n < 98:
		return &pb.DefragmentRequest{}
	}
	return &pb.SnapshotRequest{}
}

// alarm leaves out actions that there are not: etcd crashes.
func (g *mixedGenerator) alarm() *pb.AlarmRequest {
	r := &pb.AlarmRequest{MemberID: alarmed[g.IntN(len(alarmed))], Alarm: pb.AlarmType_NOSPACE}
	switch g.IntN(8) {
	case 0, 1:
		r.Alarm = pb.AlarmType_CORRUPT
	case 2:
		r.Alarm = pb.AlarmType_NONE
	}
	switch g.IntN(15) {
	case 0, 1, 2, 3, 4:
		r.Action = pb.AlarmRequest_GET
	case 5:
		r.Action = pb.AlarmRequest_ACTIVATE
	default:
		r.Action = pb.AlarmRequest_DEACTIVATE
	}
	return r
}

// disarm returns what it takes to end all alarms.
func (g *mixedGenerator) disarm() (requests []proto.Message) {
	for _, member := range alarmed {
		for _, alarm := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
			requests = append(requests, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: member, Alarm: alarm})
		}
	}
	return requests
}

// hash leaves out the revisions at which there was a compaction: etcd answers with what it hashed then, as long as it remembers that.
func (g *mixedGenerator) hash() *pb.HashKVRequest {
	revision := g.near()
	for g.compactions[revision] {
		revision = g.near()
	}
	return &pb.HashKVRequest{Revision: revision}
}

// downgrade leaves out 3.6, which etcd could be downgraded to and Synod never.
func (g *mixedGenerator) downgrade() *pb.DowngradeRequest {
	return &pb.DowngradeRequest{
		Action:  pb.DowngradeRequest_DowngradeAction(g.IntN(3)),
		Version: []string{"3.7", "3.7.0", "3.8", "3.5", "2.6", "", "3", "v3.7", "3.7.0.1", "three"}[g.IntN(10)],
	}
}

// snapshot takes a snapshot and answers with what is the same for both: the version, if what has come is as long as was said, and its hash is right.
func (s server) snapshot(ctx context.Context, r *pb.SnapshotRequest) answer {
	stream, err := pb.NewMaintenanceClient(s.conn).Snapshot(ctx, r)
	if err != nil {
		return answer{err: err}
	}
	var all []byte
	var last *pb.SnapshotResponse
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return answer{err: err}
		}
		if last != nil && last.RemainingBytes != chunk.RemainingBytes+uint64(len(chunk.Blob)) && chunk.RemainingBytes+last.RemainingBytes > 0 {
			return answer{err: fmt.Errorf("%d bytes were to come after those of which %d were", chunk.RemainingBytes, last.RemainingBytes)}
		}
		last, all = chunk, append(all, chunk.Blob...)
	}
	if len(all)%512 != sha256.Size {
		return answer{err: fmt.Errorf("a snapshot of %d bytes", len(all))}
	}
	content, sum := all[:len(all)-sha256.Size], all[len(all)-sha256.Size:]
	if sha256.Sum256(content) != [sha256.Size]byte(sum) {
		return answer{err: errors.New("a snapshot with another hash than it says")}
	}
	return answer{response: &pb.SnapshotResponse{Header: last.Header, Version: last.Version}}
}

// settleStatus takes out what is a server's own, once it is known to be there, and the order of alarms, of which etcd has none. Between an alarm's fields etcd has one
// blank or two, which differs from build to build.
func settleStatus(r *pb.StatusResponse) {
	for i := range r.Errors {
		r.Errors[i] = strings.ReplaceAll(r.Errors[i], "  ", " ")
	}
	if r.DbSize >= r.DbSizeInUse && r.Leader != 0 && r.RaftIndex >= r.RaftAppliedIndex && r.RaftTerm > 0 {
		r.DbSize, r.DbSizeInUse, r.Leader, r.RaftIndex, r.RaftAppliedIndex, r.RaftTerm = 0, 0, 0, 0, 0, 0
	}
	slices.Sort(r.Errors)
}

// settleAlarms takes out the order of alarms, of which etcd has none.
func settleAlarms(r *pb.AlarmResponse) {
	slices.SortFunc(r.Alarms, func(a, b *pb.AlarmMember) int {
		return cmp.Or(cmp.Compare(a.MemberID, b.MemberID), cmp.Compare(a.Alarm, b.Alarm))
	})
}
