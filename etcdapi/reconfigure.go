package etcdapi

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// MemberAdd invites a member. Its answer has the ID by which it will know itself, and neither name nor client URLs until it has started. A voting member counts in no quorum before it has caught up.
func (s *clusterService) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	address, err := peerAddress(r.PeerURLs)
	if err != nil {
		return nil, err
	}
	roles := paxos.FullMember
	if r.IsLearner {
		roles = paxos.Learner
	}
	if err := s.judge(ctx, func() error { return s.mayAdd(r.IsLearner) }); err != nil {
		return nil, err
	}
	added := paxos.Member{ID: s.newMemberID(address), Invited: roles, Address: address}
	if err := s.change(ctx, func(ctx context.Context) error { return s.node.AddMember(ctx, added.ID, address, roles) }); err != nil {
		return nil, err
	}
	s.logger.Info("member added", "peer", hexID(added.ID), "peer-url", r.PeerURLs[0], "learner", r.IsLearner)
	return &pb.MemberAddResponse{Header: s.clusterHeader(), Member: s.describe(added), Members: s.memberList()}, nil
}

// MemberRemove removes a member, and what it has published.
func (s *clusterService) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	id := paxos.NodeID(r.ID)
	if err := s.judge(ctx, func() error { return s.mayRemove(id) }); err != nil {
		return nil, err
	}
	if err := s.change(ctx, func(ctx context.Context) error { return s.node.RemoveMember(ctx, id) }); err != nil {
		return nil, err
	}
	s.logger.Info("member removed", "peer", hexID(id))
	resp := &pb.MemberRemoveResponse{Header: s.clusterHeader(), Members: s.memberList()}
	if err := s.proposePublication(ctx, &pb.Member{ID: r.ID}); err != nil {
		s.logger.Warn("the name of the member that was removed is kept; it does no harm", "peer", hexID(id), "error", err)
	}
	return resp, nil
}

// MemberUpdate changes where a member's peers find it.
func (s *clusterService) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	address, err := peerAddress(r.PeerURLs)
	if err != nil {
		return nil, err
	}
	id := paxos.NodeID(r.ID)
	if err := s.change(ctx, func(ctx context.Context) error { return s.node.UpdateMember(ctx, id, address) }); err != nil {
		return nil, err
	}
	s.logger.Info("member updated", "peer", hexID(id), "peer-url", r.PeerURLs[0])
	return &pb.MemberUpdateResponse{Header: s.clusterHeader(), Members: s.memberList()}, nil
}

// MemberPromote gives a learner that has caught up a vote.
func (s *clusterService) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	id := paxos.NodeID(r.ID)
	if err := s.judge(ctx, s.mayPromote); err != nil {
		return nil, err
	}
	if err := s.change(ctx, func(ctx context.Context) error { return s.node.PromoteMember(ctx, id) }); err != nil {
		return nil, err
	}
	s.metrics.promotions.Inc()
	s.logger.Info("member promoted", "peer", hexID(id))
	return &pb.MemberPromoteResponse{Header: s.clusterHeader(), Members: s.memberList()}, nil
}

// changeAnswers say how what became of a change of membership is told; answers has what they do not.
var changeAnswers = []struct{ outcome, answer error }{
	{synod.ErrNoSuchMember, rpctypes.ErrGRPCMemberNotFound},
	{synod.ErrMemberExists, rpctypes.ErrGRPCMemberExist},
	{synod.ErrAddressTaken, rpctypes.ErrGRPCPeerURLExist},
	{synod.ErrNotLearner, rpctypes.ErrGRPCMemberNotLearner},
	{synod.ErrNotCaughtUp, rpctypes.ErrGRPCLearnerNotReady},
	{synod.ErrQuorumAtRisk, rpctypes.ErrGRPCUnhealthy},
}

// change lets fn change the membership within the time that a request has, and says in etcd's words what became of it.
func (s *Server) change(ctx context.Context, fn func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.requestTimeout)
	defer cancel()
	err := fn(bounded)
	if err == nil {
		return nil
	}
	for _, a := range changeAnswers {
		if errors.Is(err, a.outcome) {
			return a.answer
		}
	}
	if errors.Is(err, synod.ErrInvalidChange) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return proposeError(bounded, err)
}

// peerAddress returns the address in the peer URLs that a member is to be found at. Etcd takes several; here a member has one. Its scheme may be either: all members speak that of the cluster.
func peerAddress(urls []string) (string, error) {
	if len(urls) == 0 {
		return "", rpctypes.ErrGRPCMemberBadURLs
	}
	u, err := url.Parse(urls[0])
	if err != nil || u.User != nil || u.RawQuery != "" {
		return "", rpctypes.ErrGRPCMemberBadURLs
	}
	address, ok := addressIn(u)
	switch {
	case !ok:
		return "", rpctypes.ErrGRPCMemberBadURLs
	case len(urls) > 1:
		return "", status.Error(codes.InvalidArgument, "synod: a member has one peer URL; give one")
	}
	return address, nil
}

// unixAddress is how the address of a member begins that listens on a socket in the file system.
const unixAddress = "unix:"

// addressIn returns the place that a peer URL names.
func addressIn(u *url.URL) (address string, ok bool) {
	switch u.Scheme {
	case "http", "https":
		_, _, err := net.SplitHostPort(u.Host)
		return u.Host, err == nil && u.Path == ""
	case "unix", "unixs":
		path := u.Host + u.Path
		return unixAddress + path, path != ""
	}
	return "", false
}

