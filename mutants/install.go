package mutants

// installMutants are of snapshots: when one is asked for, what one must prove to be believed, and in which order it is installed.
var installMutants = []Mutant{
	{
		ID:     "installed-forgets-votes-above",
		Breaks: "votes above an installed slot stay: an acceptor that forgot them could let two values be chosen",
		Source: "PhxPaxos issue 196: a snapshot races what the acceptor has written",
		File:   "paxos/install.go", Func: "learner.onInstalled",
		Old:  `l.r.acceptor.votes.dropBelow(slot + 1)`,
		New:  `l.r.acceptor.votes.reset(slot + 1)`,
		Dies: unit("TestAnInstallationKeepsThePromiseAndTheVotesAbove"),
	},
	{
		ID:     "installed-prefix-goes-back",
		Breaks: "an installation at or below the chosen prefix changes nothing",
		File:   "paxos/install.go", Func: "learner.onInstalled",
		Old:  `	if slot <= l.prefix {`,
		New:  `	if false {`,
		Dies: unit("TestThePrefixNeverGoesBack"),
	},
	{
		ID:     "installed-without-configurations",
		Breaks: "a snapshot that does not say who the members are is not installed",
		File:   "paxos/install.go", Func: "learner.onInstalled",
		Old:  `	if !follow(known) {`,
		New:  `	if false {`,
		Dies: unit("TestASnapshotBringsTheMembershipAndIsRefusedWithoutIt"),
	},
	{
		ID:     "overtaken-leader-goes-on",
		Breaks: "a leader that an installation overtakes resigns before it announces anything",
		File:   "paxos/install.go", Func: "proposer.onSkipped",
		Old:  `	if foreign {`,
		New:  `	if foreign && false {`,
		Dies: unit("TestALeaderThatIsOvertakenByAnInstallationResignsBeforeItAnnounces"),
	},
	{
		ID:     "snapshot-of-the-first-who-has-trimmed",
		Breaks: "a snapshot is fetched only when nobody has the log any more",
		File:   "paxos/install.go", Func: "learner.onTrimmed",
		Old:  `	l.ask()`,
		New:  `	l.transfer()`,
		Dies: unit("TestASnapshotIsFetchedOnlyWhenNobodyHasTheLog"),
	},
	{
		ID:     "snapshot-asked-of-one-alone",
		Breaks: "the wish for a snapshot goes around among those who can fulfil it",
		File:   "paxos/install.go", Func: "learner.transfer",
		Old:  `		l.donorNext = l.donorNext%len(l.peers) + 1`,
		New:  `		l.donorNext = 1`,
		Dies: unit("TestTheWishForASnapshotIsRepeatedAndGoesAround"),
	},
	{
		ID:     "installation-without-intent",
		Breaks: "what an installation is about to do is durable before it does it",
		File:   "install.go", Func: "Node.switchTo",
		Old: `	if err := intentFile.write(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation, rc.slot); err != nil {
		return err
	}
`,
		New:  "",
		Dies: unit("TestACrashAnywhereInAnInstallationLeavesWhatCanBeGoneOnFrom"),
	},
	{
		ID:     "chunk-unverified",
		Breaks: "no byte of a snapshot can change unnoticed",
		File:   "snapshot/format.go", Func: "open",
		Old:  `	if [hashBytes]byte(b[len(body):]) != sum {`,
		New:  `	if false {`,
		Dies: unit("TestNoByteCanChangeUnnoticed"),
	},
	{
		ID:     "chunk-of-any-stream",
		Breaks: "a chunk's hash covers those before it",
		File:   "snapshot/format.go", Func: "chain",
		Old: `	h.Write(before[:])
`,
		New:  "",
		Dies: unit("TestChunksOfAnotherStreamOrPlaceAreRefused|TestTheFormatIsWhatItWas"),
	},
	{
		ID:     "snapshot-without-its-end",
		Breaks: "a snapshot is whole when its end has been seen, and not before",
		File:   "snapshot/reader.go", Func: "Reader.piece",
		Old: `	if r.err = r.advance(); r.err != nil {
		return r.err
	}
`,
		New: `	if err := r.advance(); err != nil {
		r.current = chunk{kind: kindEnd}
		return nil
	}
`,
		Dies: unit("TestAStreamWithoutItsEndIsNoSnapshot"),
	},
	{
		ID:     "chunk-out-of-place",
		Breaks: "sections come whole and in their order",
		File:   "snapshot/reader.go", Func: "Reader.piece",
		Old:  ` && (before.kind == kindHeader || c.section >= before.section):`,
		New:  ` && (before.kind == kindHeader || true):`,
		Dies: unit("TestAWellHashedStreamMustAlsoMakeSense"),
	},
	{
		ID:     "damaged-chunk-ends-the-transfer",
		Breaks: "a damaged chunk is asked for again",
		File:   "snapshot/reader.go", Func: "Reader.advance",
		Old:  `	for range r.tries {`,
		New:  `	for range 1 {`,
		Dies: unit("TestADamagedChunkIsAskedForAgain"),
	},
}
