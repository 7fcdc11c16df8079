package mutants

// membershipMutants are of changes of the membership.
var membershipMutants = []Mutant{
	{
		ID:     "old-phase1-for-new-configuration",
		Breaks: "slots of the next configuration need the reports of its own quorum",
		Source: "Lamport, \"Paxos Made Simple\", §3: a leader needs phase 1 in each configuration",
		File:   "paxos/proposer.go", Func: "proposer.widen",
		Old:  `p.recovery.complete(next) {`,
		New:  `p.recovery.complete(p.r.membership.known[0]) {`,
		Dies: unit("TestSlotsOfTheNewConfigurationNeedReportsOfItsOwnQuorum"),
	},
	{
		ID:     "what-the-new-quorum-reports-ignored",
		Breaks: "no new command goes into a slot that the next configuration has voted in (P2c)",
		File:   "paxos/proposer.go", Func: "proposer.widen",
		Old: `		p.settle()
`,
		New:  "",
		Dies: unit("TestWhatTheNewConfigurationHasVotedForIsProposedAgain"),
	},
	{
		ID:     "configuration-from-a-vote",
		Breaks: "a change counts when it is chosen",
		File:   "paxos/acceptor.go", Func: "acceptor.onAccept",
		Old: `	l.advance()
`,
		New: `	if c, err := DecodeChange(rec.Value); err == nil {
		a.r.membership.pass(rec.Slot, c)
	}
	l.advance()
`,
		Dies: unit("TestAChangeThatIsOnlyVotedForChangesNothing"),
	},
	{
		ID:     "votes-counted-in-the-configuration-in-force",
		Breaks: "votes are counted by node in the configuration of their slot",
		File:   "paxos/proposer.go", Func: "proposer.onAccepted",
		Old:  `config := p.r.membership.At(s)`,
		New:  `config := p.r.config()`,
		Dies: unit("TestNewSlotsAreCountedInTheNewConfigurationWhileTheOldOneIsInForce"),
	},
	{
		ID:     "change-while-one-waits",
		Breaks: "a change is none while the latest configuration is not in force",
		Source: "etcd-io/raft issue 456: more than one change under way",
		File:   "paxos/membership.go", Func: "Membership.admits",
		Old:  ` && m.latest().First <= slot`,
		New:  "",
		Dies: unit("TestAChangeIsNoneIfItIsNotMadeFromTheLatestConfigurationInForce"),
	},
	{
		ID:     "change-of-any-epoch",
		Breaks: "a change names the epoch that it replaces",
		File:   "paxos/membership.go", Func: "Membership.admits",
		Old:  `change.Replaces == m.latest().Epoch && `,
		New:  "",
		Dies: unit("TestAChangeIsNoneIfItIsNotMadeFromTheLatestConfigurationInForce"),
	},
	{
		ID:     "snapshot-without-configurations",
		Breaks: "a snapshot brings the membership that goes with its slot",
		File:   "paxos/install.go", Func: "learner.onInstalled",
		Old: `	l.r.membership.adopt(known)
`,
		New:  "",
		Dies: unit("TestASnapshotBringsTheMembershipAndIsRefusedWithoutIt"),
	},
	{
		ID:     "restart-without-configurations",
		Breaks: "a restart knows the membership that goes with the state of the machine",
		File:   "paxos/replica.go", Func: "firstMembership",
		Old: `		m.adopt(known)
`,
		New:  "",
		Dies: unit("TestARestartKnowsTheMembershipThatGoesWithItsState"),
	},
	{
		ID:     "removed-member-raises-ballots",
		Breaks: "who is no member raises nobody's ballot",
		File:   "paxos/view.go", Func: "Replica.hears",
		Old:  `return roles&Proposer != 0`,
		New:  `return true`,
		Dies: unit("TestARemovedMemberRaisesNobodysBallot"),
	},
	{
		ID:     "boots-shared-by-incarnations",
		Breaks: "no ballot of one incarnation is ever one of another",
		File:   "paxos/replica.go", Func: "bootOf",
		Old:  `return 1<<31 + uint32(cfg.Incarnation>>34) + cfg.Boot`,
		New:  `return cfg.Boot`,
		Dies: unit("TestNoBallotOfOneIncarnationIsEverOneOfAnother"),
	},
	{
		ID:     "round-counted-in-a-later-configuration",
		Breaks: "a read round keeps to the configuration it began with",
		File:   "paxos/reader.go", Func: "reader.onAck",
		Old: `	i := rd.round.config.place(from)
`,
		New: `	rd.round.config = rd.r.config()
	i := rd.round.config.place(from)
`,
		Dies: unit("TestAReadRoundKeepsToTheConfigurationItBeganWith"),
	},
	{
		ID:     "read-before-the-configuration-has-reported",
		Breaks: "a read needs phase 1 in the configuration of the next slot",
		File:   "paxos/proposer.go", Func: "proposer.mayServeReads",
		Old:  ` && p.r.config().Epoch <= p.epoch`,
		New:  "",
		Dies: unit("TestAReadNeedsTheConfigurationOfTheNextSlot"),
	},
	{
		ID:     "change-delivered-before-its-note",
		Breaks: "a change is delivered when the log says that it is chosen",
		File:   "paxos/learner.go", Func: "learner.reconfigure",
		Old:  `l.chosen.get(slot).lsn = l.r.acceptor.note()`,
		New:  `l.r.acceptor.note()`,
		Dies: unit("TestAChangeIsDeliveredWhenTheLogSaysThatItIsChosen"),
	},
	{
		ID:     "no-seal",
		Breaks: "behind a change nothing but no-ops is proposed until it governs",
		File:   "paxos/reconfigure.go", Func: "proposer.reconfigure",
		Old:  `p.next < p.sealed() && `,
		New:  `false && `,
		Dies: unit("TestBehindAChangeTheLeaderProposesNothingButNoopsUntilItGoverns"),
	},
	{
		ID:     "accept-sent-to-the-configuration-in-force",
		Breaks: "an Accept goes to the acceptors of its slot",
		File:   "paxos/proposer.go", Func: "proposer.propose",
		Old:  `p.r.broadcast(p.r.membership.At(slot), Acceptor`,
		New:  `p.r.broadcast(p.r.config(), Acceptor`,
		Dies: unit("TestSlotsOfTheNewConfigurationNeedReportsOfItsOwnQuorum"),
	},
	{
		ID:     "no-hand-over",
		Breaks: "a leader that is no member any more hands over",
		File:   "paxos/reconfigure.go", Func: "proposer.handOver",
		Old:  `p.phase == resting || p.r.roles()&Proposer != 0`,
		New:  `true`,
		Dies: unit("TestALeaderThatIsNoMemberAnyMoreHandsOver"),
	},
	{
		ID:     "stranger-names-its-heir",
		Breaks: "only the leader itself names an heir",
		File:   "paxos/election.go", Func: "election.onTakeOver",
		Old:  `m.Ballot != e.seen || m.Ballot.Node != from`,
		New:  `m.Ballot.Node != from`,
		Dies: unit("TestAStrangerIsNotHeardAsAHeir"),
	},
	{
		ID:     "no-learning-from-strangers",
		Breaks: "who was away for two changes learns from whoever it hears",
		File:   "paxos/learner.go", Func: "learner.onPeerPrefix",
		Old:  `p == nil && id`,
		New:  `false && id`,
		Dies: unit("TestTranscripts"),
	},
}
