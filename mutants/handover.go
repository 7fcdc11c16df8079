package mutants

// handoverMutants are of who is needed no longer, who is refused, and whose numbers and slots are whose.
var handoverMutants = []Mutant{
	{
		ID:     "handed-over-before-others-hold-it",
		Breaks: "removed members are needed until enough learners of the latest configuration hold what was chosen before",
		File:   "paxos/reconfigure.go", Func: "Replica.HandedOver",
		Old:  `min(r.learner.delivered, r.retention.heldBy(latest)) >= latest.First-1`,
		New:  `r.learner.delivered >= latest.First-1`,
		Dies: unit("TestRemovedMembersAreNeededUntilEnoughLearnersHoldWhatWasChosenBefore"),
	},
	{
		ID:     "handed-over-before-delivered-here",
		Breaks: "nothing is handed over to one who has not delivered it",
		File:   "paxos/reconfigure.go", Func: "Replica.HandedOver",
		Old:  `min(r.learner.delivered, r.retention.heldBy(latest)) >= latest.First-1`,
		New:  `r.retention.heldBy(latest) >= latest.First-1`,
		Dies: unit("TestNothingIsHandedOverToOneWhoHasNotDeliveredIt"),
	},
	{
		ID:     "late-refusal-believed",
		Breaks: "a refusal by one who knows less than this node does by now ends nobody",
		File:   "contacts.go", Func: "contacts.isLate",
		Old:  `err == nil && len(known) > 0 && uint32(n) < latestOf(known).Epoch`,
		New:  `err == nil && len(known) > 0 && uint32(n) < latestOf(known).Epoch && false`,
		Dies: unit("TestARefusalOfAnEarlierEpochIsLate"),
	},
	{
		ID:     "refusal-of-the-same-epoch-late",
		Breaks: "a refusal by one who knows as much as this node does ends it",
		File:   "contacts.go", Func: "contacts.isLate",
		Old:  `uint32(n) < latestOf(known).Epoch`,
		New:  `uint32(n) <= latestOf(known).Epoch`,
		Dies: unit("TestARefusalOfAnEarlierEpochIsLate"),
	},
	{
		ID:     "waiting-commands-numbered-as-on-the-disk-before",
		Breaks: "commands that wait while a fresh disk joins have numbers that the disk before never gave out",
		File:   "eventloop.go", Func: "newEventLoop",
		Old:  `n.vital.Founders == nil || slices.Equal`,
		New:  `slices.Equal`,
		Dies: unit("TestCommandsThatWaitOnAFreshDiskHaveNumbersThatTheDiskBeforeNeverGaveOut"),
	},
	{
		ID:     "log-not-trimmed-by-an-installation",
		Breaks: "the log is trimmed to the slot of a snapshot before the core is told that it is installed",
		File:   "install.go", Func: "Node.switchTo",
		Old: `	if err := n.disk.trim(rc.slot); err != nil {
		return err
	}
`,
		New:  "",
		Dies: unit("TestAnInstallationTrimsTheLogToItsSlot"),
	},
}
