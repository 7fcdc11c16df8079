package etcdapi

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

func (s *serving) cluster() pb.ClusterClient { return pb.NewClusterClient(s.conn) }

// reaches lets this member have reached both of the founders for so long.
func (s *serving) reaches(d time.Duration) {
	since := time.Now().Add(-d)
	s.reached.Store(&map[paxos.NodeID]time.Time{testMember: since, 7: since})
}

// wantError demands an error with a code and a text; nil is none.
func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if status.Code(got) != status.Code(want) || status.Convert(got).Message() != status.Convert(want).Message() {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	s := serve(t, nil)
	ctx := t.Context()
	added, err := s.cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}})
	if err != nil {
		t.Fatal(err)
	}
	m := added.Member
	if m.ID == 0 || m.Name != "" || len(m.ClientURLs) != 0 || m.IsLearner || m.PeerURLs[0] != "http://127.0.0.1:9" || len(added.Members) != 3 || added.Header.Revision != 0 || added.Header.ClusterId != testCluster {
		t.Errorf("added %v", added)
	}
	learner, err := s.cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:10"}, IsLearner: true})
	if err != nil || !learner.Member.IsLearner || learner.Member.ID == m.ID {
		t.Errorf("learner %v, %v", learner, err)
	}
	_, err = s.cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:11"}, IsLearner: true})
	wantError(t, "a second learner", err, rpctypes.ErrGRPCTooManyLearners)

	updated, err := s.cluster().MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: m.ID, PeerURLs: []string{"http://127.0.0.1:99"}})
	if err != nil || updated.Members[3].ID != m.ID || updated.Members[3].PeerURLs[0] != "http://127.0.0.1:99" {
		t.Errorf("updated %v, %v", updated, err)
	}
	_, err = s.cluster().MemberPromote(ctx, &pb.MemberPromoteRequest{ID: learner.Member.ID})
	wantError(t, "promotion of who has not come", err, rpctypes.ErrGRPCLearnerNotReady)
	_, err = s.cluster().MemberPromote(ctx, &pb.MemberPromoteRequest{ID: uint64(testMember)})
	wantError(t, "promotion of a voter", err, rpctypes.ErrGRPCMemberNotLearner)

	for i, id := range []uint64{m.ID, learner.Member.ID, 7} {
		removed, err := s.cluster().MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
		if err != nil || len(removed.Members) != 3-i {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
	for what, call := range map[string]func() error{
		"remove":  func() error { _, err := s.cluster().MemberRemove(ctx, &pb.MemberRemoveRequest{ID: 7}); return err },
		"promote": func() error { _, err := s.cluster().MemberPromote(ctx, &pb.MemberPromoteRequest{ID: 7}); return err },
		"update": func() error {
			_, err := s.cluster().MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: 7, PeerURLs: []string{"http://127.0.0.1:5"}})
			return err
		},
	} {
		wantError(t, what+" a member that is gone", call(), rpctypes.ErrGRPCMemberNotFound)
	}
}

func TestARemovedMemberIsForgotten(t *testing.T) {
	s := serve(t, nil)
	if err := s.proposePublication(t.Context(), &pb.Member{ID: 7, Name: "seven"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cluster().MemberRemove(t.Context(), &pb.MemberRemoveRequest{ID: 7}); err != nil {
		t.Fatal(err)
	}
	if p := s.members.Published(7); p.Name != "" {
		t.Errorf("published %v", p)
	}
}

func TestPeerURLsAreJudged(t *testing.T) {
	s := serve(t, nil)
	for url, want := range map[string]error{
		"":                             rpctypes.ErrGRPCMemberBadURLs,
		"127.0.0.1:9":                  rpctypes.ErrGRPCMemberBadURLs,
		"http://127.0.0.1":             rpctypes.ErrGRPCMemberBadURLs,
		"http://127.0.0.1:9/path":      rpctypes.ErrGRPCMemberBadURLs,
		"ftp://127.0.0.1:9":            rpctypes.ErrGRPCMemberBadURLs,
		"http://127.0.0.1:4":           rpctypes.ErrGRPCPeerURLExist,
		"https://127.0.0.1:4":          rpctypes.ErrGRPCPeerURLExist,
		"http://a:1 and http://b:1":    rpctypes.ErrGRPCMemberBadURLs,
		"http://someone@127.0.0.1:999": rpctypes.ErrGRPCMemberBadURLs,
	} {
		_, err := s.cluster().MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: []string{url}})
		wantError(t, url, err, want)
	}
	_, err := s.cluster().MemberAdd(t.Context(), &pb.MemberAddRequest{})
	wantError(t, "none", err, rpctypes.ErrGRPCMemberBadURLs)
	_, err = s.cluster().MemberUpdate(t.Context(), &pb.MemberUpdateRequest{ID: 7, PeerURLs: []string{"http://a:1", "http://b:1"}})
	wantError(t, "two", err, status.Error(codes.InvalidArgument, "synod: a member has one peer URL; give one"))
}

