package etcdapi

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

// Alarm lists the alarms that are raised, raises one, or ends one.
func (s *maintenanceService) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	alarm := &pb.AlarmMember{MemberID: r.MemberID, Alarm: r.Alarm}
	switch r.Action {
	case pb.AlarmRequest_GET:
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
		alarms := slices.DeleteFunc(slices.Clone(s.store.Alarms()), func(m *pb.AlarmMember) bool {
			return r.Alarm != pb.AlarmType_NONE && m.Alarm != r.Alarm
		})
		return &pb.AlarmResponse{Header: s.header(), Alarms: alarms}, nil
	case pb.AlarmRequest_ACTIVATE:
		return s.changeAlarm(ctx, alarm, true)
	case pb.AlarmRequest_DEACTIVATE:
		return s.changeAlarm(ctx, alarm, false)
	}
	return &pb.AlarmResponse{Header: s.header()}, nil // of an action that etcd does not know either
}

func (s *Server) changeAlarm(ctx context.Context, alarm *pb.AlarmMember, raise bool) (*pb.AlarmResponse, error) {
	answer, err := s.propose(ctx, MachineKV, kv.EncodeAlarm(alarm, raise))
	if err != nil {
		return nil, err
	}
	result := answer.(kv.Result)
	if result.Err != nil {
		return nil, answerTo(result.Err)
	}
	resp := result.Response.(*pb.AlarmResponse)
	s.fill(resp.Header)
	if len(resp.Alarms) > 0 {
		s.tellAlarm(alarm, raise)
	}
	return resp, nil
}

// tellAlarm logs what has become of an alarm, and what to do about it.
func (s *Server) tellAlarm(alarm *pb.AlarmMember, raise bool) {
	attributes := []any{"alarm", alarm.Alarm.String(), "peer", hexID(paxos.NodeID(alarm.MemberID))}
	switch {
	case !raise:
		s.logger.Info("an alarm has been ended", attributes...)
	case alarm.Alarm == pb.AlarmType_NOSPACE:
		s.logger.Warn("an alarm has been raised: the store is full, and writes are refused; delete, compact, then end it (etcdctl alarm disarm), or raise --quota-backend-bytes",
			append(attributes, "store-bytes", s.store.Size(), "quota-bytes", s.quotaBytes)...)
	default:
		s.logger.Warn("an alarm has been raised: most requests are refused until it is ended (etcdctl alarm disarm); find out first what is damaged", attributes...)
	}
}

// beyondQuota reports whether a request would let the store grow beyond its quota.
func (s *Server) beyondQuota(req proto.Message) bool {
	if s.quotaBytes <= 0 {
		return false
	}
	cost := kv.Cost(req)
	return cost > 0 && s.store.Size()+cost >= s.quotaBytes
}

// raiseNoSpace raises the alarm that keeps every member from taking requests that let the store grow, until an operator has made room and ended it. A request
// whose caller may not write must not raise it: that would let anybody stop the cluster's writes.
func (s *Server) raiseNoSpace(ctx context.Context) {
	if !s.raising.CompareAndSwap(false, true) {
		return
	}
	defer s.raising.Store(false)
	alarm := &pb.AlarmMember{MemberID: s.member, Alarm: pb.AlarmType_NOSPACE}
	if slices.ContainsFunc(s.store.Alarms(), func(m *pb.AlarmMember) bool { return proto.Equal(m, alarm) }) {
		return
	}
	if _, err := s.changeAlarm(ctx, alarm, true); err != nil {
		s.logger.Warn("the store is beyond its quota, and the alarm could not be raised", "error", err)
	}
}
