package sim

import (
	"math/bits"

	"synod.dev/synod/paxos"
)

// probe is a rare situation that a run of many seeds must come by: what is never reached is not tested ("sometimes assertions").
type probe uint8

const (
	recoveredMinorityVote probe = iota
	recoveredChosenValue
	filledWithNoop
	abandonedUnvoted
	abandonedVoted
	splitVote
	threeBallots
	chosenTwice
	refusedOldAccept
	refusedOldPrepare
	refusedProbe
	acceptOfChosenSlot
	acceptAfterRestart
	promiseInChunks
	promiseContinued
	promiseWithUnknown
	promiseWithChosen
	unknownRepaired
	mergedVotes
	batchOfSeveral
	windowFull
	commitAlone
	loggedAsChosen
	learnedFromLog
	learnedInSteps
	forwardRelayed
	forwardToEarlierBoot
	rejectedNoLeader
	rejectedOverloaded
	commandAdopted
	appliedUnknown
	readAtFollower
	readRelayed
	readRoundRepeated
	resignedOnStall
	resignedUnheard
	leaderDeposed
	tailCut
	tailKept
	tailTorn
	damageReported
	refusedToStart
	wipedRefused
	strangerIgnored
	failedStop
	crashInRecovery
	crashWhileWriting
	crashHalfSent
	logTrimmed
	snapshotInstalled
	installationEnded
	earlierBootReplayed
	frameRejected
	suffixLost
	membershipChanged
	membersDisjoint
	memberReplaced
	memberReturns
	memberRemoved
	changeSuperseded
	changeAbandoned
	changeAdopted
	changesMissed
	snapshotTellsMembers
	handedOver
	twoConfigurations
	membersAlone
	memberRetired
	witnessDecided
	witnessServed
	witnessTrimmed
	skippedAhead
	readAtReplica
	gatewayTold
	sessionExpired
	retryAnswered
	retryRefused
	tableCarried
	probes
)

var probeNames = [probes]string{
	recoveredMinorityVote: "a new leader proposes a value that a minority had voted for",
	recoveredChosenValue:  "a new leader proposes again what is chosen already",
	filledWithNoop:        "a hole is filled with a no-op",
	abandonedUnvoted:      "another value takes the slot of a proposal that nobody voted for",
	abandonedVoted:        "another value takes the slot of a proposal that a minority had voted for",
	splitVote:             "one slot has votes for two values",
	threeBallots:          "one slot has proposals of three ballots",
	chosenTwice:           "one slot is chosen at two ballots",
	refusedOldAccept:      "an Accept of an old ballot is refused",
	refusedOldPrepare:     "a Prepare of an old ballot is refused",
	refusedProbe:          "a read round is refused by a promise to a higher ballot",
	acceptOfChosenSlot:    "an Accept arrives in a slot known to be chosen",
	acceptAfterRestart:    "an Accept is answered with a vote that was cast before a restart",
	promiseInChunks:       "a promise does not fit one message",
	promiseContinued:      "a candidate asks for the next part of a promise",
	promiseWithUnknown:    "a promise reports a lost vote",
	promiseWithChosen:     "a promise reports a slot known to be chosen",
	unknownRepaired:       "a lost record is replaced by a new one",
	mergedVotes:           "votes for several slots leave as one message",
	batchOfSeveral:        "a slot has several commands",
	windowFull:            "a proposal is at the far end of the window",
	commitAlone:           "a chosen prefix has no Accept to ride on",
	loggedAsChosen:        "a value is logged as learned, without a vote",
	learnedFromLog:        "a lagging member is served from a peer's log",
	learnedInSteps:        "a lagging member asks for more",
	forwardRelayed:        "a command reaches the leader through another member",
	forwardToEarlierBoot:  "a command arrives that was meant for an earlier boot",
	rejectedNoLeader:      "a command is given back for want of a leader",
	rejectedOverloaded:    "a command is given back for want of room",
	commandAdopted:        "a command is chosen under another leader than it was given to",
	appliedUnknown:        "a command is applied whose proposer has crashed or given up",
	readAtFollower:        "a follower serves a read",
	readRelayed:           "a read request reaches the leader through another member",
	readRoundRepeated:     "a read round is repeated",
	resignedOnStall:       "a leader whose disk stalls resigns",
	resignedUnheard:       "a leader resigns of itself",
	leaderDeposed:         "a leader learns of a higher ballot",
	tailCut:               "a write that was under way is gone after a crash",
	tailKept:              "a write that was under way is there after a crash",
	tailTorn:              "a write that was under way is torn",
	damageReported:        "recovery reports damaged slots",
	refusedToStart:        "a member with too much damage refuses to start",
	wipedRefused:          "a wiped member is refused its old place",
	strangerIgnored:       "a message of another incarnation is ignored",
	failedStop:            "a disk error ends a member",
	crashInRecovery:       "the power fails during recovery",
	crashWhileWriting:     "the power fails while a write is under way",
	crashHalfSent:         "the power fails when part of the messages is sent",
	logTrimmed:            "a log is trimmed",
	snapshotInstalled:     "a member gets a snapshot of what nobody has in the log",
	installationEnded:     "a restart ends the installation of a snapshot",
	earlierBootReplayed:   "a message arrives that an earlier boot has sent",
	frameRejected:         "a damaged frame is rejected",
	suffixLost:            "a broken connection loses what was on its way",
	membershipChanged:     "the membership changes",
	membersDisjoint:       "a configuration has no member of the one before",
	memberReplaced:        "a member is replaced by its node with a new disk",
	memberReturns:         "a removed member becomes one again",
	memberRemoved:         "a member learns that it is none any more",
	changeSuperseded:      "a change is refused, or changes nothing, since another came first",
	changeAbandoned:       "another value takes the slot of a change that was voted for",
	changeAdopted:         "a new leader proposes again a change that it has found",
	changesMissed:         "a member learns of two changes at once",
	snapshotTellsMembers:  "a snapshot brings a change of membership",
	handedOver:            "a leader that is no member any more hands over",
	twoConfigurations:     "slots of two configurations are under way at once",
	membersAlone:          "the latest members go on without all others",
	memberRetired:         "a removed member ends when the others hold what it has",
	witnessDecided:        "a witness's vote decides a slot",
	witnessServed:         "a witness serves a member that learns",
	witnessTrimmed:        "a member without a machine trims what is released",
	skippedAhead:          "a member without a machine skips what nobody has in the log",
	readAtReplica:         "a read replica serves a read",
	sessionExpired:        "a session has expired when it is used",
	retryAnswered:         "a command of a session comes again, and gets its first result",
	retryRefused:          "a command is tried again in a session that has ended",
	tableCarried:          "a snapshot carries a table of sessions",
	gatewayTold:           "a member without a machine is told that its command is chosen",
}

