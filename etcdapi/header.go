package etcdapi

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// fill completes the header of a response as etcd does: who answers, at which term, and, unless the store has said
// at which revision, the revision that the store has now.
func (s *Server) fill(h *pb.ResponseHeader) {
	s.sign(h)
	if h.Revision == 0 {
		h.Revision = s.store.Revision()
	}
}

// sign fills in who answers and leaves the revision alone: the responses of Cluster carry none, and a stream's is pinned.
func (s *Server) sign(h *pb.ResponseHeader) {
	h.ClusterId = s.cluster
	h.MemberId = s.member
	h.RaftTerm = s.term()
}

// term is what etcd calls the round of the leader's ballot. It never goes back, not even while there is no leader.
func (s *Server) term() uint64 {
	_, ballot := s.node.Leader()
	return ballot.Round
}

// header returns a filled header.
func (s *Server) header() *pb.ResponseHeader {
	h := &pb.ResponseHeader{}
	s.fill(h)
	return h
}
