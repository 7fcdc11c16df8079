package mutants

// segmentMutants are of segments: how they come to be, and go.
var segmentMutants = []Mutant{
	{
		ID:     "segment-name-not-synced",
		Breaks: "the name of a segment is durable before anything is written to it",
		Source: "etcd issue 6368: the directory was not synced",
		File:   "wal/segment.go", Func: "Log.name",
		Old:  `	return l.fs.SyncDir(l.dir)`,
		New:  `	return nil`,
		Dies: unit("TestRecoveryDoesNotTrustWhatAFailedSyncLeftInTheCache"),
	},
	{
		ID:     "segment-number-used-again",
		Breaks: "no segment ever has the number of an earlier one",
		Source: "Pebble: recycled logs need a number in every header",
		File:   "wal/segment.go", Func: "Log.prepareNext",
		Old: `	l.lastID = id
`,
		New: `	l.lastID = id - 1
`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "trim-forgets-before-it-is-durable",
		Breaks: "that slots are trimmed is durable before anything of them is gone",
		File:   "wal/trim.go", Func: "Log.Trim",
		Old: `	if err := l.writeVital(func(s *state) {
		s.Trimmed = slot
		if n > 0 {
			s.oldest, s.first = l.segments[n].id, l.segments[n].first
		}
	}); err != nil {
		return err
	}
	for _, s := range l.forget(slot, n) {
		if err := l.retire(s.id, s); err != nil {
			return err
		}
	}
	return nil`,
		New: `	first := l.segments[n:]
	for _, s := range l.forget(slot, n) {
		if err := l.retire(s.id, s); err != nil {
			return err
		}
	}
	return l.writeVital(func(s *state) {
		s.Trimmed = slot
		if n > 0 {
			s.oldest, s.first = first[0].id, first[0].first
		}
	})`,
		Dies: unit("TestAFileIsNotRetiredUnderItsReader"),
	},
	{
		ID:     "trim-takes-one-segment-too-many",
		Breaks: "a segment goes only when all its slots are trimmed",
		Source: "PhxPaxos issue 196: the log was cleared under a writer",
		File:   "wal/trim.go", Func: "Log.Trim",
		Old:  `l.segments[n].last <= slot {`,
		New:  `l.segments[n].last <= slot+1 {`,
		Dies: unit("TestTrimForgetsWholeSegmentsAndRecyclesTheirFiles"),
	},
	{
		ID:     "trim-takes-the-live-segment",
		Breaks: "the live segment is never retired",
		File:   "wal/trim.go", Func: "Log.Trim",
		Old:  `n < len(l.segments)-1 &&`,
		New:  `n < len(l.segments) && l.segments[n].id > 0 &&`,
		Dies: unit("TestASlotThatIsTheLastOneCanBeTrimmed"),
	},
	{
		ID:     "trim-not-durable",
		Breaks: "a trimmed slot stays trimmed",
		File:   "wal/trim.go", Func: "Log.Trim",
		Old: `		s.Trimmed = slot
`,
		New: `		s.Trimmed = max(s.Trimmed, slot-slot)
`,
		Dies: unit("TestAFileIsNotRetiredUnderItsReader"),
	},
	{
		ID:     "trim-moves-no-beginning",
		Breaks: "the vital state says where a trimmed log begins",
		File:   "wal/trim.go", Func: "Log.Trim",
		Old: `			s.oldest, s.first = l.segments[n].id, l.segments[n].first
`,
		New: `			s.oldest = l.segments[n].id
`,
		Dies: unit("TestARecycledFileThatKeepsItsOldNameBringsNothingBack"),
	},
	{
		ID:     "trimmed-slot-read",
		Breaks: "a trimmed slot is not read",
		File:   "wal/read.go", Func: "Log.locate",
		Old: `	if slot <= l.state.Trimmed {
		return nil, nil, position{}, ErrTrimmed
	}
`,
		New:  "",
		Dies: unit("TestTrimForgetsWholeSegmentsAndRecyclesTheirFiles"),
	},
	{
		ID:     "trimmed-slot-revived",
		Breaks: "recovery does not bring back what was trimmed",
		File:   "wal/log.go", Func: "Log.found",
		Old:  `	if slot == 0 || slot <= l.state.Trimmed {`,
		New:  `	if slot == 0 {`,
		Dies: unit("TestTrimForgetsWholeSegmentsAndRecyclesTheirFiles"),
	},
	{
		ID:     "spares-pile-up",
		Breaks: "spares are bounded",
		File:   "wal/segment.go", Func: "Log.wantsSpare",
		Old:  `	return len(l.spares) < maxSpares`,
		New:  `	return len(l.spares) < 1<<20`,
		Dies: unit("TestTrimForgetsWholeSegmentsAndRecyclesTheirFiles"),
	},
	{
		ID:     "reader-loses-its-file",
		Breaks: "a segment is not closed under its readers",
		File:   "wal/segment.go", Func: "segment.readAt",
		Old: `	if s.closed {
		return ErrTrimmed
	}
`,
		New:  "",
		Dies: unit("TestAFileIsNotRetiredUnderItsReader"),
	},
}
