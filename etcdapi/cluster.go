package etcdapi

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// clusterService serves etcdserverpb.Cluster: who the members are. They cannot be changed yet.
type clusterService struct {
	pb.UnimplementedClusterServer
	*Server
}

// MemberList lists the members. Its header has no revision, as in etcd.
func (s *clusterService) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.Linearizable {
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
	}
	resp := &pb.MemberListResponse{Header: &pb.ResponseHeader{}, Members: s.members.List()}
	s.sign(resp.Header)
	return resp, nil
}

// publishPause is how long to wait before another attempt to publish this member.
const publishPause = 500 * time.Millisecond

// publish tells the cluster this member's name and client URLs, once the log takes it, unless the cluster knows them already.
func (s *Server) publish() {
	for {
		err := s.publishOnce()
		if err == nil || s.stopped.Err() != nil {
			return
		}
		s.logger.Warn("cannot publish this member's name and client URLs yet; trying again", "error", err)
		select {
		case <-time.After(publishPause):
		case <-s.stopped.Done():
			return
		}
	}
}

func (s *Server) publishOnce() error {
	if err := s.confirm(s.stopped); err != nil {
		return err
	}
	for _, known := range s.members.List() {
		if known.ID == s.self.ID && known.Name == s.self.Name && slices.Equal(known.ClientURLs, s.self.ClientURLs) {
			return nil
		}
	}
	command, err := EncodeMember(s.self)
	if err != nil {
		return err
	}
	answer, err := s.propose(s.stopped, MachineMembers, command)
	if err != nil {
		return err
	}
	if refused, ok := answer.(error); ok {
		return refused
	}
	return nil
}
