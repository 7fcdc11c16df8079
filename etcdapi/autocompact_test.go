package etcdapi

import (
	"testing"
	"time"
)

func TestAPeriodKeepsTheRevisionsOfThatTimeAndNotMuchMore(t *testing.T) {
	for _, period := range []time.Duration{10 * time.Second, time.Hour, 10 * time.Hour} {
		plan := compactionPlan{keep: AutoCompaction{Period: period}}
		start := time.Unix(0, 0)
		pause := plan.keep.pause()
		if want := min(period, time.Hour) / 10; pause != want {
			t.Errorf("%v: a look each %v, want %v", period, pause, want)
		}
		for i := range int64(1000) {
			// The revision at each look is the number of the look, so that the target tells how old it is.
			target := plan.target(start.Add(time.Duration(i)*pause), i+1)
			if want := max(i+1-int64(period/pause), 0); target != want {
				t.Fatalf("%v: at look %d revision %d is compacted, want %d", period, i, target, want)
			}
			if marks := int64(len(plan.marks)); marks > int64(period/pause)+1 {
				t.Fatalf("%v: %d marks are kept", period, marks)
			}
		}
		late := start.Add(1000*pause + 3*period) // as after a pause of the machine
		if target := plan.target(late, 2000); target != 1000 {
			t.Errorf("%v: after a pause revision %d is compacted, want the last one seen, 1000", period, target)
		}
	}
}

func TestACountKeepsThatManyRevisions(t *testing.T) {
	plan := compactionPlan{keep: AutoCompaction{Revisions: 100}}
	for _, c := range []struct{ revision, want int64 }{{1, 0}, {100, 0}, {101, 1}, {1000, 900}} {
		if got := plan.target(time.Unix(0, 0), c.revision); got != c.want {
			t.Errorf("at %d: %d, want %d", c.revision, got, c.want)
		}
	}
	if plan.keep.pause() != revisionCompactionPause {
		t.Errorf("a look each %v", plan.keep.pause())
	}
}

func TestTheLeaderCompactsByItselfUnderAuthenticationToo(t *testing.T) {
	s := serve(t, func(c *Config) {
		cheap(c)
		c.AutoCompaction = AutoCompaction{Period: 10 * time.Millisecond}
	})
	for range 5 {
		s.mustPut(t, "a", "1")
	}
	eventually(t, func() bool { return s.store.CompactRevision() == 6 })
	s.enable(t)
	must(t, s.put(s.login(t, "root"), "a"))
	eventually(t, func() bool { return s.store.CompactRevision() == 7 })
}

func TestWhoDoesNotLeadCompactsNothing(t *testing.T) {
	s := serve(t, nil)
	for range 3 {
		s.mustPut(t, "a", "1")
	}
	s.node.leaderless.Store(true)
	s.compactIfLeading(3)
	if got := s.store.CompactRevision(); got > 0 {
		t.Errorf("compacted at %d", got)
	}
	s.node.leaderless.Store(false)
	proposals := s.node.proposals.Load()
	for _, revision := range []int64{0, 3, 3, 2} {
		s.compactIfLeading(revision)
	}
	if got := s.store.CompactRevision(); got != 3 {
		t.Errorf("the leader compacted at %d, want 3", got)
	}
	if got := s.node.proposals.Load() - proposals; got > 1 {
		t.Errorf("%d proposals for one compaction", got)
	}
}
