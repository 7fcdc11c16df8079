package mutants

// acceptorMutants are of the promises and votes of an acceptor.
var acceptorMutants = []Mutant{
	{
		ID:     "vote-said-before-durable",
		Breaks: "a vote is told only when its record is durable",
		Source: "etcd issue 14370: a single member acknowledged before its own fsync",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `a.r.sendAfter(v.lsn, from, &Message{Kind: Accepted`,
		New:  `a.r.send(from, &Message{Kind: Accepted`,
		Dies: unit("TestAChoiceOutOfReachIsLeftForLater"),
	},
	{
		ID:     "promise-said-before-durable",
		Breaks: "a promise is told only when its record is durable",
		Source: "hashicorp/raft issue 661: term and vote persisted apart from the answer",
		File:   "paxos/acceptor.go", Func: "acceptor.onPrepare",
		Old:  `a.r.sendAfter(a.promisedAt, from, a.report(m.Ballot, m.Slot))`,
		New:  `a.r.send(from, a.report(m.Ballot, m.Slot))`,
		Dies: unit("TestAClusterComesBackAfterAllRestartedFarAboveTheirLastHint"),
	},
	{
		ID:     "promise-not-recorded",
		Breaks: "a promise is a record in the log",
		Source: "efficient/epaxos issue 28: sync() does nothing unless asked to be durable",
		File:   "paxos/acceptor.go", Func: "acceptor.promise",
		Old:  `a.promisedAt = a.note()`,
		New:  `a.promisedAt = a.r.gate.durable`,
		Dies: unit("TestAClusterComesBackAfterAllRestartedFarAboveTheirLastHint"),
	},
	{
		ID:     "repeated-promise-not-gated",
		Breaks: "a promise given again waits for the same record as the first time",
		Source: "ZOOKEEPER-4646: an answer overtook the log it answered for",
		File:   "paxos/acceptor.go", Func: "acceptor.onPrepare",
		Old: `	a.r.sendAfter(a.promisedAt, from, a.report(m.Ballot, m.Slot))`,
		New: `	if m.Ballot == a.promised && len(a.r.fx.Records) == 0 {
		a.r.send(from, a.report(m.Ballot, m.Slot))
		return
	}
	a.r.sendAfter(a.promisedAt, from, a.report(m.Ballot, m.Slot))`,
		Dies: unit("TestAnAcceptorAnswersOnlyWhatIsDurable"),
	},
	{
		ID:     "accept-does-not-raise-promise",
		Breaks: "an acceptor that votes promises the ballot of its vote, too (P1a)",
		Source: "Brooker, \"The bug in Paxos Made Simple\"",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old: `if a.promised.Less(rec.Ballot) {
			a.promise`,
		New: `if false {
			a.promise`,
		Dies: unit("TestAVoteRaisesThePromise"),
	},
	{
		ID:     "votes-below-promise",
		Breaks: "no vote below the promised ballot (P1a)",
		Source: "Lamport, \"Paxos Made Simple\", §2.2",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `case rec.Ballot.Less(a.promised):`,
		New:  `case false:`,
		Dies: unit("TestAPromiseCoversEverySlot"),
	},
	{
		ID:     "promises-below-promise",
		Breaks: "no promise below the promised ballot (P1a)",
		Source: "Lamport, \"Paxos Made Simple\", §2.2",
		File:   "paxos/acceptor.go", Func: "acceptor.onPrepare",
		Old: `	case -1:
		a.refuse(from, m.Ballot)
		return
`,
		New: `	case -1:
`,
		Dies: unit("TestAVoteRaisesThePromise"),
	},
	{
		ID:     "refuses-first-accept",
		Breaks: "an acceptor votes for the first Accept it gets, prepared or not (P1)",
		Source: "Lamport, \"Paxos Made Simple\", §2.2",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `case rec.Ballot.Less(a.promised):`,
		New:  `case rec.Ballot.Compare(a.promised) != 0:`,
		Dies: unit("TestAChoiceOfAPastBallotIsKnownAfterARestart"),
	},
	{
		ID:     "report-omits-known-chosen",
		Breaks: "a promise reports slots known to be chosen (P2c)",
		Source: "scylladb issue 6149: Paxos state that expired; ailidani/paxi: HandleP1a leaves out chosen slots",
		File:   "paxos/acceptor.go", Func: "acceptor.reportOn",
		Old:  `return Report{Slot: slot, State: ReportChosen, Record: rec}, true`,
		New:  `return Report{}, false`,
		Dies: unit("TestAPromiseReportsWhatIsKnownToBeChosenAboveAHole"),
	},
	{
		ID:     "report-omits-prefix",
		Breaks: "a promise tells the chosen prefix, below which nothing is reported (P2c)",
		Source: "ailidani/paxi: HandleP1a leaves out executed slots",
		File:   "paxos/acceptor.go", Func: "acceptor.report",
		Old:  `Slot: slot, Chosen: l.prefix, Flag: true}`,
		New:  `Slot: slot, Flag: true}`,
		Dies: unit("TestALostVoteIsHealedByANewOneAndByAChoice"),
	},
	{
		ID:     "one-ballot-for-promise-and-vote",
		Breaks: "promised ballot and ballot of the vote are two variables (P2c)",
		Source: "Sutra, \"On the correctness of Egalitarian Paxos\" (2019); efficient/epaxos issue 20",
		File:   "paxos/acceptor.go", Func: "acceptor.reportOn",
		Old: `return Report{Slot: slot, State: Voted, Ballot: v.record.Ballot, Record: v.record}, true`,
		New: `one := *v.record
		one.Ballot, one.bytes = a.promised, nil
		return Report{Slot: slot, State: Voted, Ballot: one.Ballot, Record: &one}, true`,
		Dies: unit("TestAnInstallationKeepsThePromiseAndTheVotesAbove"),
	},
	{
		ID:     "lost-vote-reported-as-none",
		Breaks: "a vote that the disk lost is unknown, and not \"never voted\"",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "paxos/acceptor.go", Func: "acceptor.reportOn",
		Old:  `return Report{Slot: slot, State: ReportUnknown, Ballot: v.limit}, true`,
		New:  `return Report{}, false`,
		Dies: unit("TestTheOrderOfRestoreAndRestoreUnknownDoesNotMatter"),
	},
	{
		ID:     "votes-over-known-choice",
		Breaks: "no vote in a slot known to be chosen above a hole",
		Source: "ailidani/paxi: HandleP2a acknowledges an Accept for a chosen slot",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `case rec.Slot <= l.prefix || l.at(rec.Slot) != nil:`,
		New:  `case rec.Slot <= l.prefix:`,
		Dies: unit("TestAnAcceptorDoesNotVoteOverAChoiceAboveAHole"),
	},
	{
		ID:     "two-values-in-a-ballot-pass",
		Breaks: "two values in one ballot and slot stop the replica",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `} else if !bytes.Equal(v.record.Value, rec.Value) {`,
		New:  `} else if false && !bytes.Equal(v.record.Value, rec.Value) {`,
		Dies: unit("TestOneBallotHasOneValueInASlot"),
	},
	{
		ID:     "restored-records-raise-no-promise",
		Breaks: "after a restart the promise is at least the ballot of every record",
		Source: "PySyncObj issue 202: terms restart at 0",
		File:   "paxos/acceptor.go", Func: "acceptor.restore",
		Old: `	if a.promised.Less(rec.Ballot) {
		a.promised, a.promisedAt`,
		New: `	if false {
		a.promised, a.promisedAt`,
		Dies: unit("TestARestartTakesTheHighestPromiseAndTheLastVote"),
	},
	{
		ID:     "first-chunk-claims-to-be-last",
		Breaks: "a chunk of reports says whether it is the last (P2c)",
		File:   "paxos/acceptor.go", Func: "acceptor.report",
		Old: `			m.Flag = false
`,
		New:  "",
		Dies: unit("TestRandomSchedulesAgreeAndThenFinish"),
	},
	{
		ID:     "chunk-covers-one-slot-too-many",
		Breaks: "a chunk covers only what it reports on (P2c)",
		File:   "paxos/acceptor.go", Func: "acceptor.report",
		Old:  `m.Upto = s - 1`,
		New:  `m.Upto = s`,
		Dies: unit("TestRandomSchedulesAgreeAndThenFinish"),
	},
	{
		ID:     "probe-always-acknowledged",
		Breaks: "a read probe below the promise is refused",
		Source: "etcd issue 741, Consul issue 54: reads from a deposed leader",
		File:   "paxos/acceptor.go", Func: "acceptor.onReadProbe",
		Old:  `if a.promised.Compare(m.Ballot) <= 0 {`,
		New:  `if true {`,
		Dies: unit("TestAnAcceptorAcknowledgesNoProbeBelowItsPromise"),
	},
	{
		ID:     "probe-acknowledged-for-own-ballot-only-above",
		Breaks: "a read probe at the promised ballot is acknowledged",
		File:   "paxos/acceptor.go", Func: "acceptor.onReadProbe",
		Old:  `if a.promised.Compare(m.Ballot) <= 0 {`,
		New:  `if a.promised.Compare(m.Ballot) < 0 {`,
		Dies: unit("TestANewLeaderServesNoReadBeforeItHasRecovered"),
	},
	{
		ID:     "reach-unbounded",
		Breaks: "an acceptor holds votes only so far above its chosen prefix",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old:  `case rec.Slot > l.prefix+Slot(a.r.cfg.Limits.ReorderingSlots):`,
		New:  `case false:`,
		Dies: unit("TestAChoiceOutOfReachIsLeftForLater"),
	},
	{
		ID:     "lost-vote-older-vote-taken",
		Breaks: "an older vote does not stand in for a lost one",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "paxos/acceptor.go", Func: "acceptor.restore",
		Old:  `!v.unknown || v.limit.Less(rec.Ballot)`,
		New:  `true`,
		Dies: unit("TestALostRecordDoesNotMakeAnOlderOneTheChoice"),
	},
	{
		ID:     "lost-choice-has-no-limit",
		Breaks: "of a lost choice no more is known than that no vote was above the promise",
		File:   "paxos/acceptor.go", Func: "acceptor.restoreUnknown",
		Old: `	if limit.IsZero() {
		limit = a.promised // a lost`,
		New: `	if false {
		limit = a.promised // a lost`,
		Dies: unit("TestALostRecordDoesNotMakeAnOlderOneTheChoice"),
	},
	{
		ID:     "lost-below-a-sound-vote-counts-as-none",
		Breaks: "a lost vote above a sound one makes the slot unknown",
		File:   "paxos/acceptor.go", Func: "acceptor.restoreUnknown",
		Old:  `if v.record != nil && limit.Less(v.record.Ballot) || v.unknown && !v.limit.Less(limit) {`,
		New:  `if v.record != nil || v.unknown && !v.limit.Less(limit) {`,
		Dies: unit("TestTheOrderOfRestoreAndRestoreUnknownDoesNotMatter"),
	},
	{
		ID:     "promise-has-no-prefix",
		Breaks: "a promise's record carries the chosen prefix, or a restart leaves everything after one slot in doubt",
		File:   "paxos/acceptor.go", Func: "acceptor.note",
		Old:  `, Chosen: a.r.learner.prefix})`,
		New:  `})`,
		Dies: unit("TestARestartKnowsWhatWasChosenBeforeTheLastLeaderChange"),
	},
}
