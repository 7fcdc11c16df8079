package mutants

// learnerMutants are of how a choice becomes known, and durable, and applied.
var learnerMutants = []Mutant{
	{
		ID:     "older-vote-taken-for-chosen",
		Breaks: "a follower takes its vote for chosen only if it is of the announcing ballot",
		Source: "LogCabin issue 44: an older term's entry counted as committed",
		File:   "paxos/learner.go", Func: "learner.advance",
		Old: `			v := l.r.acceptor.at(next, l.announcedBallot)
			if v == nil {`,
		New: `			v := l.r.acceptor.votes.get(next)
			if v == nil || v.record == nil {`,
		Dies: unit("TestALearnerTakesItsOwnVoteForChosenOnlyAtTheAnnouncedBallot"),
	},
	{
		ID:     "delivers-before-durable",
		Breaks: "a value is applied only when this node's own log has it durably",
		Source: "ZOOKEEPER-4646: acknowledged before logged",
		File:   "paxos/learner.go", Func: "learner.deliver",
		Old: `		if d.lsn > l.r.gate.durable {
			break
		}
`,
		New:  "",
		Dies: unit("TestNothingIsDeliveredBeforeItIsDurableHere"),
	},
	{
		ID:     "learned-value-not-logged",
		Breaks: "a value that was learned is logged before it is applied",
		File:   "paxos/learner.go", Func: "learner.choose",
		Old:  `decision{learned, l.r.append(learned)}`,
		New:  `decision{learned, 0}`,
		Dies: unit("TestAChoiceOfAPastBallotIsKnownAfterARestart"),
	},
	{
		ID:     "announcement-carried-to-next-ballot",
		Breaks: "a chosen prefix announced at one ballot says nothing of another's votes",
		File:   "paxos/learner.go", Func: "learner.onAnnounced",
		Old: `l.announcedBallot, l.announced = ballot, 0
	}`,
		New: `l.announcedBallot = ballot
	}`,
		Dies: unit("TestAnAnnouncementDoesNotOutliveItsBallot"),
	},
	{
		ID:     "past-ballots-vote-not-logged-as-chosen",
		Breaks: "a choice by a vote of a past ballot is logged as a choice",
		File:   "paxos/learner.go", Func: "learner.choose",
		Old:  ` && (rec.Ballot == l.r.acceptor.promised || l.r.restoring()) {`,
		New:  ` {`,
		Dies: unit("TestAChoiceOfAPastBallotIsKnownAfterARestart"),
	},
	{
		ID:     "choice-not-told-to-leader",
		Breaks: "a leader hears of every choice that is learned",
		File:   "paxos/learner.go", Func: "learner.choose",
		Old: `	l.r.proposer.onChoice(rec)
`,
		New:  "",
		Dies: unit("TestALeaderResignsOverAForeignChoiceInAPromise"),
	},
	{
		ID:     "choice-out-of-reach-kept",
		Breaks: "a choice too far ahead is left for later",
		File:   "paxos/learner.go", Func: "learner.choose",
		Old:  ` || slot > l.prefix+Slot(l.r.cfg.Limits.ReorderingSlots) {`,
		New:  ` {`,
		Dies: unit("TestAChoiceOutOfReachIsLeftForLater"),
	},
	{
		ID:     "cache-unbounded",
		Breaks: "chosen records in memory are bounded",
		File:   "paxos/learner.go", Func: "learner.deliver",
		Old:  `for l.kept > l.r.cfg.Limits.CacheBytes &&`,
		New:  `for false &&`,
		Dies: unit("TestALearnIsAnsweredWithinItsBoundFromMemoryOrFromTheLog"),
	},
	{
		ID:     "lost-choice-older-choice-taken",
		Breaks: "an older record does not stand in for a lost choice",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "paxos/learner.go", Func: "learner.restore",
		Old:  ` && !l.r.acceptor.lost(rec.Slot):`,
		New:  `:`,
		Dies: unit("TestALostRecordDoesNotMakeAnOlderOneTheChoice"),
	},
	{
		ID:     "prefix-of-promise-stops-at-a-choice",
		Breaks: "a promise's chosen prefix holds above learned slots",
		File:   "paxos/learner.go", Func: "learner.restorePrefix",
		Old: `		if l.at(s) != nil {
			continue
		}`,
		New: `		if l.at(s) != nil {
			return
		}`,
		Dies: unit("TestARestartTakesThePromisesWordAboveALearnedSlot"),
	},
}