func TestAStrictServerWantsMembersThatHaveStartedAndAreReached(t *testing.T) {
	s := serve(t, func(c *Config) { c.Strict = true })
	ctx := t.Context()
	add := func(learner bool) error {
		_, err := s.cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}, IsLearner: learner})
		return err
	}
	remove := func(id uint64) error {
		_, err := s.cluster().MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
		return err
	}
	wantError(t, "a voter, while one of two has not started", add(false), rpctypes.ErrGRPCMemberNotEnoughStarted)
	if err := s.proposePublication(ctx, &pb.Member{ID: 7, Name: "seven"}); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a voter, right after the start", add(false), rpctypes.ErrGRPCUnhealthy)
	wantError(t, "a learner, right after the start", add(true), rpctypes.ErrGRPCUnhealthy)
	wantError(t, "a removal, right after the start", remove(7), rpctypes.ErrGRPCUnhealthy)
	s.reaches(time.Minute)
	wantError(t, "a voter", add(false), nil)
	wantError(t, "a removal, while one has not started", remove(7), rpctypes.ErrGRPCMemberNotEnoughStarted)
	wantError(t, "the removal of that one", remove(uint64(s.configured()[2].ID)), nil)
	wantError(t, "a removal", remove(7), nil)
	wantError(t, "the removal of the last that has started", remove(uint64(testMember)), rpctypes.ErrGRPCMemberNotEnoughStarted)
}

// TestAChangeIsAllowedByTheLatestMembership: this member has not heard yet of what another one has acknowledged.
func TestAChangeIsAllowedByTheLatestMembership(t *testing.T) {
	s := serve(t, nil)
	ctx := t.Context()
	const learner = 77
	addLearner := func(url string) error {
		_, err := s.cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{url}, IsLearner: true})
		return err
	}
	meanwhile := func(change func() error) {
		hear := func() {
			if err := change(); err != nil {
				t.Error(err)
			}
		}
		s.node.behind.Store(&hear)
	}
	meanwhile(func() error { return s.node.AddMember(ctx, learner, "127.0.0.1:10", paxos.Learner) })
	wantError(t, "a second learner", addLearner("http://127.0.0.1:11"), rpctypes.ErrGRPCTooManyLearners)
	meanwhile(func() error { return s.node.RemoveMember(ctx, learner) })
	wantError(t, "the only learner", addLearner("http://127.0.0.1:11"), nil)
	s.node.failWith(synod.ErrReadTimeout)
	wantError(t, "a second learner, where nothing can be confirmed", addLearner("http://127.0.0.1:12"), rpctypes.ErrGRPCTooManyLearners)
}

func TestEveryOutcomeOfAChangeHasAnAnswer(t *testing.T) {
	s := serve(t, nil)
	for outcome, want := range map[error]codes.Code{
		synod.ErrQuorumAtRisk:  codes.Unavailable,
		synod.ErrInvalidChange: codes.FailedPrecondition,
		synod.ErrRemoved:       codes.Unavailable,
		synod.ErrNoLeader:      codes.Unavailable,
		synod.ErrUnknown:       codes.Unavailable,
	} {
		if got := status.Code(s.change(t.Context(), func(context.Context) error { return outcome })); got != want {
			t.Errorf("%v is told as %v", outcome, got)
		}
	}
}

func TestAPeerURLIsWhereItsMemberIsToBeFoundAndBack(t *testing.T) {
	for _, test := range []struct{ scheme, url, address string }{
		{"http", "http://a:1", "a:1"},
		{"https", "https://a:1", "a:1"},
		{"http", "unix://a:1", "unix:a:1"},
		{"http", "unix:///run/a", "unix:/run/a"},
		{"https", "unixs:///run/a", "unix:/run/a"},
	} {
		s := &Server{peerScheme: test.scheme}
		address, err := peerAddress([]string{test.url})
		if err != nil || address != test.address || s.peerURL(address) != test.url {
			t.Errorf("%s is %q, %v, and back %s", test.url, address, err, s.peerURL(address))
		}
	}
	if address, err := peerAddress([]string{"unix://"}); err == nil {
		t.Errorf("no path at all is taken for %q", address)
	}
}
