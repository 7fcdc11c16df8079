package mutants

// readerMutants are of linearizable reads.
var readerMutants = []Mutant{
	{
		ID:     "round-number-reused",
		Breaks: "a read round has a fresh number",
		Source: "etcd issue 20418: stale reads after a context was used again",
		File:   "paxos/reader.go", Func: "reader.begin",
		Old: `	rd.number++
	rd.round`,
		New:  `	rd.round`,
		Dies: unit("TestAReadRoundNeedsAFreshQuorumOfAcknowledgements"),
	},
	{
		ID:     "request-number-reused",
		Breaks: "a read request has a fresh number",
		Source: "etcd issue 20418: stale reads after a context was used again",
		File:   "paxos/reader.go", Func: "reader.flush",
		Old: `	rd.number++
	rd.asked`,
		New:  `	rd.asked`,
		Dies: unit("TestAReadRequestIsRepeatedUnderAFreshNumber"),
	},
	{
		ID:     "ack-of-any-round",
		Breaks: "only acknowledgements of this very round count",
		Source: "etcd issue 20418: stale reads after a context was used again",
		File:   "paxos/reader.go", Func: "reader.onAck",
		Old:  ` || m.Number != rd.round.number {`,
		New:  ` {`,
		Dies: unit("TestAReadRoundNeedsAFreshQuorumOfAcknowledgements"),
	},
	{
		ID:     "ack-quorum-ignored",
		Breaks: "a read is confirmed by a quorum",
		Source: "Consul issue 54, etcd issue 741: reads from a deposed leader",
		File:   "paxos/reader.go", Func: "reader.onAck",
		Old: `	if !rd.round.config.IsPhase2Quorum(rd.round.acks) {
		return
	}
`,
		New:  "",
		Dies: unit("TestANewLeaderServesNoReadBeforeItHasRecovered"),
	},
	{
		ID:     "request-lost-on-a-candidate",
		Breaks: "a read that is asked of a candidate is answered once that leads, not when it is asked again",
		File:   "paxos/reader.go", Func: "reader.onRequest",
		Old:  `rd.r.proposer.phase != resting && rd.r.proposer.ballot == m.Ballot`,
		New:  `rd.r.proposer.phase == leading && rd.r.proposer.ballot == m.Ballot`,
		Dies: unit("TestARequestToACandidateIsAnsweredOnceItLeads"),
	},
	{
		ID:     "reply-to-any-request",
		Breaks: "only the answer to the request under way counts",
		File:   "paxos/reader.go", Func: "reader.onReply",
		Old:  `if rd.asked == 0 || m.Number != rd.asked {`,
		New:  `if rd.asked == 0 {`,
		Dies: unit("TestAReadRequestIsRepeatedUnderAFreshNumber"),
	},
	{
		ID:     "read-slot-too-low",
		Breaks: "a read waits for the chosen prefix of when its round began",
		File:   "paxos/reader.go", Func: "reader.begin",
		Old:  `slot: rd.r.learner.prefix,`,
		New:  `slot: rd.r.proposer.announced / 2,`,
		Dies: unit("TestANewLeaderServesNoReadBeforeItHasRecovered"),
	},
	{
		ID:     "late-read-joins-the-round",
		Breaks: "a read that comes during a round waits for the next",
		File:   "paxos/reader.go", Func: "reader.add",
		Old: ` rd.waiting = append(rd.waiting, read) }`,
		New: `
	if rd.round.number != 0 {
		rd.round.reads = append(rd.round.reads, read)
		return
	}
	rd.waiting = append(rd.waiting, read)
}`,
		Dies: unit("TestAReadThatComesDuringARoundWaitsForTheNext"),
	},
	{
		ID:     "late-request-joins-the-round",
		Breaks: "a request that comes during a round waits for the next",
		File:   "paxos/reader.go", Func: "reader.onRequest",
		Old: `			rd.foreign = append(rd.foreign, foreignRead{m.Origin, m.Number})`,
		New: `			if rd.round.number != 0 {
				rd.round.foreign = append(rd.round.foreign, foreignRead{m.Origin, m.Number})
			} else {
				rd.foreign = append(rd.foreign, foreignRead{m.Origin, m.Number})
			}`,
		Dies: unit("TestAReadThatComesDuringARoundWaitsForTheNext"),
	},
	{
		ID:     "answer-before-recovery",
		Breaks: "a request is answered only when every slot that a predecessor can have had chosen is known to be",
		File:   "paxos/reader.go", Func: "reader.confirms",
		Old:  ` && rd.r.proposer.mayServeReads()`,
		New:  ``,
		Dies: unit("TestARequestThatIsAQuorumWithTheLeaderIsAnsweredAtOnce"),
	},
	{
		ID:     "answer-without-a-quorum",
		Breaks: "a request is answered at once only if it and the leader are a quorum",
		File:   "paxos/reader.go", Func: "reader.confirms",
		Old:  ` && config.IsPhase2Quorum(Set(0).with(i).with(self))`,
		New:  ``,
		Dies: unit("TestARequestThatIsAQuorumWithTheLeaderIsAnsweredAtOnce"),
	},
	{
		ID:     "relayed-request-confirms",
		Breaks: "a request says something about the promise of the reader only",
		File:   "paxos/reader.go", Func: "reader.confirms",
		Old:  `m.Origin == from.node && `,
		New:  ``,
		Dies: unit("TestARequestThatIsAQuorumWithTheLeaderIsAnsweredAtOnce"),
	},
	{
		ID:     "deposed-leader-keeps-its-round",
		Breaks: "a leader that resigned gives its reads to another",
		File:   "paxos/reader.go", Func: "reader.onRest",
		Old: `	rd.waiting = append(rd.waiting, rd.round.reads...)
	rd.round = readRound{}
	rd.foreign = nil
}`,
		New:  `}`,
		Dies: unit("TestTranscripts"),
	},
}
