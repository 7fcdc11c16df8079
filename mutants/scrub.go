package mutants

// scrubMutants are of what is found on disks and made good.
var scrubMutants = []Mutant{
	{
		ID:     "scrubbed-damage-forgotten",
		Breaks: "a slot whose last record is found damaged is unknown from then on",
		Source: "NATS 2.12.1 (Jepsen, 2025): what was found damaged was served",
		File:   "wal/scrub.go", Func: "Log.noteDamaged",
		Old: `	l.unknown[slot] = UnknownSlot{Slot: slot, Ballot: l.state.Promised, LSN: lsn}
`,
		New:  "",
		Dies: unit("TestASlotThatAScrubFindsDamagedIsUnknownUntilItIsWrittenAgain"),
	},
	{
		ID:     "older-damage-hides-a-later-record",
		Breaks: "a damaged record that has been overwritten since says nothing of its slot",
		File:   "wal/scrub.go", Func: "Log.noteDamaged",
		Old:  `!ok || at != p || slot == 0`,
		New:  `!ok || slot == 0`,
		Dies: unit("TestASlotThatAScrubFindsDamagedIsUnknownUntilItIsWrittenAgain"),
	},
	{
		ID:     "damaged-header-passed-over",
		Breaks: "a batch that nobody can read is found while the log is open",
		File:   "wal/scrub.go", Func: "Log.scrubSegment",
		Old:  `			return &Damage{Segment: s.id.fileName(), Offset: offset, LSN: next}, nil`,
		New:  `			return nil, nil`,
		Dies: unit("TestALogWithADamagedHeaderIsCuredByATrim"),
	},
	{
		ID:     "vital-copies-not-mended",
		Breaks: "copies of the vital state that rot are written again while the state is in memory",
		File:   "wal/scrub.go", Func: "Log.MendVital",
		Old:  `	return bad, l.writeVital(func(*state) {})`,
		New:  `	return bad, nil`,
		Dies: unit("TestDamagedCopiesOfTheVitalStateAreWrittenAgainEvenAll"),
	},
	{
		ID:     "lost-records-passed-for-sound",
		Breaks: "a check says of what an Open refuses that it is fatal",
		File:   "wal/check.go", Func: "checker.entry",
		Old:  `		c.found(disk.Fatal, e, fmt.Sprintf("what was written`,
		New:  `		c.found(disk.Damage, e, fmt.Sprintf("what was written`,
		Dies: unit("TestCheckForetellsWhatRecoveryMakesOfEveryFlippedByte"),
	},
	{
		ID:     "undelivered-slot-mended",
		Breaks: "only what is delivered is taken from a peer in the place of a lost record",
		File:   "paxos/mend.go", Func: "learner.onMended",
		Old:  `rec.Slot > 0 && rec.Slot <= l.delivered`,
		New:  `rec.Slot > 0`,
		Dies: unit("TestOnlyDeliveredSlotsAreMended"),
	},
}
