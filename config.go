package synod

import (
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"slices"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Member is one member of the cluster as its founders list it.
type Member struct {
	ID      paxos.NodeID
	Name    string     // for people; may be empty
	Address string     // host:port where the member's peers reach it, or unix: and a path
	Roles   paxos.Role // what it does; 0 stands for paxos.FullMember
}

// Config says what a Node is to be. The zero value of every field but ID, Members, Dir and Machine is a sane default.
type Config struct {
	// ID is this node's own; it must be among Members.
	ID paxos.NodeID
	// Cluster keeps apart clusters that could otherwise meet on one network. 0 derives it from the members' IDs.
	Cluster uint64
	// Members are the founders, the same list on each of them. A new cluster forms once all of them have met;
	// after that any majority goes on.
	Members []Member
	// Phase1 and Phase2 are how many acceptors make a quorum to become leader and to choose a value, the same on each founder; both 0 stand for majorities.
	// Their sum must be above the number of acceptors.
	Phase1, Phase2 int
	// Join says that this node has been invited into a cluster that exists (Node.AddMember): Members are some who are members, to begin with, and itself. Cluster must be given. A node that has joined, or has
	// been replaced, goes by what it knows, whatever Members says.
	Join bool
	// ReplaceWiped has the leader invite a member anew, as Node.ReplaceMember does, that comes with an empty disk and cannot be heard on the old one; and has that member wait for it instead of stopping.
	// The same on all members.
	ReplaceWiped bool
	// Dir is the data directory of the log, on a real disk. It is created if it is missing and locked while the node runs.
	Dir string
	// Machine is the state machine that the node replicates; nil on a member that does not learn.
	Machine StateMachine
	// Sessions has the node keep a table of sessions beside the machine, so that commands can be executed exactly once; see OpenSession. All members have it set or none has, from the cluster's first command on.
	// The machine's result of a session's command must be nil, a []byte, a string or an encoding.BinaryMarshaler.
	Sessions bool

	// Listen is the address to listen on for peers, if not the Address of this node's own Member.
	Listen string
	// Listener, if not nil, is the socket to listen on for peers, bound already. The node closes it.
	Listener net.Listener
	// TLS, if not nil, is used for both directions between members; it must demand and verify the peer's certificate.
	TLS *tls.Config

	// Heartbeat is how often members ask each other who leads. Default 100 ms; at least 5 ms.
	Heartbeat time.Duration
	// ElectionTimeout is the time within which a new leader is at work after one has died, on a network and disks
	// that answer in a small part of it: a leader not heard of for half of it is suspected. Default 1 s; at least 5 heartbeats.
	ElectionTimeout time.Duration

	// MaxCommandBytes bounds one command. Default 2 MiB.
	MaxCommandBytes int
	// MaxPendingBytes and MaxPending bound what waits in this node for an outcome, and what the leader queues.
	// Defaults 64 MiB and 65,536 commands. Beyond them Propose returns ErrOverloaded.
	MaxPendingBytes int
	MaxPending      int

	// SegmentBytes is the size of one segment of the log. Default 64 MiB.
	SegmentBytes int64

	// LogBytes is how much of the log is kept, beyond what the state machine still needs, for members that lag. Default 512 MiB; at least two segments.
	LogBytes int64
	// SnapshotBytes is after how much log a machine in memory is snapshotted, and so about how much is read at a restart, unless the snapshot itself is
	// larger. Default 64 MiB.
	SnapshotBytes int64
	// SnapshotRate bounds the bytes a second of snapshots sent to other members, all together. Default 64 MiB.
	SnapshotRate int64
	// ScrubRate bounds the bytes a second that are read again in the background to find what has rotted on the disk. Default 2 MiB; negative for no such reading.
	ScrubRate int64

	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// Events, if not nil, receives typed events. Its methods are called from the node's own goroutines and must return at once.
	Events *EventListener

	fs        disk.FS       // the tests' own; default disk.OS()
	scrubRest time.Duration // the tests' own; default scrubRestMin
}

func (c Config) withDefaults() (Config, error) {
	c.Members = slices.Clone(c.Members)
	slices.SortFunc(c.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	self := slices.IndexFunc(c.Members, func(m Member) bool { return m.ID == c.ID })
	for i, m := range c.Members {
		setDefault(&c.Members[i].Roles, paxos.FullMember)
		if m.ID == 0 {
			return c, errors.New("synod: a member needs an ID other than 0")
		}
		if i > 0 && c.Members[i-1].ID == m.ID {
			return c, fmt.Errorf("synod: two members have the ID %x", uint64(m.ID))
		}
		if m.Address == "" && len(c.Members) > 1 {
			return c, fmt.Errorf("synod: member %x has no address", uint64(m.ID))
		}
	}
	switch {
	case self < 0:
		return c, fmt.Errorf("synod: this node's ID, %x, is not among the members", uint64(c.ID))
	case c.Join && c.Cluster == 0:
		return c, errors.New("synod: Config.Join needs Config.Cluster: name the cluster that is to be joined")
	case c.Dir == "":
		return c, errors.New("synod: Config.Dir is empty: name a directory on a real disk")
	case c.Machine == nil && c.learns():
		return c, errors.New("synod: Config.Machine is nil, and this member is to learn: there is nothing to replicate")
	case c.Machine != nil && !c.learns():
		return c, fmt.Errorf("synod: Config.Machine is given, and this member is no learner but %v: leave it out", c.Members[self].Roles)
	}
	if err := c.checkRoles(); err != nil && !c.Join {
		return c, err
	}
	if several, ok := c.Machine.(*Machines); ok && c.Sessions && several.index[sessionsSection] != 0 {
		return c, fmt.Errorf("synod: machine %d cannot be beside sessions, whose table has that number: choose another", sessionsSection)
	}
	setDefault(&c.Heartbeat, 100*time.Millisecond)
	setDefault(&c.ElectionTimeout, max(time.Second, 10*c.Heartbeat))
	setDefault(&c.MaxCommandBytes, 2<<20)
	setDefault(&c.MaxPendingBytes, 64<<20)
	setDefault(&c.MaxPending, 65536)
	setDefault(&c.SegmentBytes, 64<<20)
	setDefault(&c.LogBytes, max(512<<20, 2*c.SegmentBytes))
	setDefault(&c.SnapshotBytes, 64<<20)
	setDefault(&c.SnapshotRate, 64<<20)
	setDefault(&c.ScrubRate, 2<<20)
	setDefault(&c.scrubRest, scrubRestMin)
	setDefault(&c.Listen, c.Members[self].Address)
	setDefault(&c.Cluster, clusterOf(c.Members))
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.fs == nil {
		c.fs = disk.OS()
	}
	if c.Heartbeat < 5*time.Millisecond {
		return c, fmt.Errorf("synod: a heartbeat of %v is too short: at least 5ms", c.Heartbeat)
	}
	if c.ElectionTimeout < 5*c.Heartbeat {
		return c, fmt.Errorf("synod: an election timeout of %v is too short for a heartbeat of %v: at least 5 times that", c.ElectionTimeout, c.Heartbeat)
	}
	if c.MaxCommandBytes > paxos.MaxValueBytes/2 {
		return c, fmt.Errorf("synod: commands of %d bytes do not fit: at most %d", c.MaxCommandBytes, paxos.MaxValueBytes/2)
	}
	if c.LogBytes < 2*c.SegmentBytes {
		return c, fmt.Errorf("synod: a log of %d bytes cannot be trimmed in segments of %d: at least two must fit", c.LogBytes, c.SegmentBytes)
	}
	if c.SnapshotBytes < 1 || c.SnapshotRate < 1 {
		return c, fmt.Errorf("synod: snapshots every %d bytes, sent at %d bytes a second: both must be above 0", c.SnapshotBytes, c.SnapshotRate)
	}
	return c, nil
}

// learns reports whether this node is to feed a state machine.
func (c *Config) learns() bool {
	i := slices.IndexFunc(c.Members, func(m Member) bool { return m.ID == c.ID })
	return c.Members[i].Roles&paxos.Learner != 0
}

// checkRoles refuses members of whom no cluster can be founded, and quorums that do not always meet.
func (c *Config) checkRoles() error {
	founders := founders{c.Members, c.Phase1, c.Phase2}
	strangers := make([]paxos.Incarnation, len(c.Members))
	for i := range strangers {
		strangers[i] = 1 // any will do
	}
	config, err := founders.configuration(strangers)
	if err == nil {
		err = config.CheckRoles()
	}
	if err != nil {
		return fmt.Errorf("synod: %w", err)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// clusterOf derives a cluster's identity from its founders' IDs.
func clusterOf(members []Member) uint64 {
	h := fnv.New64a()
	for _, m := range members {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(m.ID)))
	}
	return h.Sum64()
}

// EventListener is a set of functions that a node calls when something happens. Nil functions are not called.
type EventListener struct {
	LeaderChanged func(LeaderChange)
	PeerUp        func(Peer)
	PeerDown      func(Peer)
	Synced        func(SyncDone)
	Applied       func(ApplyDone)
	Trimmed       func(paxos.Slot) // the log, up to and including this slot
	Snapshotted   func(Snapshotted)
	Installed     func(Installed)
	Diverged      func(Divergence)
	Failed        func(error)
	Scrubbed      func(Scrubbed)
	Damaged       func(Damaged) // each time something is found that has rotted
	Mended        func(Damaged) // each time that has been made good, but for snapshots: another one is then Snapshotted

	// MembershipChanged is called when a change of membership is chosen, when it comes into force, and when this node learns that it has been removed.
	MembershipChanged func(Membership)
}

// Scrubbed is one pass over everything that is on this member's disk.
type Scrubbed struct {
	Bytes    int64
	Duration time.Duration
}

// Damaged is something on this member's disk that is not what was written.
type Damaged struct {
	What string     // "record", "batch", "vital", "snapshot" or "machine"
	Slot paxos.Slot // of a record
}

// LeaderChange says whom this node follows from now on.
type LeaderChange struct {
	Leader paxos.NodeID // 0 while there is none
	Ballot paxos.Ballot
}

// Peer is another member, as seen on the network.
type Peer struct {
	ID      paxos.NodeID
	Address string
	Reason  string // why the connection ended
}

// SyncDone is one group commit of the log.
type SyncDone struct {
	Records  int
	Bytes    int
	Duration time.Duration // of write and sync together
}

// ApplyDone is one call of the machine's Apply.
type ApplyDone struct {
	Slot     paxos.Slot // of the last command
	Commands int
	Bytes    int // of the commands
	Duration time.Duration
}

// Snapshotted is one snapshot of the machines in memory, written to this member's disk.
type Snapshotted struct {
	Slot     paxos.Slot
	Bytes    int64
	Duration time.Duration
}

// Installed is one snapshot of another member, fetched and installed here.
type Installed struct {
	From     paxos.NodeID
	Slot     paxos.Slot
	Bytes    int64
	Kept     int64         // of Bytes, what an earlier attempt had brought
	Duration time.Duration // of transfer and installation together
}
