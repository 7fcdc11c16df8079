package mutants

// proposerMutants are of phase 2, and of how a leadership ends.
var proposerMutants = []Mutant{
	{
		ID:     "promise-of-another-ballot-counts",
		Breaks: "only promises of the candidate's own ballot count (P2c)",
		Source: "Michael et al., \"Recovering Shared Objects Without Stable Storage\", DISC 2017: answers of an earlier attempt",
		File:   "paxos/proposer.go", Func: "proposer.onPromise",
		Old:  `p.phase == resting || m.Ballot != p.ballot || !p.recovery`,
		New:  `p.phase == resting || !p.recovery`,
		Dies: unit("TestAProposerWaitsForAMajorityOfPromises"),
	},
	{
		ID:     "votes-counted-across-ballots",
		Breaks: "only votes of the leader's own ballot count (P2)",
		Source: "Raft's matchIndex carried over to Paxos",
		File:   "paxos/proposer.go", Func: "proposer.onAccepted",
		Old:  `p.phase != leading || m.Ballot != p.ballot`,
		New:  `p.phase != leading`,
		Dies: unit("TestAValueIsChosenByAMajorityOfVotesForASingleProposal"),
	},
	{
		ID:     "same-acceptors-vote-counted-twice",
		Breaks: "votes are counted by acceptor, not by message (P2)",
		File:   "paxos/proposer.go", Func: "proposer.onAccepted",
		Old:  `q.votes = q.votes.with(i)`,
		New:  `q.votes = q.votes<<1 | 1`,
		Dies: unit("TestAValueIsChosenByAMajorityOfVotesForASingleProposal"),
	},
	{
		ID:     "holes-skipped",
		Breaks: "slots that nobody voted in get a no-op",
		Source: "Lamport, \"Paxos Made Simple\", §3",
		File:   "paxos/proposer.go", Func: "proposer.fill",
		Old: `		p.propose(slot, value)
	}
	p.open = rest`,
		New: `		if value.IsNoop() {
			continue
		}
		p.propose(slot, value)
	}
	p.open = rest`,
		Dies: unit("TestALostVoteCountsOnlyIfItCannotHaveBeenTheHighest"),
	},
	{
		ID:     "new-commands-go-into-reported-slots",
		Breaks: "new commands go above everything reported (P2c)",
		File:   "paxos/proposer.go", Func: "proposer.settle",
		Old: `	p.next = max(p.next, high+1)
`,
		New:  "",
		Dies: unit("TestWhatTheNewConfigurationHasVotedForIsProposedAgain"),
	},
	{
		ID:     "reads-before-recovery",
		Breaks: "a new leader serves reads only when all its predecessors can have had chosen is known",
		Source: "CASSANDRA-12126: reads that do not finish what was begun",
		File:   "paxos/proposer.go", Func: "proposer.mayServeReads",
		Old:  `return p.phase == leading && p.r.learner.prefix >= p.recovered`,
		New:  `return p.phase == leading`,
		Dies: unit("TestALeaderThatCannotLearnAPredecessorsPrefixGivesWay"),
	},
	{
		ID:     "recovered-not-frozen",
		Breaks: "what is to be known before reads is fixed when phase 1 ends",
		File:   "paxos/proposer.go", Func: "proposer.mayServeReads",
		Old:  `return p.phase == leading && p.r.learner.prefix >= p.recovered`,
		New:  `return p.phase == leading && p.r.learner.prefix >= max(p.recovered, p.recovery.high)`,
		Dies: unit("TestALatePromiseDoesNotMakeReadsWaitLonger"),
	},
	{
		ID:     "no-window-for-commands",
		Breaks: "a command is proposed only within the window",
		Source: "van Renesse and Altinbuken, \"Paxos Made Moderately Complex\": WINDOW",
		File:   "paxos/proposer.go", Func: "proposer.cut",
		Old:  `q.count > 0 && p.mayPropose(p.next) &&`,
		New:  `q.count > 0 &&`,
		Dies: unit("TestALeaderProposesAtMostAlphaSlotsAhead"),
	},
	{
		ID:     "no-window-for-recovery",
		Breaks: "a hole is filled only within the window",
		Source: "van Renesse and Altinbuken, \"Paxos Made Moderately Complex\": WINDOW",
		File:   "paxos/proposer.go", Func: "proposer.fill",
		Old:  `if !p.mayPropose(slot) {`,
		New:  `if false {`,
		Dies: unit("TestALatePromiseDoesNotTurnSlotsBeyondTheWindowIntoNoops"),
	},
	{
		ID:     "window-one-more",
		Breaks: "the window is as wide as it is said to be",
		File:   "paxos/proposer.go", Func: "proposer.mayPropose",
		Old:  `slot <= p.r.learner.prefix+p.r.membership.latest().Window &&`,
		New:  `slot <= p.r.learner.prefix+p.r.membership.latest().Window+1 &&`,
		Dies: unit("TestALatePromiseDoesNotTurnSlotsBeyondTheWindowIntoNoops"),
	},
	{
		ID:     "inflight-bytes-unbounded",
		Breaks: "bytes in flight are bounded",
		File:   "paxos/proposer.go", Func: "proposer.cut",
		Old:  ` && p.bytes < limits.InflightBytes`,
		New:  "",
		Dies: unit("TestALeaderProposesNoMoreBytesThanMayBeInFlight"),
	},
	{
		ID:     "other-value-on-resend",
		Breaks: "a proposal is sent again as it was",
		Source: "a batch cut anew on a timeout",
		File:   "paxos/proposer.go", Func: "proposer.resend",
		Old: `				p.r.send(member.ID, &Message{Kind: Accept, Record: q.record})`,
		New: `				again := *q.record
				again.Value, again.bytes = AppendCommand(append(Value(nil), again.Value...), []byte("12345678again")), nil
				p.r.send(member.ID, &Message{Kind: Accept, Record: &again})`,
		Dies: unit("TestRandomSchedulesAgreeAndThenFinish"),
	},
	{
		ID:     "foreign-choice-ignored",
		Breaks: "a leader that learns of another's choice in its slots resigns",
		File:   "paxos/proposer.go", Func: "proposer.onChoice",
		Old:  `	if proposed && !bytes.Equal`,
		New:  `	if false && proposed && !bytes.Equal`,
		Dies: unit("TestALeaderResignsOverAForeignChoiceInAPromise"),
	},
	{
		ID:     "foreign-value-ignored",
		Breaks: "a leader that learns another value for its own slot resigns",
		File:   "paxos/proposer.go", Func: "proposer.onChoice",
		Old:  `if proposed && !bytes.Equal(q.record.Value, rec.Value) || !proposed`,
		New:  `if !proposed`,
		Dies: unit("TestALeaderResignsOverAForeignChoiceInAPromise"),
	},
	{
		ID:     "foreign-slot-ignored",
		Breaks: "a leader that learns a choice in a slot it has not reached resigns",
		File:   "paxos/proposer.go", Func: "proposer.onChoice",
		Old:  `bytes.Equal(q.record.Value, rec.Value) || !proposed && rec.Slot >= p.next {`,
		New:  `bytes.Equal(q.record.Value, rec.Value) {`,
		Dies: unit("TestALeaderThatLearnsAForeignChoiceResignsBeforeItAnnounces"),
	},
	{
		ID:     "announces-when-not-leading",
		Breaks: "only a leader announces a chosen prefix",
		File:   "paxos/proposer.go", Func: "proposer.announce",
		Old:  `if p.phase == leading && p.announced`,
		New:  `if p.announced`,
		Dies: unit("TestALeaderResignsOverAForeignChoiceInAPromise"),
	},
	{
		ID:     "queue-forgotten-on-rest",
		Breaks: "what is queued when a leader resigns is given back",
		File:   "paxos/proposer.go", Func: "proposer.rest",
		Old: `	p.r.forwarder.rejectQueued()
`,
		New:  "",
		Dies: unit("TestADeposedLeaderRejectsWhatIsQueuedAndNotWhatIsProposed"),
	},
	{
		ID:     "in-flight-rejected-on-rest",
		Breaks: "what is proposed is not said to have failed",
		File:   "paxos/proposer.go", Func: "proposer.rest",
		Old: `	p.recovery, p.open = recovery{}, nil
	p.inflight.reset(0)`,
		New: `	for _, q := range p.inflight.items {
		if q.record != nil {
			_ = q.record.Value.Commands(func(c []byte) {
				if len(c) >= 8 {
					p.r.fx.Rejected = append(p.r.fx.Rejected, Rejection{ID: uint64(c[0]) | uint64(c[1])<<8 | uint64(c[2])<<16})
				}
			})
		}
	}
	p.recovery, p.open = recovery{}, nil
	p.inflight.reset(0)`,
		Dies: unit("TestADeposedLeaderRejectsWhatIsQueuedAndNotWhatIsProposed"),
	},
	{
		ID:     "candidate-never-stuck",
		Breaks: "a candidate that gets no quorum gives way",
		File:   "paxos/proposer.go", Func: "proposer.stuck",
		Old:  `owing := p.phase == preparing || `,
		New:  `owing := `,
		Dies: unit("TestACandidateWithoutAPhase1QuorumGivesWayWithinABound"),
	},
	{
		ID:     "unlearnable-prefix-never-stuck",
		Breaks: "a leader that cannot learn its predecessors' choices gives way",
		File:   "paxos/proposer.go", Func: "proposer.stuck",
		Old:  `(p.bytes > 0 || !p.mayServeReads())`,
		New:  `p.bytes > 0`,
		Dies: unit("TestALeaderThatCannotLearnAPredecessorsPrefixGivesWay"),
	},
	{
		ID:     "nothing-chosen-never-stuck",
		Breaks: "a leader that gets nothing chosen gives way",
		Source: "CockroachDB issue 41691: a stalled leader keeps its lease",
		File:   "paxos/proposer.go", Func: "proposer.stuck",
		Old:  `(p.bytes > 0 || !p.mayServeReads())`,
		New:  `!p.mayServeReads()`,
		Dies: unit("TestALeaderThatGetsNothingChosenResigns"),
	},
	{
		ID:     "accepts-not-resent",
		Breaks: "an Accept that was not answered is sent again",
		File:   "paxos/proposer.go", Func: "proposer.tick",
		Old: `		p.resend()
`,
		New:  "",
		Dies: unit("TestAnUnansweredAcceptIsSentAgainAsItWas"),
	},
	{
		ID:     "prepares-not-resent",
		Breaks: "a Prepare that was not answered is sent again",
		File:   "paxos/proposer.go", Func: "proposer.tick",
		Old: `		if p.r.now-p.preparedAt >= int64(p.r.cfg.ResendTicks) {
			p.sendPrepare()
		}`,
		New:  "",
		Dies: unit("TestTranscripts"),
	},
	{
		ID:     "lost-votes-not-asked-again",
		Breaks: "slots that wait for reports are asked about again",
		File:   "paxos/proposer.go", Func: "proposer.tick",
		Old:  `			p.sendPrepare() // slots`,
		New:  `			// slots`,
		Dies: unit("TestTranscripts"),
	},
	{
		ID:     "resigned-leader-says-happy",
		Breaks: "a leader that resigned does not claim to be well",
		File:   "paxos/proposer.go", Func: "proposer.rest",
		Old: `	p.r.election.happy = false
`,
		New:  "",
		Dies: unit("TestTranscripts"),
	},
}