// peerURL returns the peer URL of a member at an address.
func (s *Server) peerURL(address string) string {
	if path, isUnix := strings.CutPrefix(address, unixAddress); isUnix {
		if s.peerScheme == "https" {
			return "unixs://" + path
		}
		return "unix://" + path
	}
	return (&url.URL{Scheme: s.peerScheme, Host: address}).String()
}

func hexID(id paxos.NodeID) string { return strconv.FormatUint(uint64(id), 16) }

// newMemberID draws an ID as etcd does, from the address, the cluster and the time, so that one that was removed never comes back.
func (s *Server) newMemberID(address string) paxos.NodeID {
	b := binary.BigEndian.AppendUint64([]byte(address), s.cluster)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixNano()))
	sum := sha1.Sum(b)
	return cmp.Or(paxos.NodeID(binary.BigEndian.Uint64(sum[:])), 1)
}

// Strictness: by default etcd turns changes away that a quorum may not outlive, by rules of its own that count whom a member can reach, and for how long without a break. Here no member counts before
// it has caught up, and no change is made that would leave no quorum which can be heard; the rules are kept for whoever relies on the answers.

// reachedFor is how long a member must have been reached without a break to count: etcd's 5 s, less the time that it takes to notice.
const reachedFor = 4500 * time.Millisecond

// reachCheck is how often this member looks whom it reaches.
const reachCheck = 250 * time.Millisecond

// keepReach notes since when which members have been reached, until the server stops.
func (s *Server) keepReach() {
	tick := time.NewTicker(reachCheck)
	defer tick.Stop()
	for {
		now, reached := time.Now(), map[paxos.NodeID]time.Time{}
		was := *s.reached.Load()
		for _, m := range s.node.Status().Members {
			if since, known := was[m.ID]; m.Connected && known {
				reached[m.ID] = since
			} else if m.Connected {
				reached[m.ID] = now
			}
		}
		s.reached.Store(&reached)
		select {
		case <-tick.C:
		case <-s.stopped.Done():
			return
		}
	}
}

// connected reports whether this member is connected to another one now.
func (s *Server) connected(id paxos.NodeID) bool {
	return slices.ContainsFunc(s.node.Status().Members, func(m synod.MemberStatus) bool { return m.ID == id && m.Connected })
}

// voting counts the members with a vote: those who have started, and those reached for long enough, this one always among them.
func (s *Server) voting() (all, started, reached int) {
	connected := *s.reached.Load()
	for _, m := range s.configured() {
		if !votes(m) {
			continue
		}
		all++
		if hasStarted(s.members.Published(uint64(m.ID))) {
			started++
		}
		if since, ok := connected[m.ID]; uint64(m.ID) == s.member || ok && time.Since(since) >= reachedFor {
			reached++
		}
	}
	return all, started, reached
}

// judge asks whether a change is allowed, by a membership that is not behind what any member has told. A refusal that this member cannot confirm soon stands: where there is no quorum, it is most likely the reason.
func (s *Server) judge(ctx context.Context, allowed func() error) error {
	refusal := allowed()
	if refusal != nil {
		bounded, cancel := context.WithTimeout(ctx, refusalPatience)
		defer cancel()
		ctx = bounded
	}
	if err := s.confirm(ctx); err != nil {
		return cmp.Or(refusal, err)
	}
	return allowed()
}

// refusalPatience is more than it takes to confirm what this member knows, where that can be done at all.
const refusalPatience = time.Second

func (s *Server) mayAdd(learner bool) error {
	if learner {
		learners := slices.DeleteFunc(slices.Clone(s.configured()), votes)
		if len(learners) >= s.maxLearners {
			return rpctypes.ErrGRPCTooManyLearners
		}
	}
	if !s.strict {
		return nil
	}
	all, started, reached := s.voting()
	switch alone := all == 1 && started == 1; {
	case !learner && !alone && started < (all+1)/2+1:
		return rpctypes.ErrGRPCMemberNotEnoughStarted
	case !alone && reached < (all+1)/2+1: // the new one counted, and as one that is down
		return rpctypes.ErrGRPCUnhealthy
	}
	return nil
}

func (s *Server) mayPromote() error {
	all, started, _ := s.voting()
	if s.strict && started+1 < (all+1)/2+1 {
		return rpctypes.ErrGRPCMemberNotEnoughStarted
	}
	return nil
}

func (s *Server) mayRemove(id paxos.NodeID) error {
	members := s.configured()
	i := slices.IndexFunc(members, func(m paxos.Member) bool { return m.ID == id })
	if !s.strict || i < 0 || !votes(members[i]) {
		return nil // whether there is such a member the log says
	}
	all, started, reached := s.voting()
	if hasStarted(s.members.Published(uint64(id))) {
		started--
	}
	if left := all - 1; left == 0 || started < left/2+1 {
		return rpctypes.ErrGRPCMemberNotEnoughStarted
	}
	if !s.connected(id) && uint64(id) != s.member {
		return nil // it is not one of those that a quorum is made of now
	}
	if reached-1 < (all-1)/2+1 {
		return rpctypes.ErrGRPCUnhealthy
	}
	return nil
}