func (p probe) String() string { return probeNames[p] }

// reach notes that a situation has come up.
func (w *world) reach(p probe) { w.probes[p]++ }

// probeProposal looks at a proposal that is new, beside the older ones of its slot.
func (h *history) probeProposal(s *slotHistory, rec *paxos.Record) {
	noop := rec.Value.IsNoop()
	if noop {
		h.w.reach(filledWithNoop)
	}
	if len(s.ballots) >= 2 {
		h.w.reach(threeBallots)
	}
	if first := h.w.membership.latest().First; rec.Chosen+1 < first && rec.Slot >= first {
		h.w.reach(twoConfigurations)
	}
	for i := range s.ballots {
		b := &s.ballots[i]
		same := string(b.value) == string(rec.Value)
		if paxos.Value(b.value).IsChange() && b.votes != 0 {
			h.w.reach(map[bool]probe{true: changeAdopted, false: changeAbandoned}[same])
		}
		switch votes := bits.OnesCount64(b.votes); {
		case same && !noop && votes > 0 && votes < h.phase2:
			h.w.reach(recoveredMinorityVote)
		case same && h.isChosen(b):
			h.w.reach(recoveredChosenValue)
		case !same && votes == 0:
			h.w.reach(abandonedUnvoted)
		case !same:
			h.w.reach(abandonedVoted)
		}
	}
	if rec.Slot == rec.Chosen+paxos.Slot(h.w.cfg.Window) {
		h.w.reach(windowFull)
	}
}

// probeVote looks at a slot that has got a vote.
func (h *history) probeVote(m *member, s *slotHistory, b *ballotHistory) {
	for i := range s.ballots {
		other := &s.ballots[i]
		switch {
		case other == b:
		case other.votes != 0 && other.value != b.value:
			h.w.reach(splitVote)
		case h.isChosen(other) && bits.OnesCount64(b.votes) == h.phase2:
			h.w.reach(chosenTwice)
		}
	}
	if h.w.cfg.Spares == 0 && bits.OnesCount64(b.votes) == h.phase2 && h.w.config.Members[m.index].Roles.IsWitness() {
		h.w.reach(witnessDecided)
	}
}

// probeSent looks at a message that a member sends, and at the event that it answers.
func (w *world) probeSent(by *member, out paxos.Outgoing) {
	ev, m := by.event, out.Message
	switch m.Kind {
	case paxos.Prepare:
		if ev.Kind == paxos.Received && ev.Message.Kind == paxos.Promise {
			w.reach(promiseContinued)
		}
	case paxos.Promise:
		w.probePromise(m)
	case paxos.Nack:
		w.probeNack(ev)
	case paxos.Accepted:
		if m.Upto > m.Slot {
			w.reach(mergedVotes)
		}
		if ev.Kind == paxos.Received && by.ledger.ofEarlierBoot(m.Slot) {
			w.reach(acceptAfterRestart)
		}
	case paxos.Commit:
		w.reach(commitAlone)
	case paxos.TakeOver:
		w.reach(handedOver)
	case paxos.Forward:
		if m.Hops > 0 {
			w.reach(forwardRelayed)
		}
	case paxos.ReadRequest:
		if m.Hops > 0 {
			w.reach(readRelayed)
		}
	case paxos.ReadProbe:
		if by.probing != 0 && by.probing < m.Number {
			w.reach(readRoundRepeated)
		}
		by.probing = m.Number
	case paxos.ReadReply:
		by.probing = 0
	case paxos.Learn:
		if ev.Kind == paxos.Received && ev.Message.Kind == paxos.Learned {
			w.reach(learnedInSteps)
		}
	case paxos.Learned:
		if by.bare && len(m.Records) > 0 && !w.members[out.To-1].bare {
			w.reach(witnessServed)
		}
		if ev.Kind == paxos.Received && ev.Message.Kind == paxos.Accept {
			w.reach(acceptOfChosenSlot)
		}
	}
}

func (w *world) probePromise(m *paxos.Message) {
	if !m.Flag {
		w.reach(promiseInChunks)
	}
	for _, rep := range m.Reports {
		switch rep.State {
		case paxos.ReportUnknown:
			w.reach(promiseWithUnknown)
		case paxos.ReportChosen:
			w.reach(promiseWithChosen)
		}
	}
}

func (w *world) probeNack(ev *paxos.Event) {
	if ev.Kind != paxos.Received {
		return
	}
	switch ev.Message.Kind {
	case paxos.Accept:
		w.reach(refusedOldAccept)
	case paxos.Prepare:
		w.reach(refusedOldPrepare)
	case paxos.ReadProbe:
		w.reach(refusedProbe)
	}
}
