package synod

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

// TestTheLogSaysOnceWhoLeadsSinceWhenAndWhy gives a leaderLog what the core of member 1 of three says over time, and reads what an operator does.
func TestTheLogSaysOnceWhoLeadsSinceWhenAndWhy(t *testing.T) {
	const self = 1
	ballot := func(round uint64, node paxos.NodeID) paxos.Ballot {
		return paxos.Ballot{Round: round, Node: node, Boot: 1}
	}
	follows := func(round uint64, leader paxos.NodeID) paxos.Status {
		return paxos.Status{Leader: leader, Ballot: ballot(round, leader), Leads: leader == self}
	}
	nobody := func(round uint64, was paxos.NodeID, why paxos.Leaderless) paxos.Status {
		return paxos.Status{Ballot: ballot(round, was), Why: why, Peers: []paxos.PeerStatus{
			{Member: paxos.Member{ID: 1}, Alive: true}, {Member: paxos.Member{ID: 2}}, {Member: paxos.Member{ID: 3}, Alive: true}}}
	}
	preparing := func(round uint64) paxos.Status {
		s := follows(round, self)
		s.Leads = false
		return s
	}
	type at struct {
		after  time.Duration // since the one before
		status paxos.Status
	}
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		seen []at
		want []string
	}{
		"a start, and a leader comes": {
			seen: []at{{0, nobody(0, 0, paxos.NeverLed)}, {time.Minute, follows(1, 2)}, {300 * ms, follows(1, 2)}, {time.Hour, follows(1, 2)}},
			want: []string{`INFO following a leader leader=2 ballot=1.2.1 reason="there has been no leader yet"`},
		},
		"this member leads once enough have promised": {
			seen: []at{{0, nobody(0, 0, paxos.NeverLed)}, {0, preparing(1)}, {time.Second, preparing(1)}, {ms, follows(1, self)}, {time.Second, follows(1, self)}},
			want: []string{`INFO this member leads ballot=1.1.1 reason="there has been no leader yet"`},
		},
		"the leader dies and this member takes over": {
			seen: []at{{0, follows(1, 2)}, {time.Second, follows(1, 2)}, {time.Minute, nobody(1, 2, paxos.HeardByOthers)}, {100 * ms, nobody(1, 2, paxos.LeaderSilent)}, {300 * ms, preparing(2)}, {100 * ms, follows(2, self)}},
			want: []string{
				`INFO following a leader leader=2 ballot=1.2.1 reason="leadership has passed on, at a higher ballot"`,
				`INFO this member leads ballot=2.1.1 reason="the leader is not heard" before=2 led=1m1s without-leader=500ms`},
		},
		"a leader that is doubted for a moment": {
			seen: []at{{0, follows(1, 2)}, {time.Second, follows(1, 2)}, {ms, nobody(1, 2, paxos.LeaderResting)}, {100 * ms, follows(1, 2)}, {time.Second, follows(1, 2)}},
			want: []string{`INFO following a leader leader=2 ballot=1.2.1 reason="leadership has passed on, at a higher ballot"`},
		},
		"candidates that come and go are not told": {
			seen: []at{{0, follows(1, 2)}, {time.Second, follows(1, 2)}, {0, follows(2, 3)}, {100 * ms, nobody(2, 3, paxos.LeaderResting)}, {0, follows(3, 2)}, {time.Second, follows(3, 2)}},
			want: []string{
				`INFO following a leader leader=2 ballot=1.2.1 reason="leadership has passed on, at a higher ballot"`,
				`INFO following a leader leader=2 ballot=3.2.1 reason="leadership has passed on, at a higher ballot" before=2 led=1s without-leader=100ms`},
		},
		"no majority for a long time, then the same leader": {
			seen: []at{{0, follows(1, self)}, {time.Minute, nobody(1, self, paxos.Unfollowed)}, {2 * time.Second, nobody(1, self, paxos.Unfollowed)},
				{10 * time.Second, nobody(1, self, paxos.Unfollowed)}, {20 * time.Second, nobody(1, self, paxos.Unfollowed)}, {time.Second, follows(1, self)}},
			want: []string{
				`INFO this member leads ballot=1.1.1 reason="leadership has passed on, at a higher ballot"`,
				`WARN no leader: writes and linearizable reads fail; bring back enough of the members that are not heard, or their network ballot=1.1.1 before=1 reason="this member hears too few of those who vote to lead" for=2s not-heard=[2]`,
				`WARN no leader: writes and linearizable reads fail; bring back enough of the members that are not heard, or their network ballot=1.1.1 before=1 reason="this member hears too few of those who vote to lead" for=32s not-heard=[2]`,
				`INFO this member leads ballot=1.1.1 reason="this member hears too few of those who vote to lead" before=1 led=1m0s without-leader=33s`},
		},
		"a link to the leader that is cut": {
			seen: []at{{0, follows(1, 2)}, {time.Second, follows(1, 2)}, {0, nobody(1, 2, paxos.HeardByOthers)}, {2 * time.Second, nobody(1, 2, paxos.HeardByOthers)}},
			want: []string{
				`INFO following a leader leader=2 ballot=1.2.1 reason="leadership has passed on, at a higher ballot"`,
				`WARN the leader is not heard, but others pass on what is sent to it: see to the network between it and this member ballot=1.2.1 before=2 reason="the leader is heard by others, not by this member" for=2s not-heard=[2]`},
		},
		"a leader whose disk stalls warns when another has taken over": {
			seen: []at{{0, follows(1, self)}, {time.Minute, nobody(1, self, paxos.DiskStalled)}, {300 * ms, follows(2, 3)}, {time.Second, follows(2, 3)}},
			want: []string{
				`INFO this member leads ballot=1.1.1 reason="leadership has passed on, at a higher ballot"`,
				`WARN this member led, and could not do its work: see to its disk, and to its network ballot=1.1.1 reason="this member's disk does not answer: it does not lead any more"`,
				`INFO following a leader leader=3 ballot=2.3.1 reason="this member's disk does not answer: it does not lead any more" before=1 led=1m0s without-leader=300ms`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			l := leaderLog{logger: slog.New(slog.NewTextHandler(&log, nil)), self: self, settle: 200 * ms, patience: 2 * time.Second}
			now := time.Unix(0, 0)
			for _, step := range tc.seen {
				now = now.Add(step.after)
				l.observe(now, &step.status)
			}
			if got := plain(log.String()); got != strings.Join(tc.want, "\n") {
				t.Errorf("the log says\n%s\nwant\n%s", got, strings.Join(tc.want, "\n"))
			}
		})
	}
}

// plain returns a log in text without times, and its messages without quotes.
func plain(log string) string {
	log = regexp.MustCompile(`(?m)^time=\S+ level=(\w+) msg="([^"]+)"`).ReplaceAllString(log, "$1 $2")
	return strings.TrimSpace(log)
}
