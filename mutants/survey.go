package mutants

// surveyMutants are of what recovery makes of what it finds.
var surveyMutants = []Mutant{
	{
		ID:     "torn-tail-taken-for-data",
		Breaks: "what is torn is cut off",
		Source: "etcd issues 5230, 6515, 11488, 14098: torn tails misjudged",
		File:   "wal/survey.go", Func: "survey.walkTail",
		Old: `		if e.State == Torn {
			kept = min(kept, i)
		}
`,
		New:  "",
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "sound-after-torn-taken",
		Breaks: "what follows a torn record in its batch is cut off with it",
		File:   "wal/survey.go", Func: "survey.walkTail",
		Old: `			kept = min(kept, i)
`,
		New: `			if kept = len(b.entries); i == kept-1 {
				kept = i
			}
`,
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "corrupt-record-cut-away",
		Breaks: "a damaged record below a watermark keeps its place",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018: ZooKeeper, LogCabin",
		File:   "wal/survey.go", Func: "survey.walkTail",
		Old:  `kept, durable := len(b.entries), v.last < v.state.durable`,
		New:  `kept, durable := len(b.entries), false`,
		Dies: unit("TestNoFlippedByteIsCutAfterACleanClose"),
	},
	{
		ID:     "corrupt-segment-end-cut-away",
		Breaks: "a batch that is missing below a later one is not the end of the log",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "wal/chain.go", Func: "readChain",
		Old: `			c.stray = &b
			break`,
		New: `			_ = b
			break`,
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "vital-watermark-ignored",
		Breaks: "a log that ends below the vital state's watermark has lost something",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "wal/survey.go", Func: "survey.checkEnd",
		Old:  `	if v.last < v.state.durable {`,
		New:  `	if v.last < v.state.durable && v.last > v.state.durable {`,
		Dies: unit("TestNoFlippedByteIsCutAfterACleanClose"),
	},
	{
		ID:     "missing-segment-unnoticed",
		Breaks: "a segment that the vital state names must be there",
		Source: "ZOOKEEPER-582: logs missing, snapshot present",
		File:   "wal/survey.go", Func: "survey.walk",
		Old:  `if id != 0 && !slices.Contains(v.segments, id) {`,
		New:  `if id != 0 && id > v.state.live && !slices.Contains(v.segments, id) {`,
		Dies: unit("TestAMissingSegmentIsNotAShorterLog"),
	},
	{
		ID:     "gap-between-segments-unnoticed",
		Breaks: "LSNs go on from one segment to the next",
		Source: "dragonboat issues 156, 369; PhxPaxos issues 22, 32, 33: a gap in the log",
		File:   "wal/survey.go", Func: "survey.checkGap",
		Old:  `	if len(c.batches) == 0 || c.batches[0].first == v.last+1 {`,
		New:  `	if len(c.batches) == 0 || c.batches[0].first >= v.last+1 {`,
		Dies: unit("TestAMissingSegmentIsNotAShorterLog"),
	},
	{
		ID:     "segments-in-wrong-order",
		Breaks: "segments are read in the order of their numbers",
		File:   "wal/survey.go", Func: "survey.walk",
		Old:  `	for _, id := range v.segments {`,
		New:  `	for _, id := range slices.Backward(v.segments) {`,
		Dies: unit("TestDumpGoesOnWithoutVitalState"),
	},
	{
		ID:     "obsolete-segment-read",
		Breaks: "segments that a trim had retired are left aside",
		File:   "wal/survey.go", Func: "survey.walk",
		Old: `		if id < v.state.oldest {
			v.obsolete = append(v.obsolete, id)
			continue
		}
`,
		New:  "",
		Dies: unit("TestEveryFailedDiskCallIsFinal"),
	},
	{
		ID:     "batch-checksum-unchecked",
		Breaks: "a batch whose header or table is damaged is none",
		File:   "wal/batch.go", Func: "decodeBatch",
		Old:  `	if size > len(rest)-head || checksum(rest[4:head]) != le.Uint32(rest) {`,
		New:  `	if size > len(rest)-head {`,
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "record-bound-to-no-batch",
		Breaks: "a record of a file's former life that lies in the right place is not taken",
		Source: "Pebble: recycled logs need a number in every header",
		File:   "wal/batch.go", Func: "entry.record",
		Old:  ` || binary.LittleEndian.Uint32(e.raw) != e.headerSum {`,
		New:  ` {`,
		Dies: unit("TestASoundRecordThatIsNotTheBatchsOwnIsDamage"),
	},
	{
		ID:     "damaged-record-taken",
		Breaks: "a record whose value is damaged is not sound",
		Source: "NATS issues 7549, 7556: a flipped bit trusted",
		File:   "wal/batch.go", Func: "entry.record",
		Old:  `	return r, err == nil`,
		New:  `	return r, err == nil || size > 0`,
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "another-lifes-batch-taken",
		Breaks: "a batch of a file's former life is none",
		Source: "Pebble: recycled logs need a number in every header",
		File:   "wal/batch.go", Func: "ours",
		Old: ` && segmentID(le.Uint32(b[24:])) == segment &&
`,
		New: ` &&
`,
		Dies: unit("TestABatchOfAnotherSegmentOrMemberIsNone"),
	},
	{
		ID:     "another-members-batch-taken",
		Breaks: "a batch of another incarnation is none",
		File:   "wal/batch.go", Func: "ours",
		Old:  `		(incarnation == 0 || paxos.Incarnation(le.Uint64(b[8:])) == incarnation)`,
		New:  `		(incarnation == 0 || paxos.Incarnation(le.Uint64(b[8:])) != 0)`,
		Dies: unit("TestABatchOfAnotherSegmentOrMemberIsNone"),
	},
	{
		ID:     "chain-goes-on-over-a-gap",
		Breaks: "batches of a segment follow each other in LSN",
		File:   "wal/chain.go", Func: "readChain",
		Old:  ` || len(c.batches) > 0 && b.first != c.batches[len(c.batches)-1].next() {`,
		New:  ` {`,
		Dies: unit("TestAChainDoesNotGoOnOverAGapInItsLSNs"),
	},
	{
		ID:     "damage-of-no-slot-passed-over",
		Breaks: "where nobody knows which records there were, the member may not vote",
		Source: "NATS 2.12.1 (Jepsen, 2025): a flipped bit, and half of the messages gone",
		File:   "wal/open.go", Func: "Log.recoverEntry",
		Old: `	if e.Record == nil {
		return fmt.Errorf("%w: %s is damaged at %d: what was written there as LSN %d and on, up to a later batch, is not known: replace the member by a new one",
			ErrMayNotVote, join(l.dir, e.Segment), e.Offset, e.LSN)
	}
`,
		New: `	if e.Record == nil {
		return nil
	}
`,
		Dies: unit("TestADamagedBatchHeaderIsRefusedByPlaceAndLSN"),
	},
	{
		ID:     "lost-slot-taken-for-empty",
		Breaks: "a slot whose last record is damaged is unknown",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "wal/open.go", Func: "Log.foundDamaged",
		Old: `	l.unknown[slot] = u
`,
		New: `	_ = u
`,
		Dies: unit("TestADamagedRecordStaysUnknownUntilItIsWrittenAgain"),
	},
	{
		ID:     "older-record-stands-in-for-a-lost-one",
		Breaks: "a damaged record hides older ones of its slot",
		Source: "Alagappan et al., \"Protocol-Aware Recovery\", FAST 2018",
		File:   "wal/open.go", Func: "Log.recoverEntry",
		Old: `	if e.State == Corrupt {
		l.foundDamaged(s, e)
	} else {`,
		New:  `	if e.State != Corrupt {`,
		Dies: unit("TestADamagedRecordHidesAnEarlierOneAndNotALaterOne"),
	},
	{
		ID:     "lost-vote-without-bound",
		Breaks: "a lost record of unknown ballot is bounded by the promise",
		File:   "wal/open.go", Func: "Log.foundDamaged",
		Old:  `Ballot: l.state.Promised, LSN`,
		New:  `LSN`,
		Dies: unit("TestNoFlippedByteBelowTheWatermarkIsCutSilently"),
	},
	{
		ID:     "unsynced-tail-trusted",
		Breaks: "what a failed sync may have left in the page cache is written again before it is trusted",
		Source: "Rebello et al., \"Can Applications Recover from fsync Failures?\", ATC 2020",
		File:   "wal/open.go", Func: "Log.resume",
		Old: `	if v.last <= l.state.durable && !v.cut {
		return nil
	}
	return l.rewrite(live, v.tail.batches)`,
		New:  `	return nil`,
		Dies: unit("TestRecoveryDoesNotTrustWhatAFailedSyncLeftInTheCache"),
	},
	{
		ID:     "torn-header-left-behind",
		Breaks: "a torn batch is wiped out, or it will count as corrupt",
		File:   "wal/open.go", Func: "Log.resume",
		Old:  `	if v.last <= l.state.durable && !v.cut {`,
		New:  `	if v.last <= l.state.durable {`,
		Dies: unit("FuzzOpen"),
	},
	{
		ID:     "rewrite-not-synced",
		Breaks: "what is written again is synced before it takes the old one's place",
		Source: "ALICE (Pillai et al., OSDI 2014): rename before the data",
		File:   "wal/open.go", Func: "Log.rewrite",
		Old: `	if err := f.Datasync(); err != nil {
		return err
	}
`,
		New:  "",
		Dies: unit("TestAFullDiskIsFinalAndLosesNothing"),
	},
	{
		ID:     "rewrite-in-place",
		Breaks: "the tail is written again in a fresh file",
		File:   "wal/open.go", Func: "Log.rewrite",
		Old: `	f, err := l.blankFile(s.bytes)
	if err != nil {
		return err
	}
	stale := s.file
	s.file, s.end = f, int64(len(content))
	if err := stale.Close(); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil { // a recycled file that still bore its old name with this content would be no blank spare any more
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	if err := f.Datasync(); err != nil {
		return err
	}
	if err := l.name(s.id); err != nil {
		return err
	}
`,
		New: `	s.end = int64(len(content))
	if _, err := s.file.WriteAt(content, 0); err != nil {
		return err
	}
	if err := s.file.Datasync(); err != nil {
		return err
	}
`,
		Dies: unit("FuzzOpen"),
	},
	{
		ID:     "recycled-name-not-synced",
		Breaks: "a spare loses its name durably before it holds batches of the tail's own number",
		File:   "wal/open.go", Func: "Log.rewrite",
		Old: `	if err := l.fs.SyncDir(l.dir); err != nil { // a recycled file that still bore its old name with this content would be no blank spare any more
		return err
	}
`,
		New:  "",
		Dies: unit("TestARecycledFileThatKeepsItsOldNameBringsNothingBack"),
	},
	{
		ID:     "directory-not-synced-at-start",
		Breaks: "names that an earlier process left unsynced are synced before they are trusted",
		Source: "etcd issue 6368: the directory was not synced",
		File:   "wal/open.go", Func: "Log.recover",
		Old: `	if err := l.fs.SyncDir(l.dir); err != nil { // whoever was here before may have died between a rename and its sync
		return err
	}
`,
		New:  "",
		Dies: unit("TestANameThatAnEarlierProcessLeftUnsyncedIsSyncedBeforeItIsTrusted"),
	},
	{
		ID:     "half-made-files-kept",
		Breaks: "what a crash left half made is removed",
		File:   "wal/open.go", Func: "Log.tidy",
		Old:  `	for _, name := range files.temps {`,
		New:  `	for _, name := range files.temps[:0] {`,
		Dies: unit("TestAFullDiskIsFinalAndLosesNothing"),
	},
	{
		ID:     "log-opened-twice",
		Breaks: "a directory has one owner",
		File:   "wal/open.go", Func: "Open",
		Old: `	lock, err := fs.Lock(dir)
`,
		New: `	lock, err := fs.Lock(dir)
	if errors.Is(err, disk.ErrLocked) {
		lock, err = fs.OpenRead(join(dir, vitalName))
	}
`,
		Dies: unit("TestALockedDirectoryIsRefused"),
	},
}
