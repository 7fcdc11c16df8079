package etcdapi

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/paxos"
)

// clusterService serves etcdserverpb.Cluster: who the members are, and changes of that. What etcd calls a voting member is an acceptor here, or who has been invited to be one; a
// learner is who has no vote. The headers of its answers have no revision, as in etcd.
type clusterService struct {
	pb.UnimplementedClusterServer
	*Server
}

// MemberList lists the members.
func (s *clusterService) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.Linearizable {
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.MemberListResponse{Header: s.clusterHeader(), Members: s.memberList()}, nil
}

func (s *Server) clusterHeader() *pb.ResponseHeader {
	h := &pb.ResponseHeader{}
	s.sign(h)
	return h
}

// memberList returns the members of the latest configuration in etcd's order, that of their peer URLs, each with what it has published of itself.
func (s *Server) memberList() []*pb.Member {
	var list []*pb.Member
	for _, m := range s.configured() {
		list = append(list, s.describe(m))
	}
	slices.SortFunc(list, func(a, b *pb.Member) int { return slices.Compare(a.PeerURLs, b.PeerURLs) })
	return list
}

// configured returns the members of the latest configuration. Before the cluster is founded these are the founders, whom only this member's own configuration names.
func (s *Server) configured() []paxos.Member {
	if latest := s.node.Membership().Latest; latest != nil {
		return latest.Members
	}
	var founders []paxos.Member
	for _, m := range s.node.Status().Members {
		founders = append(founders, paxos.Member{ID: m.ID, Roles: paxos.FullMember, Address: m.Address})
	}
	return founders
}

func (s *Server) describe(m paxos.Member) *pb.Member {
	p := s.members.Published(uint64(m.ID))
	return &pb.Member{ID: p.ID, Name: p.Name, ClientURLs: p.ClientURLs, PeerURLs: []string{s.peerURL(m.Address)}, IsLearner: !votes(m)}
}

// votes reports whether a member has a vote, or will have one as soon as it has come and caught up.
func votes(m paxos.Member) bool { return (m.Roles|m.Invited)&paxos.Acceptor != 0 }

// publishPause is how long to wait before another attempt to publish this member.
const publishPause = 500 * time.Millisecond

// publish tells the cluster this member's name and client URLs, once the log takes it, unless the cluster knows them already.
func (s *Server) publish() {
	for {
		err := s.publishOnce()
		if err == nil {
			close(s.published)
			return
		}
		if s.stopped.Err() != nil {
			return
		}
		s.logger.Debug("cannot publish this member's name and client URLs yet; trying again", "error", err)
		select {
		case <-time.After(publishPause):
		case <-s.stopped.Done():
			return
		}
	}
}

// Published is closed once the cluster knows under which name and at which URLs this member serves clients. Etcd's members say that they are ready no sooner.
func (s *Server) Published() <-chan struct{} { return s.published }

func (s *Server) publishOnce() error {
	if err := s.confirm(s.stopped); err != nil {
		return err
	}
	if known := s.members.Published(s.self.ID); known.Name == s.self.Name && slices.Equal(known.ClientURLs, s.self.ClientURLs) {
		return nil
	}
	return s.proposePublication(s.stopped, s.self)
}

// proposePublication lets the log say what a member says of itself; no more than its ID if it has been removed.
func (s *Server) proposePublication(ctx context.Context, m *pb.Member) error {
	command, err := EncodeMember(m)
	if err != nil {
		return err
	}
	_, err = s.propose(ctx, MachineMembers, command)
	return err
}
