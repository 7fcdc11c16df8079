package mutants

// recoveryMutants are of phase 1: what a candidate makes of reports.
var recoveryMutants = []Mutant{
	{
		ID:     "lowest-vote-picked",
		Breaks: "the value of the highest ballot reported is proposed, not of the lowest (P2c)",
		Source: "Lamport, \"Paxos Made Simple\", §2.2",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old:  `s.best.Ballot.Less(rep.Record.Ballot)`,
		New:  `rep.Record.Ballot.Less(s.best.Ballot)`,
		Dies: unit("TestP2cTheValueOfTheHighestNumberedProposalReported"),
	},
	{
		ID:     "first-vote-picked",
		Breaks: "the value of the highest ballot reported is proposed, not the first (P2c)",
		Source: "the classic: any accepted value will do",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old:  `if s.best == nil || s.best.Ballot.Less(rep.Record.Ballot) {`,
		New:  `if s.best == nil {`,
		Dies: unit("TestP2cTheValueOfTheHighestNumberedProposalReported"),
	},
	{
		ID:     "last-vote-picked",
		Breaks: "the value of the highest ballot reported is proposed, not the last (P2c)",
		Source: "the classic: any accepted value will do",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old:  `if s.best == nil || s.best.Ballot.Less(rep.Record.Ballot) {`,
		New:  `if true {`,
		Dies: unit("TestP2cTheValueOfTheHighestNumberedProposalReported"),
	},
	{
		ID:     "promise-quorum-by-count",
		Breaks: "promises are counted by acceptor, not by message",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old: `rc.reporters[i].done = m.Flag`,
		New: `for k := range rc.reporters {
		rc.reporters[k].done = m.Flag
	}`,
		Dies: unit("TestACandidateWithoutAPhase1QuorumGivesWayWithinABound"),
	},
	{
		ID:     "chunk-order-ignored",
		Breaks: "chunks of reports count in order and without gaps (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old:  `if i < 0 || rc.reporters[i].done || m.Slot != rc.reporters[i].cursor {`,
		New:  `if i < 0 || rc.reporters[i].done {`,
		Dies: unit("TestAChunkOutOfOrderIsNotCounted"),
	},
	{
		ID:     "reports-above-prefix-of-chosen-dropped",
		Breaks: "a slot reported as chosen keeps its value (P2c)",
		Source: "scylladb issue 6149",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old: `case ReportChosen:
			s.chosen = rep.Record`,
		New:  `case ReportChosen:`,
		Dies: unit("TestAReportedChoiceOutOfReachKeepsItsValue"),
	},
	{
		ID:     "lost-vote-counts",
		Breaks: "who has lost its vote does not count for that slot (P2c)",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "paxos/recovery.go", Func: "recovery.resolve",
		Old: `				counted = counted.minus(single(i))
`,
		New: `				_ = u
`,
		Dies: unit("TestALatePromiseDoesNotTurnALostVoteIntoANoop"),
	},
	{
		ID:     "lost-vote-counts-if-any-vote",
		Breaks: "a lost vote counts only if a vote as high was reported (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.resolve",
		Old:  `if s.best == nil || s.best.Ballot.Less(u.limit) {`,
		New:  `if s.best == nil {`,
		Dies: unit("TestALostVoteCountsOnlyIfItCannotHaveBeenTheHighest"),
	},
	{
		ID:     "lost-vote-never-counts",
		Breaks: "a lost vote that cannot have been the highest does count",
		File:   "paxos/recovery.go", Func: "recovery.resolve",
		Old:  `if s.best == nil || s.best.Ballot.Less(u.limit) {`,
		New:  `if true {`,
		Dies: unit("TestALostVoteCountsOnlyIfItCannotHaveBeenTheHighest"),
	},
	{
		ID:     "high-ignores-prefix",
		Breaks: "no new command goes into a slot that anybody knows to be chosen (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old: `	rc.high = max(rc.high, m.Chosen)
`,
		New:  "",
		Dies: unit("TestALeaderThatCannotLearnAPredecessorsPrefixGivesWay"),
	},
	{
		ID:     "high-ignores-reports",
		Breaks: "no new command goes into a slot that was reported on (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old: `		rc.high = max(rc.high, rep.Slot)
`,
		New:  "",
		Dies: unit("TestAChunkOutOfOrderIsNotCounted"),
	},
	{
		ID:     "leads-after-own-promise",
		Breaks: "phase 1 is done with a quorum of promises (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.complete",
		Old:  `return config.IsPhase1Quorum(rc.reported(config))`,
		New:  `return rc.reported(config) != 0`,
		Dies: unit("TestACandidateWithoutAPhase1QuorumGivesWayWithinABound"),
	},
	{
		ID:     "resolves-without-quorum",
		Breaks: "a slot is settled by a quorum of definite reports (P2c)",
		File:   "paxos/recovery.go", Func: "recovery.resolve",
		Old:  `	if !config.IsPhase1Quorum(counted) {`,
		New:  `	if false {`,
		Dies: unit("TestALatePromiseDoesNotTurnALostVoteIntoANoop"),
	},
	{
		ID:     "report-gaps-unbounded",
		Breaks: "reports claim no slots beyond an acceptor's reach",
		File:   "paxos/recovery.go", Func: "recovery.add",
		Old: `		if rep.Slot > last+reach {
			return false
		}
`,
		New:  "",
		Dies: unit("TestAReportBeyondAnyGapIsNotBelieved"),
	},
}
