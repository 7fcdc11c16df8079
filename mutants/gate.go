package mutants

// gateMutants are of what must be durable before it is said.
var gateMutants = []Mutant{
	{
		ID:     "gate-open",
		Breaks: "what promises something about the disk waits for its record",
		Source: "NATS issue 7564: acknowledged before the sync",
		File:   "paxos/gate.go", Func: "gate.pass",
		Old: `if after <= g.durable {
		return true`,
		New: `if true {
		return true`,
		Dies: unit("TestAChoiceOutOfReachIsLeftForLater"),
	},
	{
		ID:     "gate-releases-everything",
		Breaks: "a sync releases only what waited for records up to it",
		Source: "NATS issue 7564: acknowledged before the sync",
		File:   "paxos/gate.go", Func: "gate.open",
		Old:  `for n < len(g.held) && g.held[n].after <= g.durable {`,
		New:  `for n < len(g.held) {`,
		Dies: unit("TestAnAcceptorAnswersOnlyWhatIsDurable"),
	},
	{
		ID:     "gate-off-by-one",
		Breaks: "a sync releases nothing that waits for the next record",
		File:   "paxos/gate.go", Func: "gate.open",
		Old:  `for n < len(g.held) && g.held[n].after <= g.durable {`,
		New:  `for n < len(g.held) && g.held[n].after <= g.durable+1 {`,
		Dies: unit("TestAnAcceptorAnswersOnlyWhatIsDurable"),
	},
	{
		ID:     "gate-merges-ballots",
		Breaks: "votes of two ballots are not told as a run of one",
		File:   "paxos/gate.go", Func: "adjoins",
		Old:  `a.msg.Ballot == b.msg.Ballot && a.msg.Upto+1 == b.msg.Slot`,
		New:  `a.msg.Upto+1 == b.msg.Slot`,
		Dies: unit("TestVotesOfNeighbouringSlotsLeaveAsOneMessage"),
	},
	{
		ID:     "gate-merges-over-gaps",
		Breaks: "votes are told as one run only if no slot is between them",
		File:   "paxos/gate.go", Func: "adjoins",
		Old:  `a.msg.Ballot == b.msg.Ballot && a.msg.Upto+1 == b.msg.Slot`,
		New:  `a.msg.Ballot == b.msg.Ballot`,
		Dies: unit("TestTheGateReleasesWhatIsDurableAndNothingElse"),
	},
	{
		ID:     "gate-merges-receivers",
		Breaks: "votes for one member are not told to another",
		File:   "paxos/gate.go", Func: "adjoins",
		Old:  `return a.to == b.to && `,
		New:  `return `,
		Dies: unit("TestTheGateReleasesWhatIsDurableAndNothingElse"),
	},
	{
		ID:     "gate-unsorted",
		Breaks: "messages leave in the order of their records",
		File:   "paxos/gate.go", Func: "gate.pass",
		Old:  `for at > 0 && g.held[at-1].after > after {`,
		New:  `for false {`,
		Dies: unit("TestTheGateReleasesWhatIsDurableAndNothingElse"),
	},
	{
		ID:     "gate-keeps-every-repetition",
		Breaks: "what is said again about the same record is kept once",
		File:   "paxos/gate.go", Func: "gate.pass",
		Old: `			g.held[i].msg = msg
			return false
`,
		New:  "",
		Dies: unit("TestWhatIsSaidAgainDoesNotPileUpAtTheGate"),
	},
	{
		ID:     "gate-keeps-one-kind-for-all-slots",
		Breaks: "votes for several slots at one record are all told",
		File:   "paxos/gate.go", Func: "gate.pass",
		Old:  ` && (msg.Kind != Accepted || h.msg.Slot == msg.Slot) {`,
		New:  ` {`,
		Dies: unit("TestTheGateReleasesWhatIsDurableAndNothingElse"),
	},
}
