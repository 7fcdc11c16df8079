package synod

import (
	"bytes"
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// TestWhatHappensToANodeIsALineEach has things happen to a node of which only what it tells matters, and reads the log.
func TestWhatHappensToANodeIsALineEach(t *testing.T) {
	const many = 50
	for name, tc := range map[string]struct {
		happen func(n *Node)
		want   string // a pattern
	}{
		"group commits that take long": {func(n *Node) {
			for range many {
				n.onSynced(SyncDone{Bytes: 7, Duration: slowSync})
			}
		}, `WARN the disk is slow: .* took=1s bytes=7 muted=0`},
		"group commits that do not": {func(n *Node) { n.onSynced(SyncDone{Duration: slowSync - 1}) }, ``},
		"messages that cannot be read": {func(n *Node) {
			for range many {
				(&network{n}).Receive(transport.Identity{Node: 0xabc}, transport.Control, []byte{frameMessage, 255})
			}
		}, `WARN a peer has sent a message that cannot be read: .* peer=abc error=.* muted=0`},
		"records that cannot be read": {func(n *Node) {
			m := newMender(n)
			for range many {
				m.onRecord(0xabc, []byte("x"))
			}
		}, `WARN a peer has sent a record that cannot be read: .* peer=abc error=.* muted=0`},
		"a disk that fails": {func(n *Node) {
			n.Fail(errors.New("cannot write the log: it is full"))
			n.Fail(errors.New("a second reason"))
		}, `ERROR this member has stopped error="cannot write the log: it is full"`},
		"a removal is no error": {func(n *Node) { n.Fail(ErrRemoved) }, ``},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			tc.happen(&Node{logger: slog.New(slog.NewTextHandler(&log, nil)), inbox: newInbox(), pending: newPending(1, 1, 1), opened: time.Now(), done: make(chan struct{})})
			if got := plain(log.String()); !regexp.MustCompile("^" + tc.want + "$").MatchString(got) {
				t.Errorf("the log says\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestTheMembershipIsToldByMemberAndRole(t *testing.T) {
	got := describe(&paxos.Configuration{Members: []paxos.Member{
		{ID: 0xa, Roles: paxos.FullMember}, {ID: 0xb, Roles: paxos.Learner, Invited: paxos.FullMember}, {ID: 0xc, Invited: paxos.Learner}}})
	want := []string{"a proposer+acceptor+learner", "b learner, to be proposer+acceptor+learner", "c, to be learner"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%q, want %q", got, want)
	}
}
