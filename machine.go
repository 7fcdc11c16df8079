package synod

import "synod.dev/synod/paxos"

// StateMachine is the deterministic machine that a Node replicates. All its methods are called from one goroutine of the node, never two at a
// time; what its owner's readers see at the same time is the machine's own business.
//
// Apply must be a function of the machine's state and the commands alone: no clock, no randomness, no map order, nothing of this
// process. Every replica executes the same commands in the same order, and must come to the same state.
type StateMachine interface {
	// Apply executes commands in log order. It returns one result for each, in the same order; the result
	// of a command reaches the caller of Propose if that caller is in this process and still waits.
	// A command that the machine refuses is a result, too: errors that belong to the command are data.
	// There is no way to fail: a machine that cannot go on (its disk is full, its state is corrupt) panics, and the node stops for good and says why.
	// The commands of a slot come in one call; those of many slots may.
	// The Data of the commands must not be changed, and must not be kept after Apply returns.
	Apply(commands []Command) []any

	// Applied returns the last slot whose effects this machine held when it was opened. A machine that
	// lives in memory returns 0, and the node feeds it the whole log. A machine with a disk of its own
	// makes the effects of a slot durable in one atomic step with the slot's number, and so goes on where
	// it was; the node asks once, at Open.
	Applied() paxos.Slot
}

// Command is one command as a StateMachine sees it.
type Command struct {
	Slot   paxos.Slot // where it was chosen; several commands may share a slot
	Time   int64      // of the proposer's clock when it was proposed, nanoseconds since the Unix epoch; see below
	Source uint64     // who asked, for fairness among sources; 0 if the caller did not say
	Data   []byte     // as given to Propose
}

// The Time of a command is the same on every replica, but proposers' clocks differ and a later slot may show an earlier time. A machine that
// needs time keeps the largest it has seen in its state, where it is replicated, restored and snapshotted with all the rest: then it never goes back.

// SlotMarker is implemented by a StateMachine with a disk of its own that wants to know of slots that hold no command for it, no-ops,
// so that the slot it makes durable keeps up with the log. Advance(slot) says that everything up to slot has been applied.
type SlotMarker interface {
	Advance(slot paxos.Slot)
}
