package mutants

// identityMutants are of who counts, and as what.
var identityMutants = []Mutant{
	{
		ID:     "vital-promise-ignored",
		Breaks: "a restart takes the promise from the vital state",
		Source: "PySyncObj issue 202: terms restart at 0",
		File:   "paxos/replica.go", Func: "New",
		Old:  `promised: stable.Promised}`,
		New:  `}`,
		Dies: unit("TestARestartTakesTheHighestPromiseAndTheLastVote"),
	},
	{
		ID:     "other-incarnation-heard",
		Breaks: "a member whose disk was wiped is not the member it was",
		Source: "palantir/atlasdb issue 1504, TigerBeetle issue 2767: a wiped disk votes again",
		File:   "paxos/membership.go", Func: "Configuration.place",
		Old:  `; i >= 0 && c.Members[i].Incarnation == who.incarnation {`,
		New:  `; i >= 0 {`,
		Dies: model("replacement"),
	},
	{
		ID:     "starts-in-other-incarnation",
		Breaks: "a node does not start with another disk under its old name",
		Source: "palantir/atlasdb issue 1504; Chandra et al., \"Paxos Made Live\", §5.1",
		File:   "paxos/replica.go", Func: "New",
		Old:  `; got != 0 && got != cfg.Incarnation {`,
		New:  `; got != 0 && false {`,
		Dies: unit("TestAReplicaThatMakesNoSenseDoesNotStart"),
	},
	{
		ID:     "numbers-begin-at-zero-each-boot",
		Breaks: "request numbers are above those of earlier boots",
		File:   "paxos/replica.go", Func: "Replica.firstNumber",
		Old:  `return uint64(r.boot) << 32 }`,
		New:  `return 0 }`,
		Dies: unit("TestARestartedMembersFirstForwardIsNotTakenForAnOldOne"),
	},
	{
		ID:     "strangers-origin-heard",
		Breaks: "nothing is done on behalf of a stranger",
		File:   "paxos/view.go", Func: "Replica.hears",
		Old: `	if m.Origin != 0 && r.incarnation(m.Origin) == 0 && m.Origin != r.cfg.Self {
		return false
	}
`,
		New:  "",
		Dies: unit("TestARequestOnBehalfOfAStrangerIsDropped"),
	},
	{
		ID:     "durable-beyond-log-accepted",
		Breaks: "a disk that is ahead of its log is a violation",
		File:   "paxos/replica.go", Func: "Replica.onDurable",
		Old:  `	if lsn > r.appended {`,
		New:  `	if false {`,
		Dies: unit("TestADiskThatIsAheadOfItsLogIsAViolation"),
	},
	{
		ID:     "quorums-need-not-meet",
		Breaks: "every phase-1 quorum meets every phase-2 quorum",
		Source: "Howard et al., \"Flexible Paxos\" (2016)",
		File:   "paxos/membership.go", Func: "Configuration.checkQuorums",
		Old:  `c.Phase1+c.Phase2 <= n {`,
		New:  `c.Phase1+c.Phase2 < n {`,
		Dies: unit("TestQuorumsAlwaysMeet"),
	},
	{
		ID:     "learners-make-quorums",
		Breaks: "only acceptors make quorums",
		File:   "paxos/membership.go", Func: "Configuration.IsPhase2Quorum",
		Old:  `s.both(c.acceptors).count()`,
		New:  `s.count()`,
		Dies: unit("TestQuorumsAlwaysMeet"),
	},
	{
		ID:     "phase1-one-short",
		Breaks: "a phase-1 quorum is as large as configured",
		File:   "paxos/membership.go", Func: "Configuration.IsPhase1Quorum",
		Old:  `.count() >= c.Phase1 }`,
		New:  `.count() >= c.Phase1-1 }`,
		Dies: unit("TestACandidateWithoutAPhase1QuorumGivesWayWithinABound"),
	},
	{
		ID:     "phase2-one-short",
		Breaks: "a phase-2 quorum is as large as configured",
		File:   "paxos/membership.go", Func: "Configuration.IsPhase2Quorum",
		Old:  `.count() >= c.Phase2 }`,
		New:  `.count() >= c.Phase2-1 }`,
		Dies: unit("TestALeaderProposesAtMostAlphaSlotsAhead"),
	},
}
