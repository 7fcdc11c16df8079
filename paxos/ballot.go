package paxos

import "fmt"

// NodeID names a member of the cluster. Zero means none.
type NodeID uint64

// Incarnation names one life of a member's disk: it is drawn when the data directory is formatted and
// never changes after. A member whose disk was wiped comes back with another incarnation, and an
// acceptor is always counted as (node, incarnation): the new disk has forgotten the old one's promises.
type Incarnation uint64

// Slot is the position of a value in the replicated log: one instance of Paxos each. The first is 1; zero means none.
type Slot uint64

// LSN is the position of a record in one member's own stable log. The first is 1; zero means none.
type LSN uint64

// Ballot is a proposal number ("Paxos Made Simple" §2.2). Ballots are totally ordered, by round, then
// node, then boot, and no two proposals ever share one: a node never reuses a (round, boot) pair, because
// its boot counter is made durable, one higher, at each start before it proposes anything.
// The zero Ballot is below every ballot that a proposer uses.
type Ballot struct {
	Round uint64
	Node  NodeID
	Boot  uint32
}

// Compare returns -1, 0 or +1 as b is below, equal to or above c.
func (b Ballot) Compare(c Ballot) int {
	switch {
	case b.Round != c.Round:
		return order(b.Round < c.Round)
	case b.Node != c.Node:
		return order(b.Node < c.Node)
	case b.Boot != c.Boot:
		return order(b.Boot < c.Boot)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return +1
}

// Less reports whether b is below c.
func (b Ballot) Less(c Ballot) bool { return b.Compare(c) < 0 }

// IsZero reports whether b is no ballot at all.
func (b Ballot) IsZero() bool { return b == Ballot{} }

// String renders b as round.node.boot, the node in hexadecimal as operators know it, or "-" for the zero ballot.
func (b Ballot) String() string {
	if b.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%d.%x.%d", b.Round, uint64(b.Node), b.Boot)
}

func maxBallot(b, c Ballot) Ballot {
	if b.Less(c) {
		return c
	}
	return b
}
