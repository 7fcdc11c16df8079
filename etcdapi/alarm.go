package etcdapi

import (
	"context"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
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
		s.logger.Warn("an alarm has changed", "member", fmt.Sprintf("%x", alarm.MemberID), "alarm", alarm.Alarm.String(), "raised", raise)
	}
	return resp, nil
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
	alarm := &pb.AlarmMember{MemberID: s.member, Alarm: pb.AlarmType_NOSPACE}
	if slices.ContainsFunc(s.store.Alarms(), func(m *pb.AlarmMember) bool { return proto.Equal(m, alarm) }) {
		return
	}
	if _, err := s.changeAlarm(ctx, alarm, true); err != nil {
		s.logger.Warn("the store is beyond its quota, and the alarm could not be raised", "error", err)
	}
}
