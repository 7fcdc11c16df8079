package mutants

// logMutants are of when a write counts as done.
var logMutants = []Mutant{
	{
		ID:     "sync-skipped",
		Breaks: "a batch is synced before it is acknowledged",
		Source: "NATS issue 7564: acknowledged before the sync; PhxPaxos: iSyncInterval",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
`,
		New:  "",
		Dies: crash("500"),
	},
	{
		ID:     "sync-before-write",
		Breaks: "a batch is synced after it was written",
		Source: "etcd issue 14370: acknowledged before the fsync",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	if _, err := live.file.WriteAt(l.buffer, live.end); err != nil {
		return l.fail("write to the log", err)
	}
	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
`,
		New: `	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
	if _, err := live.file.WriteAt(l.buffer, live.end); err != nil {
		return l.fail("write to the log", err)
	}
`,
		Dies: unit("TestEveryFailedDiskCallIsFinal"),
	},
	{
		ID:     "sync-error-ignored",
		Breaks: "a failed sync is an error",
		Source: "etcd-io/raft-wal and others: Close and Sync errors dropped",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
`,
		New: `	_ = live.file.Datasync()
`,
		Dies: unit("TestRecoveryDoesNotTrustWhatAFailedSyncLeftInTheCache"),
	},
	{
		ID:     "sync-retried",
		Breaks: "a failed sync is not tried again: the second one proves nothing",
		Source: "PostgreSQL, 2018 (\"fsyncgate\"); CockroachDB issue 37102",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	if err := live.file.Datasync(); err != nil {
		return l.fail("sync the log", err)
	}
`,
		New: `	if live.file.Datasync() != nil {
		if err := live.file.Datasync(); err != nil {
			return l.fail("sync the log", err)
		}
	}
`,
		Dies: unit("TestRecoveryDoesNotTrustWhatAFailedSyncLeftInTheCache"),
	},
	{
		ID:     "write-error-ignored",
		Breaks: "a failed write is an error",
		Source: "PhxPaxos issue 66: a full disk",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	if _, err := live.file.WriteAt(l.buffer, live.end); err != nil {
		return l.fail("write to the log", err)
	}
`,
		New: `	_, _ = live.file.WriteAt(l.buffer, live.end)
`,
		Dies: unit("TestEveryFailedDiskCallIsFinal"),
	},
	{
		ID:     "failure-not-latched",
		Breaks: "the first failure is final",
		Source: "CockroachDB issue 37102: success after a failed sync",
		File:   "wal/log.go", Func: "Log.fail",
		Old: `	if l.err == nil {
		l.err = fmt.Errorf("%w: %s in %s: %w: nothing after it is acknowledged; see to the disk, then start again", ErrFailed, what, l.dir, err)
	}
	return l.err`,
		New:  `	return fmt.Errorf("%w: %s in %s: %w", ErrFailed, what, l.dir, err)`,
		Dies: unit("TestEveryFailedDiskCallIsFinal"),
	},
	{
		ID:     "promise-not-in-vital-state",
		Breaks: "the vital state has the promise before a record above it is written",
		Source: "PySyncObj issue 202: terms restart at 0",
		File:   "wal/log.go", Func: "Log.raisePromise",
		Old:  `	return l.writeVital(func(s *state) { s.Promised = promised })`,
		New:  `	return nil`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "promise-after-the-records",
		Breaks: "the promise is durable before the records that raise it, or rot in them lowers it",
		Source: "hashicorp/raft issue 661: term and vote persisted in two writes",
		File:   "wal/log.go", Func: "Log.Sync",
		Old: `	if err := l.raisePromise(); err != nil {
		return err
	}
	for len(l.pending) > 0 {
		n, size := l.fit(l.pending)
		if err := l.makeRoom(size); err != nil {
			return err
		}
		if err := l.writeBatch(l.pending[:n]); err != nil {
			return err
		}
	}
	return nil`,
		New: `	raise := append([]*paxos.Record(nil), l.pending...)
	for len(l.pending) > 0 {
		n, size := l.fit(l.pending)
		if err := l.makeRoom(size); err != nil {
			return err
		}
		if err := l.writeBatch(l.pending[:n]); err != nil {
			return err
		}
	}
	promised := l.state.Promised
	for _, r := range raise {
		if promised.Less(r.Ballot) {
			promised = r.Ballot
		}
	}
	return l.writeVital(func(s *state) { s.Promised = promised })`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "promise-of-the-last-record",
		Breaks: "the promise is the highest ballot of a batch, not the last one",
		File:   "wal/log.go", Func: "Log.raisePromise",
		Old:  `if promised.Less(r.Ballot) {`,
		New:  `if !r.Ballot.IsZero() {`,
		Dies: unit("TestAPromiseOutlivesItsRecord"),
	},
	{
		ID:     "next-segment-before-vital-state",
		Breaks: "the vital state names the next segment, and what is durable, before anything is written to it",
		File:   "wal/log.go", Func: "Log.makeRoom",
		Old: `	if err := l.writeVital(func(s *state) {
		s.live, s.durable = next.id, l.durable
		if s.oldest == 0 {
			s.oldest = next.id
		}
	}); err != nil {
		return err
	}
`,
		New:  "",
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "watermark-beyond-what-is-durable",
		Breaks: "the watermark of the vital state is durable when it is written",
		File:   "wal/log.go", Func: "Log.makeRoom",
		Old:  `s.live, s.durable = next.id, l.durable`,
		New:  `s.live, s.durable = next.id, l.durable+1`,
		Dies: unit("TestDumpShowsEachStateAndChangesNothing"),
	},
	{
		ID:     "batches-overlap",
		Breaks: "a batch begins where the one before it ends",
		File:   "wal/log.go", Func: "Log.writeBatch",
		Old: `	live.end += int64(len(l.buffer))
`,
		New: `	live.end += int64(len(l.buffer)) - sectorBytes
`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "sectors-shared",
		Breaks: "no sector with acknowledged bytes is written again",
		Source: "torn rewrites of the last page: etcd issues 5230, 6515, 11488",
		File:   "wal/batch.go", Func: "batch.appendTo",
		Old:  `make([]byte, roundUp(len(dst)-start)-(len(dst)-start))`,
		New:  `make([]byte, 0)`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "lsn-not-advanced",
		Breaks: "each record has an LSN of its own",
		File:   "wal/log.go", Func: "Log.publish",
		Old: `	l.durable = b.next() - 1
`,
		New: `	l.durable = b.first
`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "append-returns-the-durable-lsn",
		Breaks: "Append returns the LSN to wait for, not the one that is durable",
		File:   "wal/log.go", Func: "Log.Append",
		Old:  `return l.durable + paxos.LSN(len(l.pending)), nil`,
		New:  `return l.durable, nil`,
		Dies: unit("TestEveryFailedDiskCallIsFinal"),
	},
	{
		ID:     "watermark-not-written-at-close",
		Breaks: "a clean stop says how far the log was durable",
		File:   "wal/log.go", Func: "Log.Close",
		Old:  `	if err == nil && l.durable > l.state.durable {`,
		New:  `	if err == nil && l.durable > l.state.durable && l.dir == "" {`,
		Dies: unit("TestTheFormatIsByteForByteThatOfTheGoldenFiles"),
	},
	{
		ID:     "close-leaves-the-log-open",
		Breaks: "a closed log takes no calls",
		File:   "wal/log.go", Func: "Log.Close",
		Old: `	l.err = fmt.Errorf("%w: %s", ErrClosed, l.dir)
`,
		New:  "",
		Dies: unit("TestAClosedLogTakesNoCalls"),
	},
	{
		ID:     "founders-replaced",
		Breaks: "founders are set once",
		File:   "wal/log.go", Func: "Log.SetFounders",
		Old: `	case l.state.Founders != nil:
		return fmt.Errorf("%w: %s was founded with others: it belongs to another cluster", ErrFounders, l.dir)
`,
		New:  "",
		Dies: unit("TestFoundersAreSetOnce"),
	},
	{
		ID:     "memory-before-disk",
		Breaks: "what the vital state says is in memory only once it is on disk",
		Source: "PhxPaxos: the promise is set in memory, then persisted",
		File:   "wal/log.go", Func: "Log.writeVital",
		Old: `	if err := l.vital.write(s); err != nil {
		return l.fail("write the vital state", err)
	}
	l.mu.Lock()`,
		New:  `	l.mu.Lock()`,
		Dies: crash("500"),
	},
	{
		ID:     "large-records-taken",
		Breaks: "a record that no reader would accept is not written",
		File:   "wal/log.go", Func: "Log.Append",
		Old:  `if len(r.Value) > paxos.MaxValueBytes {`,
		New:  `if len(r.Value) < 0 {`,
		Dies: unit("TestTheLogIsReadableBeforeAnythingWasWritten"),
	},
	{
		ID:     "lost-slot-stays-unknown",
		Breaks: "a new record of a lost slot heals it",
		File:   "wal/log.go", Func: "Log.found",
		Old: `	delete(l.unknown, slot)
`,
		New:  "",
		Dies: unit("TestADamagedRecordStaysUnknownUntilItIsWrittenAgain"),
	},
	{
		ID:     "read-unverified",
		Breaks: "a read verifies what it has read",
		Source: "NATS issues 7549, 7556: a flipped bit trusted",
		File:   "wal/read.go", Func: "Log.Read",
		Old:  `if err != nil || size != len(raw) || r.Slot != slot || binary.LittleEndian.Uint32(raw) != p.headerSum {`,
		New:  `if r == nil || size == 0 || slot == 0 || binary.LittleEndian.Uint32(raw) == 0 && p.size == 0 {`,
		Dies: unit("TestRotWhileTheLogIsOpenIsNeverServed"),
	},
	{
		ID:     "read-takes-an-older-record",
		Breaks: "a read finds the record that was written, not one that was there before",
		Source: "ext4 and others after a failed sync: Rebello et al., ATC 2020",
		File:   "wal/read.go", Func: "Log.Read",
		Old:  ` || binary.LittleEndian.Uint32(raw) != p.headerSum {`,
		New:  ` || p.size == 0 && binary.LittleEndian.Uint32(raw) == 0 {`,
		Dies: unit("TestAReadTakesNoOtherSoundRecordOfTheSlot"),
	},
	{
		ID:     "unknown-slot-read",
		Breaks: "a lost slot is not read as if it had never been written",
		File:   "wal/read.go", Func: "Log.locate",
		Old: `	if u, ok := l.unknown[slot]; ok {
		return nil, nil, position{}, fmt.Errorf("%w: slot %d, LSN %d: have it sent by a peer", ErrUnknown, slot, u.LSN)
	}
`,
		New:  "",
		Dies: unit("TestADamagedRecordStaysUnknownUntilItIsWrittenAgain"),
	},
	{
		ID:     "replay-stops-short",
		Breaks: "a replay that finds less than there must be fails",
		File:   "wal/read.go", Func: "Log.replaySegment",
		Old: `	if next != end {
		return`,
		New: `	if next > end {
		return`,
		Dies: unit("TestAReplayFailsIfABatchIsGoneSinceTheLogWasOpened"),
	},
}
