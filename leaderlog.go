package synod

import (
	"log/slog"
	"time"

	"synod.dev/synod/paxos"
)

// leaderLog tells the log who leads: a line for each new leader, which says at which ballot, who led before, and why no longer; and a warning now and then while nobody is followed for longer than an
// election takes. What an election looks like from within, candidates that come and go, is not told. It belongs to the event loop.
type leaderLog struct {
	logger   *slog.Logger
	self     paxos.NodeID
	settle   time.Duration // another member is believed to lead once this node has followed it for so long
	patience time.Duration // an election should take no longer

	said LeaderChange // the leader as last told
	from time.Time    // when it was first followed

	next     LeaderChange // whom this node follows now; zero if nobody
	followed time.Time    // since when

	lost   time.Time        // since when the leader that was told is followed no more; zero while it is
	why    paxos.Leaderless // as of then
	warned time.Time        // the last warning since; zero if there was none
}

// leaderlessInterval is the time between two warnings that nobody is followed.
const leaderlessInterval = 30 * time.Second

// observe takes what the core says after a step.
func (l *leaderLog) observe(now time.Time, s *paxos.Status) {
	current := LeaderChange{Leader: s.Leader, Ballot: s.Ballot}
	if s.Leader == 0 || s.Leader == l.self && !s.Leads {
		current = LeaderChange{}
	}
	if current != l.next {
		l.next, l.followed = current, now
	}
	if l.lost.IsZero() && (current.Leader == 0 || current != l.said) {
		l.lost, l.why = now, paxos.Led
	}
	if (l.lost.Equal(now) || l.why == paxos.HeardByOthers) && s.Leader == 0 && (s.Ballot == l.said.Ballot || l.said.Leader == 0) {
		l.why = s.Why // what others were last heard to say of the leader is older than what this member knows
	}
	switch {
	case current.Leader == 0:
		l.miss(now, s)
	case current == l.said && l.warned.IsZero():
		l.lost = time.Time{}
	case s.Leader == l.self || now.Sub(l.followed) >= l.settle:
		l.announce(now)
	}
}

// announce tells of the leader that this node follows.
func (l *leaderLog) announce(now time.Time) {
	attributes := []any{"ballot", l.next.Ballot.String(), "reason", l.why.String()}
	if l.said.Leader != 0 {
		attributes = append(attributes, "before", hexID(l.said.Leader), "led", l.lost.Sub(l.from).Round(time.Millisecond), "without-leader", l.followed.Sub(l.lost).Round(time.Millisecond))
	}
	if l.why == paxos.DiskStalled || l.why == paxos.NoProgress {
		l.logger.Warn("this member led, and could not do its work: see to its disk, and to its network", "ballot", l.said.Ballot.String(), "reason", l.why.String())
	}
	if l.next.Leader == l.self {
		l.logger.Info("this member leads", attributes...)
	} else {
		l.logger.Info("following a leader", append([]any{"leader", hexID(l.next.Leader)}, attributes...)...)
	}
	l.said, l.from = l.next, l.followed
	l.lost, l.warned = time.Time{}, time.Time{}
}

// miss warns when nobody has been followed for too long. Before the first leader, it is whoever has opened the node that waits.
func (l *leaderLog) miss(now time.Time, s *paxos.Status) {
	if l.said.Leader == 0 || now.Sub(l.lost) < l.patience || !l.warned.IsZero() && now.Sub(l.warned) < leaderlessInterval {
		return
	}
	l.warned = now
	what := "no leader: writes and linearizable reads fail; bring back enough of the members that are not heard, or their network"
	if s.Why == paxos.HeardByOthers {
		what = "the leader is not heard, but others pass on what is sent to it: see to the network between it and this member"
	}
	var silent []string
	for _, p := range s.Peers {
		if !p.Alive {
			silent = append(silent, hexID(p.ID))
		}
	}
	l.logger.Warn(what, "ballot", s.Ballot.String(), "before", hexID(l.said.Leader), "reason", s.Why.String(), "for", now.Sub(l.lost).Round(time.Millisecond), "not-heard", silent)
}
