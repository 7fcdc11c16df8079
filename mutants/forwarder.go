package mutants

// forwarderMutants are of commands that are executed at most once.
var forwarderMutants = []Mutant{
	{
		ID:     "forward-taken-again",
		Breaks: "a command that the network repeats is taken once",
		File:   "paxos/forwarder.go", Func: "forwarder.onForward",
		Old:  `c < 0 || c == 0 && m.Number <= mark.number {`,
		New:  `c < 0 {`,
		Dies: unit("TestAForwardForAnotherBallotIsRefusedOnce"),
	},
	{
		ID:     "forward-marks-not-kept",
		Breaks: "what was taken is remembered",
		File:   "paxos/forwarder.go", Func: "forwarder.onForward",
		Old: `	mark.ballot, mark.number = m.Ballot, m.Number
`,
		New:  "",
		Dies: unit("TestAForwardForAnotherBallotIsRefusedOnce"),
	},
	{
		ID:     "forward-for-another-ballot-taken",
		Breaks: "a command meant for another ballot is not taken",
		File:   "paxos/forwarder.go", Func: "forwarder.onForward",
		Old:  `f.r.proposer.phase == resting || f.r.proposer.ballot != m.Ballot {`,
		New:  `f.r.proposer.phase == resting {`,
		Dies: unit("TestAForwardForAnotherBallotIsRefusedOnce"),
	},
	{
		ID:     "duplicate-forward-rejected",
		Breaks: "what may be a duplicate is not said to have failed",
		File:   "paxos/forwarder.go", Func: "forwarder.onForward",
		Old: `		return // perhaps a duplicate of what was taken: no word about it`,
		New: `		f.reject(m.Origin, refusals(m.Proposals, NoLeader))
		return`,
		Dies: unit("TestAForwardForAnotherBallotIsRefusedOnce"),
	},
	{
		ID:     "forward-to-earlier-boot-rejected",
		Breaks: "what an earlier boot may have taken is not said to have failed",
		File:   "paxos/forwarder.go", Func: "forwarder.onForward",
		Old: `		return // taken or not by an earlier boot: who knows`,
		New: `		f.reject(m.Origin, refusals(m.Proposals, NoLeader))
		return`,
		Dies: unit("TestAForwardToAnEarlierBootIsNotAnswered"),
	},
	{
		ID:     "forwards-hop-for-ever",
		Breaks: "a relayed command hops only so often",
		File:   "paxos/forwarder.go", Func: "forwarder.passOn",
		Old:  `if m.Hops >= uint8(f.r.cfg.Limits.HopsMax) || !f.r`,
		New:  `if !f.r`,
		Dies: unit("TestARelayPassesACommandOnOnceOrRefusesIt"),
	},
	{
		ID:     "relayed-rejection-taken",
		Breaks: "a rejection for another member is passed on",
		File:   "paxos/forwarder.go", Func: "forwarder.onReject",
		Old: `if m.Origin == f.r.cfg.Self {
		f.r.fx`,
		New: `if true {
		f.r.fx`,
		Dies: unit("TestRequestsGoThroughAMemberThatIsHappyWithTheLeader"),
	},
	{
		ID:     "relay-passes-on-again",
		Breaks: "a relay passes a command on once",
		File:   "paxos/forwarder.go", Func: "forwarder.passOn",
		Old:  `m.Boot != f.r.boot || m.Number <= mark.number {`,
		New:  `m.Boot != f.r.boot {`,
		Dies: unit("TestARelayPassesACommandOnOnceOrRefusesIt"),
	},
	{
		ID:     "relay-answers-for-its-last-boot",
		Breaks: "a relay says nothing of what its earlier boot may have passed on",
		File:   "paxos/forwarder.go", Func: "forwarder.passOn",
		Old:  `m.Boot != f.r.boot || m.Number <= mark.number {`,
		New:  `m.Number <= mark.number {`,
		Dies: unit("TestARelayPassesACommandOnOnceOrRefusesIt"),
	},
	{
		ID:     "relay-keeps-no-mark",
		Breaks: "a relay remembers what it has passed on",
		File:   "paxos/forwarder.go", Func: "forwarder.passOn",
		Old: `	mark.number = m.Number
`,
		New:  "",
		Dies: unit("TestARelayPassesACommandOnOnceOrRefusesIt"),
	},
}
