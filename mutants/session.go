package mutants

// sessionMutants are of exactly-once sessions.
var sessionMutants = []Mutant{
	{
		ID:     "table-lost-in-snapshot",
		Breaks: "what was executed is part of every snapshot",
		File:   "session/snapshot.go", Func: "Table.Append",
		Old:  `		for _, e := range r.entries {`,
		New:  `		for _, e := range r.entries[:0] {`,
		Dies: unit("TestARestoredTableExecutesNothingAgain"),
	},
	{
		ID:     "acknowledged-lost-in-snapshot",
		Breaks: "what was acknowledged is part of every snapshot",
		File:   "session/snapshot.go", Func: "Table.Append",
		Old:  `uint64(r.lastUsed), r.acked,`,
		New:  `uint64(r.lastUsed), 0,`,
		Dies: unit("TestARestoredTableExecutesNothingAgain"),
	},
	{
		ID:     "expired-session-executes",
		Breaks: "in a session that has expired nothing is executed",
		Source: "Ongaro's dissertation, §6.3: a command of an expired session must not be executed anew",
		File:   "session/table.go", Func: "Table.Begin",
		Old:  `	if t.expired(r) {`,
		New:  `	if false {`,
		Dies: unit("TestASessionThatIsUnusedForItsTTLInTheLogsTimeHasEnded"),
	},
	{
		ID:     "unknown-session-executes",
		Breaks: "in a session that nobody knows any more nothing is executed",
		Source: "Ongaro's dissertation, §6.3",
		File:   "session/table.go", Func: "Table.Begin",
		Old: `	if r == nil {
		return nil, false, ErrExpired
	}
`,
		New: `	if r == nil {
		return &Entry{}, true, nil
	}
`,
		Dies: unit("TestARetryInASessionThatHasEndedIsNotExecuted"),
	},
	{
		ID:     "only-the-last-sequence-compared",
		Breaks: "every executed command is remembered, not only the one with the highest sequence",
		File:   "session/table.go", Func: "Table.Begin",
		Old:  `	if executed {`,
		New:  `	if executed && at == len(r.entries)-1 {`,
		Dies: unit("TestAResultIsRememberedUntilItIsAcknowledged"),
	},
	{
		ID:     "lower-sequence-refused",
		Breaks: "a command that was overtaken by a later one of its session is executed",
		File:   "session/table.go", Func: "Table.Begin",
		Old: `	if executed {`,
		New: `	if at < len(r.entries) && !executed {
		return nil, false, ErrForgotten
	}
	if executed {`,
		Dies: unit("TestCommandsOfASessionAreExecutedInWhateverOrderTheyCome"),
	},
	{
		ID:     "acknowledged-executes",
		Breaks: "a command at or below the acknowledged sequence is not executed",
		File:   "session/table.go", Func: "Table.Begin",
		Old:  `	if h.Sequence <= r.acked {`,
		New:  `	if h.Sequence < r.acked {`,
		Dies: unit("TestAResultIsRememberedUntilItIsAcknowledged"),
	},
	{
		ID:     "acknowledgement-goes-back",
		Breaks: "what was acknowledged stays so when an earlier command comes late",
		File:   "session/table.go", Func: "Table.acknowledge",
		Old:  `	r.acked = max(r.acked, upto)`,
		New:  `	r.acked = upto`,
		Dies: unit("TestACommandThatComesAfterItWasAcknowledgedIsNotExecuted"),
	},
	{
		ID:     "result-forgotten-before-acknowledged",
		Breaks: "a result is remembered until it is acknowledged",
		File:   "session/table.go", Func: "Table.acknowledge",
		Old:  `r.entries[n].sequence <= r.acked {`,
		New:  `r.entries[n].sequence <= r.acked+1 {`,
		Dies: unit("TestAResultIsRememberedUntilItIsAcknowledged"),
	},
	{
		ID:     "log-time-goes-back",
		Breaks: "the time by which sessions expire never goes back",
		File:   "session/table.go", Func: "Table.Advance",
		Old:  `t.now = max(t.now, time)`,
		New:  `t.now = time`,
		Dies: unit("TestASessionThatIsUnusedForItsTTLInTheLogsTimeHasEnded"),
	},
	{
		ID:     "first-session-pushed-out",
		Breaks: "the session that was not used for longest is pushed out, not the one opened first",
		File:   "session/table.go", Func: "Table.use",
		Old: `	t.used.MoveToBack(r.place)
`,
		New:  "",
		Dies: unit("TestOneSessionMorePushesOutTheOneUnusedForLongest"),
	},
	{
		ID:     "results-unbounded",
		Breaks: "results take no more than so many bytes",
		File:   "session/table.go", Func: "Table.Finish",
		Old:  `	for t.bytes > t.bytesMax {`,
		New:  `	for false {`,
		Dies: unit("TestResultsBeyondTheBoundAreForgottenTheirExecutionIsNot"),
	},
	{
		ID:     "sessions-by-the-local-clock",
		Breaks: "sessions expire by the time in the log, not by a member's clock",
		Source: "Ongaro's dissertation, §6.3: replicas must agree on when a session expires",
		File:   "session/table.go", Func: "Table.expired",
		Old:  `t.now-r.lastUsed`,
		New:  `time.Now().UnixNano()-r.lastUsed`,
		Dies: unit("TestASessionThatIsUnusedForItsTTLInTheLogsTimeHasEnded"),
	},
	{
		ID:     "time-of-session-commands-only",
		Breaks: "every command's time counts, that of other clients' as well",
		File:   "sessions.go", Func: "sessions.Apply",
		Old: `		s.table.Advance(c.Time)
`,
		New: `		if c.session != nil {
			s.table.Advance(c.Time)
		}
`,
		Dies: unit("TestASessionEndsByTheTimeInTheLog"),
	},
	{
		ID:     "machine-shown-again-what-it-holds",
		Breaks: "a machine that is ahead of the table is not shown again what it holds",
		File:   "sessions.go", Func: "sessions.holds",
		Old:  `	return c.Slot <= s.held`,
		New:  `	return false`,
		Dies: unit("TestAfterACrashTheTableKnowsWhatTheMachineHasExecutedThoughNotItsResult"),
	},
	{
		ID:     "table-ahead-of-the-machines-disk",
		Breaks: "a snapshot of the table waits until the machine's disk holds its slot",
		File:   "trim.go", Func: "keeper.awaitDisks",
		Old:  `		if durable >= slot {`,
		New:  `		if true {`,
		Dies: unit("TestASnapshotOfTheTableWaitsForTheMachinesDisk"),
	},
	{
		ID:     "lost-machine-passes",
		Breaks: "a node whose machine is behind the table does not start",
		File:   "recover.go", Func: "Node.recoverMachine",
		Old:  `ok && applied < s.restored {`,
		New:  `ok && false {`,
		Dies: unit("TestASnapshotOfTheTableWaitsForTheMachinesDisk"),
	},
	{
		ID:     "client-acknowledges-what-is-open",
		Breaks: "a client acknowledges only what it will not ask for again",
		File:   "sessionclient.go", Func: "Session.acknowledged",
		Old:  `		least = min(least, sequence)`,
		New:  `		least = max(min(least, s.last), sequence)`,
		Dies: unit("TestAClientAcknowledgesWhatItKnowsAndNoMore"),
	},
	{
		ID:     "doubt-forgotten",
		Breaks: "a client that was in doubt once says so in the end",
		File:   "sessionclient.go", Func: "orUnknown",
		Old:  `	if inDoubt && `,
		New:  `	if false && inDoubt && `,
		Dies: unit("TestAClientTriesUntilTheOutcomeIsKnownAndSaysWhatItIs"),
	},
	{
		ID:     "each-attempt-another-sequence",
		Breaks: "each attempt at a command has the same sequence",
		File:   "sessionclient.go", Func: "Session.try",
		Old: `	s.mu.Unlock()
`,
		New: `	if c.Sequence > 0 {
		s.last++
		c.Sequence = s.last
	}
	s.mu.Unlock()
`,
		Dies: unit("TestCommandsOfSessionsAreExecutedOnceWhateverFails"),
	},
}
