package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

var rollingRounds = flag.Int("rolling-rounds", 2, "how often TestEveryMemberIsReplacedUnderLoad replaces all members")

// TestEveryMemberIsReplacedUnderLoad adds a new member in the place of each, one after the other, with a directory and addresses of its own, and removes the old one, which ends by itself. At the end
// nobody is left of those who founded the cluster, a restart of all finds together, and what was told to clients is judged.
func TestEveryMemberIsReplacedUnderLoad(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	l.awaitWrites(writesBetween)
	for round := range *rollingRounds {
		for i := range c.members {
			old := c.members[i]
			fresh := c.add(fmt.Sprintf("%s%d", string(rune('a'+i)), round+1))
			fresh.awaitReady()
			c.awaitVoter(fresh)
			c.members = append(c.members[:i:i], append([]*member{fresh}, c.members[i+1:]...)...)
			l.turnTo(c.members)
			id := c.idOf(fresh, old)
			c.change("the removal of "+old.name, func(ctx context.Context) error {
				_, err := fresh.api.MemberRemove(ctx, id)
				return err
			}, rpctypes.ErrMemberNotFound)
			if code := old.exitCode(); code != 0 {
				t.Fatalf("%s, removed, ended with exit code %d", old.name, code)
			}
			l.awaitWrites(writesBetween)
		}
	}
	killAtOnce(c.members)
	startAll(c.members)
	for _, m := range c.members {
		m.awaitReady()
	}
	l.awaitWrites(writesBetween)
	l.judge(c)
}

// TestAWipedMemberIsReplacedByItself empties a member's directory in a cluster that was told to replace such members.
func TestAWipedMemberIsReplacedByItself(t *testing.T) {
	var places []place
	for range 3 {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, serve(), places)
	for _, m := range c.members {
		m.flags = append(m.flags, "--replace-wiped")
	}
	c.start()
	l := startLoad(c)
	l.awaitWrites(writesBetween)
	m := c.leader()
	m.kill()
	rename(t, m.dir, m.dir+".lost")
	m.start()
	m.awaitReady()
	c.awaitVoter(m)
	l.awaitWrites(writesBetween)
	l.judge(c)
}

// add invites a member and starts it with what etcd's own documentation says to start it with.
func (c *cluster) add(name string) *member {
	c.t.Helper()
	client, peer := listenAddress(c.t), listenAddress(c.t)
	m := &member{t: c.t, program: c.members[0].program, name: name, place: place{client, peer, client, peer}}
	m.dir = filepath.Join(c.t.TempDir(), name)
	c.change("the invitation of "+name, func(ctx context.Context) error {
		_, err := c.members[0].api.MemberAdd(ctx, []string{"http://" + peer})
		return err
	}, rpctypes.ErrPeerURLExist)
	all := []string{name + "=http://" + peer}
	for _, other := range c.members {
		all = append(all, other.name+"=http://"+other.peer)
	}
	m.flags = []string{
		"--name=" + name, "--initial-cluster=" + strings.Join(all, ","), joins,
		"--listen-client-urls=http://" + client, "--advertise-client-urls=http://" + client,
		"--listen-peer-urls=http://" + peer, "--initial-advertise-peer-urls=http://" + peer,
	}
	m.api = newClient(c.t, client)
	m.start()
	return m
}

// remove removes a member, and with it its process and its disk.
func (c *cluster) remove(m *member) {
	c.t.Helper()
	asked := c.otherThan(m)
	id := c.idOf(asked, m)
	c.insist("the removal of "+m.name, func(ctx context.Context) error {
		_, err := asked.api.MemberRemove(ctx, id)
		return err
	}, rpctypes.ErrMemberNotFound)
	m.kill()
	if err := os.RemoveAll(m.dir); err != nil {
		c.t.Fatal(err)
	}
}

// joins tells a process that its member is added to a cluster that there is.
const joins = "--initial-cluster-state=existing"

// addAgain adds a member that was removed in the place that it had, waits until it votes, and returns its new ID.
func (c *cluster) addAgain(m *member) uint64 {
	c.t.Helper()
	asked := c.otherThan(m)
	c.insist("the invitation of "+m.name, func(ctx context.Context) error {
		_, err := asked.api.MemberAdd(ctx, []string{"http://" + m.peer})
		return err
	}, rpctypes.ErrPeerURLExist)
	if !slices.Contains(m.flags, joins) {
		m.flags = append(m.flags, joins)
	}
	m.start()
	m.awaitReady()
	c.awaitVoter(m)
	return c.idOf(asked, m)
}

// otherThan returns the member after m.
func (c *cluster) otherThan(m *member) *member {
	return c.members[(slices.Index(c.members, m)+1)%len(c.members)]
}

// insist asks for a change of the membership until it is done, whatever refuses it or leaves its outcome open meanwhile; done is what the cluster answers when an
// earlier attempt has made it.
func (c *cluster) insist(what string, ask func(context.Context) error, done error) {
	c.t.Helper()
	eventually(c.t, what, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), requestTimeout)
		defer cancel()
		err := ask(ctx)
		return err == nil || errors.Is(err, done)
	})
}

// change asks for a change of the membership until the cluster finds itself healthy enough, as etcd's clients have to; done is what it answers when an attempt whose outcome
// was open has made it.
func (c *cluster) change(what string, ask func(context.Context) error, done error) {
	c.t.Helper()
	open := false
	eventually(c.t, what, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), insistTimeout)
		defer cancel()
		err := ask(ctx)
		switch {
		case err == nil, open && errors.Is(err, done):
			return true
		case errors.Is(err, rpctypes.ErrUnhealthy):
		case isSlow(err):
			open = true
		default:
			c.t.Fatalf("%s: %v", what, err)
		}
		return false
	})
}

// awaitVoter waits until a member votes, as the member itself sees it.
func (c *cluster) awaitVoter(m *member) {
	c.t.Helper()
	eventually(c.t, m.name+" votes", func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), requestTimeout)
		defer cancel()
		resp, err := m.api.MemberList(ctx)
		if err != nil {
			return false
		}
		i := slices.IndexFunc(resp.Members, func(listed *pb.Member) bool { return listed.Name == m.name })
		return i >= 0 && !resp.Members[i].IsLearner
	})
}

// idOf returns a member's ID, as another one says.
func (c *cluster) idOf(asked, m *member) uint64 {
	c.t.Helper()
	resp, err := asked.api.MemberList(within(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, listed := range resp.Members {
		if slices.Contains(listed.PeerURLs, "http://"+m.peer) {
			return listed.ID
		}
	}
	c.t.Fatalf("%s is not listed", m.name)
	return 0
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
