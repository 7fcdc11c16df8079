package mutants

// salvageMutants are of what is done to directories whose member does not run: repair, and recovery when a majority is lost for good.
var salvageMutants = []Mutant{
	{
		ID:     "repaired-where-a-vote-may-be-lost",
		Breaks: "nothing is repaired where a vote or a promise may be lost",
		File:   "cmd/synod/repair.go", Func: "inspected.plan",
		Old:  `	if i.fatal {`,
		New:  `	if false {`,
		Dies: unit("TestRepairTouchesNothingWhereAVoteMayBeLost"),
	},
	{
		ID:     "only-store-set-aside",
		Breaks: "the only store there is of what the log has trimmed is not set aside",
		File:   "cmd/synod/repair.go", Func: "inspected.plan",
		Old:  `	if i.health.Alone && i.health.Vital.Trimmed > 0 {`,
		New:  `	if false {`,
		Dies: unit("TestRepairKeepsTheOnlyStoreOfAMemberAlone"),
	},
	{
		ID:     "repaired-without-being-told-to",
		Breaks: "nothing is repaired without --yes",
		File:   "cmd/synod/repair.go", Func: "repair",
		Old:  `	case !really:`,
		New:  `	case false:`,
		Dies: unit("TestRepairDoesNothingUnlessItIsToldToAndThenLeavesTheDirectorySound"),
	},
	{
		ID:     "recovered-without-accepting-the-loss",
		Breaks: "no cluster is made of what is left without --accept-loss",
		File:   "cmd/synod/recover.go", Func: "recovery.run",
		Old:  `	if !r.accepted {`,
		New:  `	if false {`,
		Dies: unit("TestRecoveryKeepsWhatTheDisksProveAndWhatTheyVotedFor"),
	},
	{
		ID:     "untrusted-log-recovered-from",
		Breaks: "a log that cannot be trusted proves nothing",
		File:   "cmd/synod/recover.go", Func: "recovery.plan",
		Old:  `		if !i.logSound() {`,
		New:  `		if false {`,
		Dies: unit("TestRecoveryLeavesALogAsideThatCannotBeTrusted"),
	},
	{
		ID:     "recovered-from-the-middle-of-a-log",
		Breaks: "without a whole store a log must reach back to the beginning",
		File:   "cmd/synod/recover.go", Func: "recovery.plan",
		Old:  ` && i.health.Vital.Trimmed == 0`,
		New:  "",
		Dies: unit("TestRecoveryGoesBackToTheLogIfTheStoreIsDamagedAndRefusesIfThatIsTrimmed"),
	},
	{
		ID:     "higher-vote-over-a-proven-choice",
		Breaks: "what a disk proves to be chosen counts before a vote of whatever ballot",
		File:   "cmd/synod/salvage.go", Func: "salvage.add",
		Old:  `!held.proven && held.ballot.Less(r.Ballot)`,
		New:  `held.ballot.Less(r.Ballot)`,
		Dies: unit("TestRecoveryKeepsWhatTheDisksProveAndWhatTheyVotedFor"),
	},
	{
		ID:     "lower-vote-recovered",
		Breaks: "of votes for a slot the one of the highest ballot is recovered (P2c)",
		File:   "cmd/synod/salvage.go", Func: "salvage.add",
		Old:  `held.ballot.Less(r.Ballot)`,
		New:  `r.Ballot.Less(held.ballot)`,
		Dies: unit("TestRecoveryKeepsWhatTheDisksProveAndWhatTheyVotedFor"),
	},
}
