package etcdapi

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// mustOpenMembers opens the members in dir and demands that they do not fail.
func mustOpenMembers(t *testing.T, path string) *Members {
	t.Helper()
	m, err := OpenMembers(path, func(err error) { t.Errorf("failed: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func publication(t *testing.T, slot paxos.Slot, m *pb.Member) synod.Command {
	t.Helper()
	b, err := EncodeMember(m)
	if err != nil {
		t.Fatal(err)
	}
	return synod.Command{Slot: slot, Data: b}
}

func wantMembers(t *testing.T, m *Members, want ...*pb.Member) {
	t.Helper()
	list := &pb.MemberListResponse{Members: m.all()}
	if !proto.Equal(list, &pb.MemberListResponse{Members: want}) {
		t.Errorf("members %v, not %v", list.Members, want)
	}
}

func TestMembersHaveNoNameUntilTheyPublishItAndNoneOnceTheyAreRemoved(t *testing.T) {
	m := mustOpenMembers(t, filepath.Join(t.TempDir(), "members"))
	wantMembers(t, m)
	m.Apply([]synod.Command{
		publication(t, 3, &pb.Member{ID: 7, ClientURLs: []string{"http://c:2"}}),
		publication(t, 3, &pb.Member{ID: 1, Name: "one", ClientURLs: []string{"http://b:2"}, PeerURLs: []string{"http://evil:1"}}),
	})
	one, seven := &pb.Member{ID: 1, Name: "one", ClientURLs: []string{"http://b:2"}}, &pb.Member{ID: 7, ClientURLs: []string{"http://c:2"}}
	wantMembers(t, m, one, seven)
	if got := m.Published(9); !proto.Equal(got, &pb.Member{ID: 9}) {
		t.Errorf("who has published nothing has published %v", got)
	}
	m.Apply([]synod.Command{publication(t, 4, &pb.Member{ID: 1}), publication(t, 5, &pb.Member{ID: 4})})
	wantMembers(t, m, seven)
}

func TestMembersOutliveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	m := mustOpenMembers(t, path)
	if m.Applied() != 0 {
		t.Errorf("new members are at slot %d", m.Applied())
	}
	m.Apply([]synod.Command{publication(t, 3, &pb.Member{ID: 1, Name: "one"}), publication(t, 5, &pb.Member{ID: 1, Name: "uno"})})
	again := mustOpenMembers(t, path)
	wantMembers(t, again, m.all()...)
	if m.Applied() != 5 || again.Applied() != 5 {
		t.Errorf("at slot %d before and %d after", m.Applied(), again.Applied())
	}
}

func TestMembersNeverClaimASlotThatTheirFileDoesNotCover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	m := mustOpenMembers(t, path)
	for _, step := range []struct{ advance, applied paxos.Slot }{
		{1, 0}, {saveEvery - 1, 0}, {saveEvery, saveEvery}, {saveEvery + 1, saveEvery}, {2 * saveEvery, 2 * saveEvery},
	} {
		m.Advance(step.advance)
		if got, saved := m.Applied(), mustOpenMembers(t, path).Applied(); got != step.applied || saved != step.applied {
			t.Errorf("advanced to %d: at %d, in the file %d, not %d", step.advance, got, saved, step.applied)
		}
	}
}

// TestMembersOutliveAPowerCutAtAnyInstant cuts the power before each call to the disk, with every fate that a seed deals to what was
// not synced, and demands the state of one publication, not older than the last that Applied has claimed.
func TestMembersOutliveAPowerCutAtAnyInstant(t *testing.T) {
	const dir, path, publications = "/m", "/m/members", 5
	name := func(slot paxos.Slot) string { return strings.Repeat("x", 600*int(slot%2)) + strconv.Itoa(int(slot)) } // of more and less than a sector
	cuts := 0
	for seed := range uint64(100) {
		choices := rand.New(rand.NewPCG(seed, 0))
		files := disk.NewMem()
		if err := files.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		m, err := openMembers(files, path, func(err error) { t.Errorf("failed: %v", err) })
		if err != nil {
			t.Fatal(err)
		}
		cut := func() {
			cuts++
			found, err := openMembers(files.Crash(choices.IntN), path, nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			want := ""
			if found.Applied() > 0 {
				want = name(found.Applied())
			}
			if found.Applied() < m.Applied() || found.Published(1).Name != want {
				t.Fatalf("seed %d: found slot %d of %d, and the name %q", seed, found.Applied(), m.Applied(), found.Published(1).Name)
			}
		}
		files.Intercept(func(disk.Call) error { cut(); return nil })
		for slot := range paxos.Slot(publications) {
			m.Apply([]synod.Command{publication(t, slot+1, &pb.Member{ID: 1, Name: name(slot + 1)})})
			cut()
		}
	}
	if cuts < 1000 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestAFailureOfTheDiskFailsTheMembers(t *testing.T) {
	for _, op := range []disk.Op{disk.OpCreate, disk.OpWrite, disk.OpSync, disk.OpRename, disk.OpSyncDir} {
		files, broken := disk.NewMem(), errors.New("broken disk")
		if err := files.MkdirAll("/m"); err != nil {
			t.Fatal(err)
		}
		var failure error
		m, err := openMembers(files, "/m/members", func(err error) { failure = err })
		if err != nil {
			t.Fatal(err)
		}
		files.Intercept(disk.FailNth(op, 1, broken))
		m.Apply([]synod.Command{publication(t, 3, &pb.Member{ID: 1, Name: "one"})})
		if !errors.Is(failure, broken) || m.Applied() != 0 {
			t.Errorf("%v: failed with %v, at slot %d", op, failure, m.Applied())
		}
	}
}

func TestACommandThatCannotBeReadFailsTheMembers(t *testing.T) {
	var failure error
	m, err := OpenMembers(filepath.Join(t.TempDir(), "members"), func(err error) { failure = err })
	if err != nil {
		t.Fatal(err)
	}
	m.Apply([]synod.Command{{Slot: 3, Data: []byte{0xff}}})
	if failure == nil || m.Applied() != 0 {
		t.Errorf("failed with %v, at slot %d", failure, m.Applied())
	}
}

func TestACorruptFileOfMembersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	m := mustOpenMembers(t, path)
	m.Apply([]synod.Command{publication(t, 3, &pb.Member{ID: 1, Name: "one"})})
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range sound {
		flipped := append([]byte(nil), sound...)
		flipped[n] ^= 1
		for what, corrupt := range map[string][]byte{"cut": sound[:n], "flipped": flipped} {
			if err := os.WriteFile(path, corrupt, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenMembers(path, nil); !errors.Is(err, ErrMembersFile) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s at byte %d: %v", what, n, err)
			}
		}
	}
}

func TestAMemberPublishesItselfOnceTheLogTakesIt(t *testing.T) {
	s := serve(t, nil)
	got, err := pb.NewClusterClient(s.conn).MemberList(t.Context(), &pb.MemberListRequest{Linearizable: true})
	want := &pb.MemberListResponse{Header: got.GetHeader(), Members: []*pb.Member{
		{ID: uint64(testMember), Name: "m3", PeerURLs: []string{"http://127.0.0.1:3"}, ClientURLs: []string{"http://127.0.0.1:2"}},
		{ID: 7, PeerURLs: []string{"http://127.0.0.1:4"}},
	}}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v, not %v", got, err, want)
	}

	before := s.node.proposals.Load()
	if err := s.publishOnce(); err != nil {
		t.Error(err)
	}
	if n := s.node.proposals.Load() - before; n != 0 {
		t.Errorf("what the cluster knows already was proposed %d times", n)
	}
	s.self = &pb.Member{ID: uint64(testMember), Name: "other"}
	s.node.failWith(synod.ErrNoLeader)
	if err := s.publishOnce(); err == nil {
		t.Error("published without a leader")
	}
	s.node.failWith(nil)
	if err := s.publishOnce(); err != nil || s.members.Published(uint64(testMember)).Name != "other" {
		t.Errorf("%v, %v", s.members.all(), err)
	}
}

// said has a token for each line that is logged.
type said chan struct{}

func (s said) Write(line []byte) (int, error) {
	s <- struct{}{}
	return len(line), nil
}

func TestAMemberHasPublishedItselfNoSoonerThanTheClusterKnows(t *testing.T) {
	s := serve(t, nil)
	tried := make(said, 100)
	s.self, s.published, s.logger = &pb.Member{ID: uint64(testMember), Name: "other"}, make(chan struct{}), slog.New(slog.NewTextHandler(tried, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.node.failWith(synod.ErrNoLeader)
	var publishing sync.WaitGroup
	publishing.Go(s.publish)
	<-tried
	select {
	case <-s.Published():
		t.Error("published without a leader")
	default:
	}
	s.node.failWith(nil)
	<-s.Published()
	if name := s.members.Published(uint64(testMember)).Name; name != "other" {
		t.Errorf("the member has published itself, and the cluster knows it as %q", name)
	}
	publishing.Wait()
}
