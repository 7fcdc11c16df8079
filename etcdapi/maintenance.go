package etcdapi

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/paxos"
)

// maintenanceService serves etcdserverpb.Maintenance.
type maintenanceService struct {
	pb.UnimplementedMaintenanceServer
	*Server
}

// Status says how this member, and no other, is doing. Slots stand where etcd has indexes of its log. The size is what the keys and their history take, and all
// of it is in use.
func (s *maintenanceService) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	node := s.node.Status()
	resp := &pb.StatusResponse{
		Header:           s.header(),
		Version:          etcdVersion,
		StorageVersion:   storageVersion,
		DbSize:           s.store.Size(),
		DbSizeInUse:      s.store.Size(),
		DbSizeQuota:      max(s.quotaBytes, 0),
		Leader:           uint64(node.Leader),
		RaftIndex:        uint64(node.Chosen),
		RaftAppliedIndex: uint64(node.Applied),
		RaftTerm:         s.term(),
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	if self, ok := s.node.Membership().Member(paxos.NodeID(s.member)); ok {
		resp.IsLearner = !votes(self)
	}
	if node.Leader == 0 {
		resp.Errors = append(resp.Errors, "etcdserver: no leader")
	}
	for _, alarm := range s.store.Alarms() {
		resp.Errors = append(resp.Errors, alarmText(alarm))
	}
	return resp, nil
}

// alarmText is an alarm in etcd's form, which is that of protobuf's text, without fields that are 0.
func alarmText(alarm *pb.AlarmMember) string {
	if alarm.MemberID == 0 {
		return fmt.Sprintf("alarm:%v", alarm.Alarm)
	}
	return fmt.Sprintf("memberID:%d alarm:%v", alarm.MemberID, alarm.Alarm)
}

// MoveLeader hands leadership over. Only the leader can. Its answer has no header, as in etcd.
func (s *maintenanceService) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	bounded, cancel := context.WithTimeout(ctx, s.requestTimeout)
	defer cancel()
	if err := s.node.MoveLeader(bounded, paxos.NodeID(r.TargetID)); err != nil {
		return nil, readError(ctx, err)
	}
	return &pb.MoveLeaderResponse{}, nil
}

// HashKV answers etcd's hash of all revisions up to the one asked for, so that members can be compared, with each other
// and with an etcd.
func (s *maintenanceService) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	start := time.Now()
	resp, err := s.store.HashKV(ctx, r.Revision)
	s.metrics.hashesAt.Observe(time.Since(start).Seconds())
	if err != nil {
		return nil, readError(ctx, err)
	}
	s.fill(resp.Header)
	return resp, nil
}

// Hash answers a hash of the whole state. Etcd's is over its file; this one is the same on all members that have applied the same.
func (s *maintenanceService) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	start := time.Now()
	resp, err := s.store.Hash(ctx)
	s.metrics.hashes.Observe(time.Since(start).Seconds())
	if err != nil {
		return nil, readError(ctx, err)
	}
	s.fill(resp.Header)
	return resp, nil
}

// Defragment has nothing to do: space comes free by itself. Its answer has no header, as in etcd.
func (s *maintenanceService) Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{}, nil
}
