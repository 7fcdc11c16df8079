package mutants

// vitalMutants are of the state without which a member may not vote.
var vitalMutants = []Mutant{
	{
		ID:     "halves-in-one-sync",
		Breaks: "the second half of the copies is begun only when the first is durable",
		File:   "wal/vital.go", Func: "vitalFile.write",
		Old: `		if err := v.file.Datasync(); err != nil {
			return err
		}
	}
	v.sequence = sequence`,
		New: `	}
	if err := v.file.Datasync(); err != nil {
		return err
	}
	v.sequence = sequence`,
		Dies: unit("TestASurvivingCopyIsNeverWrittenOverBeforeAnotherIsDurable"),
	},
	{
		ID:     "vital-state-not-synced",
		Breaks: "the vital state is synced before it counts",
		Source: "PhxPaxos: iSyncInterval",
		File:   "wal/vital.go", Func: "vitalFile.write",
		Old: `		if err := v.file.Datasync(); err != nil {
			return err
		}
`,
		New:  "",
		Dies: crash("500"),
	},
	{
		ID:     "one-half-only",
		Breaks: "both halves get the new state",
		File:   "wal/vital.go", Func: "vitalFile.write",
		Old:  `	for _, group := range groups {`,
		New:  `	for _, group := range groups[:1] {`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "sequence-not-raised",
		Breaks: "each state has a sequence of its own",
		File:   "wal/vital.go", Func: "vitalFile.write",
		Old: `	v.sequence = sequence
`,
		New:  "",
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "latest-half-written-first",
		Breaks: "after a start the half that has nothing sound is written first",
		File:   "wal/vital.go", Func: "vitalFile.plan",
		Old:  `first, groups = other, [][]int{copiesOf(other), copiesOf(newest)}`,
		New:  `first, groups = newest, [][]int{copiesOf(newest), copiesOf(other)}`,
		Dies: unit("TestASurvivingCopyIsNeverWrittenOverBeforeAnotherIsDurable"),
	},
	{
		ID:     "older-half-written-first",
		Breaks: "after a start the half with the state before is not written while the other may be in the page cache alone",
		Source: "the simulator, seed 117665116979352",
		File:   "wal/vital.go", Func: "vitalFile.plan",
		Old:  `	case !has(other, copyOlder):`,
		New:  `	case true:`,
		Dies: unit("TestWhatTheCacheHasOfTheVitalStateIsNotTakenForWhatSurvives"),
	},
	{
		ID:     "same-half-always-first",
		Breaks: "the half that was written second, and may be in the page cache alone, is written first the next time",
		File:   "wal/vital.go", Func: "vitalFile.plan",
		Old:  `first := 1 - firstHalf(v.sequence)`,
		New:  `first := firstHalf(v.sequence)`,
		Dies: unit("TestWhatTheCacheHasOfTheVitalStateIsNotTakenForWhatSurvives"),
	},
	{
		ID:     "vital-checksum-unchecked",
		Breaks: "a damaged copy does not count",
		File:   "wal/vital.go", Func: "decodeVital",
		Old: ` || checksum(b[4:]) != le.Uint32(b) ||
`,
		New: ` ||
`,
		Dies: unit("TestASurvivingCopyIsNeverWrittenOverBeforeAnotherIsDurable"),
	},
	{
		ID:     "misdirected-copy-taken",
		Breaks: "a copy that was written in the place of another does not count",
		Source: "Bairavasundaram et al., \"An analysis of data corruption in the storage stack\", FAST 2008",
		File:   "wal/vital.go", Func: "decodeVital",
		Old:  ` || le.Uint32(b[12:]) != copyNumber {`,
		New:  ` {`,
		Dies: unit("TestACopyOfTheVitalStateInAnothersPlaceDoesNotCount"),
	},
	{
		ID:     "newer-format-read",
		Breaks: "a format of a newer major version is refused",
		File:   "wal/vital.go", Func: "decodeVital",
		Old:  `v.major() > formatNewest.major()`,
		New:  `v.major() > formatNewest.major()+1`,
		Dies: unit("TestANewerMinorFormatIsReadAndANewerMajorOneIsRefused"),
	},
	{
		ID:     "founders-length-believed",
		Breaks: "the length of the founders is bounded",
		File:   "wal/vital.go", Func: "decodeVital",
		Old: `	if length > MaxFoundersBytes {
		return state{}, 0, errVitalCopy
	}
`,
		New:  "",
		Dies: unit("TestALengthOfFoundersBeyondTheBlockIsNotBelieved"),
	},
	{
		ID:     "all-copies-damaged-is-new",
		Breaks: "a member that has lost its vital state may not vote",
		Source: "NATS 2.12.1 (Jepsen, 2025): unreadable metadata taken for an orphan",
		File:   "wal/vital.go", Func: "readVital",
		Old: `	if v.sequence == 0 {
		return`,
		New: `	if v.sequence == 0 && latest.Node != 0 {
		return`,
		Dies: unit("TestEveryCombinationOfDamagedCopiesOfTheVitalStateIsSurvivedButAll"),
	},
	{
		ID:     "format-name-not-synced",
		Breaks: "the name of the vital state is durable before the log is used",
		Source: "etcd issue 6368: the directory was not synced",
		File:   "wal/vital.go", Func: "createVital",
		Old:  `	return fs.SyncDir(dir)`,
		New:  `	return nil`,
		Dies: crash("500"),
	},
	{
		ID:     "format-in-place",
		Breaks: "the vital state gets its name when it is whole",
		File:   "wal/vital.go", Func: "createVital",
		Old: `	temp := join(dir, vitalTemp)
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	v := &vitalFile{file: f}
	if err := errors.Join(v.write(s), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, join(dir, vitalName)); err != nil {
		return err
	}
`,
		New: `	f, err := fs.Create(join(dir, vitalName))
	if err != nil {
		return err
	}
	v := &vitalFile{file: f}
	if err := errors.Join(v.write(s), f.Close()); err != nil {
		return err
	}
`,
		Dies: unit("TestAPowerCutBeforeAnyDiskCallLosesNothingAcknowledged"),
	},
	{
		ID:     "boot-not-raised",
		Breaks: "each start has a boot number of its own",
		Source: "PhxPaxos issue 145: proposal numbers after a restart",
		File:   "wal/open.go", Func: "Log.raiseBoot",
		Old: `		s.Boot++
`,
		New:  "",
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "boot-overflows",
		Breaks: "a boot number is never used again",
		File:   "wal/open.go", Func: "Log.raiseBoot",
		Old:  `	if l.state.Boot == math.MaxUint32 {`,
		New:  `	if l.state.Boot == 0 && l.dir == "" && math.MaxUint32 > 0 {`,
		Dies: unit("TestABootNumberIsNeverUsedAgainNotEvenTheHighest"),
	},
	{
		ID:     "boot-in-memory-only",
		Breaks: "the boot is durable before the log is used",
		Source: "hashicorp/raft issue 661",
		File:   "wal/open.go", Func: "Log.raiseBoot",
		Old: `	return l.writeVital(func(s *state) {
`,
		New: `	return func(change func(*state)) error { change(&l.state); return nil }(func(s *state) {
`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "recovered-watermark-not-written",
		Breaks: "what recovery vouches for is written as durable",
		File:   "wal/open.go", Func: "Log.raiseBoot",
		Old: `		s.durable = last
`,
		New:  "",
		Dies: unit("TestWhatRecoveryVouchedForIsNotCutByTheNext"),
	},
	{
		ID:     "foreign-log-opened",
		Breaks: "the log of another member is refused",
		Source: "dragonboat issues 156, 369: copied directories",
		File:   "wal/open.go", Func: "Log.openVital",
		Old:  `if s.Cluster != l.options.Cluster || s.Node != l.options.Node {`,
		New:  `if s.Cluster != l.options.Cluster && s.Node != l.options.Node {`,
		Dies: unit("TestAnotherMembersDirectoryIsRefused"),
	},
	{
		ID:     "segments-without-vital-state-formatted-over",
		Breaks: "segments without a vital state are not formatted over",
		Source: "NATS 2.12.1 (Jepsen, 2025): data deleted because metadata was unreadable",
		File:   "wal/open.go", Func: "Log.openVital",
		Old: `		case len(files.segments) > 0:
			return fmt.Errorf("%w: %s has segments and no vital state: put back the file %s, or replace the member by a new one", ErrMayNotVote, l.dir, vitalName)
`,
		New:  "",
		Dies: unit("TestSegmentsWithoutVitalStateAreRefused"),
	},
	{
		ID:     "empty-directory-formatted-unasked",
		Breaks: "a directory is formatted only when that is asked for",
		Source: "etcd issues 10254, 20269: a wiped disk under the same id",
		File:   "wal/open.go", Func: "Log.openVital",
		Old: `		case l.options.Incarnation == 0:
			return notFormatted(l.dir)
`,
		New:  "",
		Dies: unit("TestADirectoryIsFormattedOnlyWithAnIncarnation"),
	},
	{
		ID:     "promise-below-a-record",
		Breaks: "recovery raises the promise to every ballot that it finds",
		Source: "PySyncObj issue 202",
		File:   "wal/open.go", Func: "Log.recoverEntry",
		Old: `	if l.state.Promised.Less(e.Record.Ballot) {
		l.state.Promised = e.Record.Ballot
	}
`,
		New:  "",
		Dies: unit("TestRecoveryRaisesThePromiseToEveryBallotThatItFinds"),
	},
}
