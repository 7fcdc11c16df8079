package mutants

// rolesMutants are of members that are not full members.
var rolesMutants = []Mutant{
	{
		ID:     "witness-forgets-one-holder-too-early",
		Breaks: "a witness forgets a slot when one more learner holds it than disks may be lost",
		File:   "paxos/role.go", Func: "Configuration.holders",
		Old:  `min(c.faults()+1, c.count(Learner))`,
		New:  `min(c.faults(), c.count(Learner))`,
		Dies: unit("TestAWitnessForgetsNothingBeforeOneMoreLearnerHoldsItThanMayBeLost"),
	},
	{
		ID:     "log-trimmed-whoever-needs-it",
		Breaks: "where there is a witness nobody trims what is not released",
		File:   "paxos/retention.go", Func: "retention.limit",
		Old: `	return rt.released
`,
		New: `	return ^Slot(0)
`,
		Dies: unit("TestAWitnessForgetsNothingBeforeOneMoreLearnerHoldsItThanMayBeLost"),
	},
	{
		ID:     "what-is-not-durable-held",
		Breaks: "a learner claims to hold what is durable with it",
		File:   "paxos/retention.go", Func: "retention.held",
		Old:  `if rt.notedAt <= rt.r.gate.durable {`,
		New:  `if true {`,
		Dies: unit("TestALearnerHoldsWhatIsDurableAndNoMore"),
	},
	{
		ID:     "held-and-forgotten-by-a-restart",
		Breaks: "a learner that holds a slot knows after a restart that it is chosen: others have forgotten it",
		File:   "paxos/retention.go", Func: "retention.note",
		Old:  `rt.noted, rt.notedAt = delivered, rt.r.acceptor.note()`,
		New:  `rt.noted = delivered`,
		Dies: unit("TestWhatALearnerSaysItHoldsItKnowsToBeChosenAfterARestart"),
	},
	{
		ID:     "handed-over-and-forgotten-by-a-restart",
		Breaks: "who holds what was chosen before the latest configuration knows that after a restart: those who governed it are gone",
		File:   "paxos/retention.go", Func: "retention.note",
		Old:  `!handsOver && !rt.applies()`,
		New:  `!(handsOver && false) && !rt.applies()`,
		Dies: unit("TestWhoeverTakesOverKnowsAfterARestartThatAllBeforeIsChosen"),
	},
	{
		ID:     "lost-machine-held",
		Breaks: "a member whose machine is lost holds nothing until it has another",
		File:   "paxos/retention.go", Func: "retention.held",
		Old:  ` || rt.lacking > 0`,
		New:  "",
		Dies: unit("TestAMemberWhoseMachineIsLostHoldsNothingUntilItHasAnother"),
	},
	{
		ID:     "witness-counted-as-holder",
		Breaks: "only learners hold what is chosen for good",
		File:   "paxos/retention.go", Func: "retention.heldBy",
		Old:  `if m.Roles&Learner != 0 {`,
		New:  `if m.Roles != 0 {`,
		Dies: unit("TestAsManyLearnersHoldAReleasedSlotAsTheQuorumsAskFor"),
	},
	{
		ID:     "released-only-in-force",
		Breaks: "a slot is released when enough learners of each configuration that matters hold it",
		File:   "paxos/retention.go", Func: "retention.applies",
		Old:  `slices.ContainsFunc(rt.r.governing(), (*Configuration).hasWitness)`,
		New:  `rt.r.config().hasWitness()`,
		Dies: unit("TestAWitnessComingKeepsTheLogAndOneGoneSetsItFree"),
	},
	{
		ID:     "witness-skips-what-it-alone-may-have",
		Breaks: "a witness skips only what is released",
		File:   "paxos/retention.go", Func: "retention.skippable",
		Old:  `if !rt.r.votes() {`,
		New:  `if true {`,
		Dies: unit("TestAWitnessThatIsBehindSkipsWhatIsReleasedAndNoMore"),
	},
	{
		ID:     "witness-skips-into-its-votes",
		Breaks: "a witness skips what is not released only as far as it was no acceptor",
		File:   "paxos/retention.go", Func: "retention.skippable",
		Old:  `if since == 0 {`,
		New:  `if false {`,
		Dies: unit("TestAWitnessSkipsWhatWasChosenBeforeItWasAnAcceptor"),
	},
	{
		ID:     "witness-skips-past-its-first-vote",
		Breaks: "a witness skips only what was chosen before it was an acceptor",
		File:   "paxos/retention.go", Func: "retention.skippable",
		Old:  `min(known, configs[since].First-1)`,
		New:  `known`,
		Dies: unit("TestAWitnessSkipsWhatWasChosenBeforeItWasAnAcceptor"),
	},
	{
		ID:     "witness-forgets-once-removed",
		Breaks: "who was a witness until the last change keeps what it has voted for until enough of the new learners hold it",
		File:   "paxos/retention.go", Func: "retention.limit",
		Old:  `case rt.r.cfg.NoMachine && `,
		New:  `case false && `,
		Dies: unit("TestAWitnessThatIsRemovedForgetsNothingBeforeEnoughOfTheNewLearnersHoldIt"),
	},
	{
		ID:     "machine-not-waited-for",
		Breaks: "where there is a machine, its answer is waited for",
		File:   "paxos/push.go", Func: "forwarder.onDecided",
		Old: `	if !f.r.cfg.NoMachine {
		return
	}
`,
		New:  "",
		Dies: unit("TestAMemberWithoutAMachineIsToldThatItsCommandIsChosen"),
	},
	{
		ID:     "gateway-elected",
		Breaks: "the election nominates proposers that learn",
		File:   "paxos/role.go", Func: "Role.MayLead",
		Old:  `return r&Proposer != 0 && r&Learner != 0`,
		New:  `return r&Proposer != 0`,
		Dies: unit("TestNeitherAGatewayNorAReplicaNorAWitnessIsNominated"),
	},
	{
		ID:     "nothing-pushed",
		Breaks: "what is chosen is sent to those who learn without a vote",
		File:   "paxos/push.go", Func: "proposer.push",
		Old:  `p.phase != leading || `,
		New:  `true || `,
		Dies: unit("TestWhatIsChosenIsPushedToThoseWhoLearnWithoutAVote"),
	},
	{
		ID:     "push-answered-by-a-question",
		Breaks: "what is pushed is no answer to a Learn: it asks for no more",
		File:   "paxos/learner.go", Func: "learner.onLearned",
		Old: `	if m.Flag {
		return
	}
`,
		New:  "",
		Dies: unit("TestAReplicaTakesWhatIsPushedAndAsksForTheRestOnly"),
	},
	{
		ID:     "gateway-left-waiting",
		Breaks: "a member without a machine is told that its command is chosen",
		File:   "paxos/proposer.go", Func: "proposer.onPrefix",
		Old: `			p.r.forwarder.decide(q.owed)
`,
		New:  "",
		Dies: unit("TestAMemberWithoutAMachineIsToldThatItsCommandIsChosen"),
	},
	{
		ID:     "gateway-told-too-early",
		Breaks: "a member without a machine is told when its command is chosen, and not before",
		File:   "paxos/proposer.go", Func: "proposer.cut",
		Old: `		p.inflight.at(p.next - 1).owed = owed
`,
		New: `		p.r.forwarder.decide(owed)
`,
		Dies: unit("TestAMemberWithoutAMachineIsToldThatItsCommandIsChosen"),
	},
}
