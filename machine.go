package synod

import (
	"io"

	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

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

	session *session.Header // nil if it is of no session; the machine need not know
}

// The Time of a command is the same on every replica, but proposers' clocks differ and a later slot may show an earlier time. A machine that
// needs time keeps the largest it has seen in its state, where it is replicated, restored and snapshotted with all the rest: then it never goes back.

// SlotMarker is implemented by a StateMachine with a disk of its own that wants to know of slots that hold no command for it, no-ops,
// so that the slot it makes durable keeps up with the log. Advance(slot) says that everything up to slot has been applied.
type SlotMarker interface {
	Advance(slot paxos.Slot)
}

// Scrubber is implemented by a StateMachine with a disk of its own that can read it again, to find what has rotted there while nobody asked for it. pace is called before each read with its size, and may
// wait; its error ends the pass and is returned. Any other error ends the node: the machine's state is not what was written. It may be called from any goroutine.
type Scrubber interface {
	Scrub(pace func(bytes int) error) error
}

// Digester is a StateMachine that can tell its state from another. The members compare digests, and one whose state differs from that of the majority stops: a fault of its memory or disk, or code that does otherwise
// on it, has made it another machine than the rest.
type Digester interface {
	// Digest returns a digest of the state after the last command: the same on every member at the same slot, whatever restarts and snapshots each has behind it. ok is false if it is not known. It is called between
	// two calls of Apply, after some hundred slots each, and must be cheap: a digest that Apply keeps up to date, best one that goes on to differ once it has.
	Digest() (digest uint64, ok bool)
}

// A machine that offers neither of the following keeps its whole log: it is never trimmed, and a member that lost track can only be served from it. docs/snapshots.md has the whole picture.

// Snapshotter is a StateMachine in memory whose state can be kept in a file. The node writes a snapshot when the log has grown by Config.SnapshotBytes, trims the log, restores the
// snapshot at Open, and sends one to members that need it. Both methods are called between two calls of Apply, never while one runs.
type Snapshotter interface {
	StateMachine

	// Snapshot returns an image of the state as it is now. It must be quick, since nothing is applied meanwhile: what takes long belongs into the image's WriteTo.
	Snapshot() (Image, error)

	// Restore makes the state read from r the machine's, in the place of whatever it held. The bytes have been verified. An error ends the node.
	Restore(r io.Reader) error
}

// Durable is a StateMachine with a disk of its own. Its Applied must be what Open of its disk found.
type Durable interface {
	StateMachine

	// Durable returns the last slot whose effects would survive a crash now. Any goroutine may call it, at any time. An error ends the node.
	Durable() (paxos.Slot, error)

	// Flush has Durable rise to what has been applied, soon: the log is to be trimmed. It is called between two calls of Apply, and need not wait.
	Flush()

	// Snapshot is as in Snapshotter.
	Snapshot() (Image, error)

	// Receive writes a state, that after slot, read from r to the machine's disk, beside the one it has and beside calls of Apply, and makes it durable. Nothing of it may be seen. If r ends with
	// an error other than io.EOF the state is not whole: Receive removes what it has written and returns the error.
	Receive(slot paxos.Slot, r io.Reader) (Installation, error)
}

// Installation is a state that Receive has written. One of its methods is called, once.
type Installation interface {
	// Install makes it the machine's state, in one step, durably: after a crash the machine has either state, whole. It is called between two calls of Apply. An error ends the node.
	Install() error
	// Discard removes it. Any goroutine may call it.
	Discard() error
}

// Image is a machine's state at one instant. Apply goes on while it is written; its methods are called from one goroutine, Close last.
type Image interface {
	// WriteTo writes the state. It may stop for long, and must end, when w returns an error.
	io.WriterTo
	// Size returns about how many bytes WriteTo writes, for people who wait; 0 if that is not known.
	Size() int64
	Close() error
}
