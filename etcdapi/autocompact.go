package etcdapi

import (
	"time"

	"synod.dev/synod/kv"
)

// AutoCompaction says how much history the leader keeps; it compacts what is older. At most one field is set; without any, only clients compact.
type AutoCompaction struct {
	Period    time.Duration // the revisions of so long, at least, counted from this member's start; it remembers up to ten of them an hour
	Revisions int64         // or so many revisions behind the current one
}

// revisionCompactionPause is how often a count of revisions is looked at, as in etcd.
const revisionCompactionPause = 5 * time.Minute

// pause is how long to wait between two looks: with a period a tenth of it, or of an hour if that is less.
func (a AutoCompaction) pause() time.Duration {
	if a.Revisions > 0 {
		return revisionCompactionPause
	}
	return max(min(a.Period, time.Hour)/10, 1)
}

// compactionPlan finds the revision to compact at. Every member keeps one, so that a new leader knows what is old. The zero value of keep plans nothing.
type compactionPlan struct {
	keep  AutoCompaction
	marks []revisionMark // in the order of time; the first is the youngest that is old enough, or none is
}

// revisionMark is the store's revision at some time.
type revisionMark struct {
	at       time.Time
	revision int64
}

// target returns the revision to compact at, given the store's now, or 0 for none yet. It is to be called with times that never go back.
func (p *compactionPlan) target(now time.Time, revision int64) int64 {
	if p.keep.Revisions > 0 {
		return max(revision-p.keep.Revisions, 0)
	}
	p.marks = append(p.marks, revisionMark{now, revision})
	old := func(m revisionMark) bool { return now.Sub(m.at) >= p.keep.Period }
	for len(p.marks) > 1 && old(p.marks[1]) {
		p.marks = p.marks[1:]
	}
	if !old(p.marks[0]) {
		return 0
	}
	return p.marks[0].revision
}

// keepCompacting compacts by plan as long as this member leads.
func (s *Server) keepCompacting() {
	plan := compactionPlan{keep: s.autoCompaction}
	looks := time.NewTicker(plan.keep.pause())
	defer looks.Stop()
	plan.target(time.Now(), s.store.Revision())
	for {
		select {
		case <-s.stopped.Done():
			return
		case <-looks.C:
			s.compactIfLeading(plan.target(time.Now(), s.store.Revision()))
		}
	}
}

// compactIfLeading proposes a compaction, unless there has been a later one. One that fails is made up for by the next.
func (s *Server) compactIfLeading(revision int64) {
	if leader, _ := s.node.Leader(); uint64(leader) != s.member || revision <= max(s.store.CompactRevision(), 0) {
		return
	}
	switch err := s.command(s.stopped, kv.EncodeHistoryTrim(revision)); {
	case err == nil:
		s.logger.Info("the history is compacted", "revision", revision)
	case s.stopped.Err() == nil:
		s.logger.Warn("the automatic compaction failed and will be tried again", "revision", revision, "error", err)
	}
}
