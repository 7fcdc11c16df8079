package synod

import (
	"crypto/tls"
	"log/slog"
	"time"

	"synod.dev/synod/paxos"
)

// Member is one member of the cluster as its founders list it.
type Member struct {
	ID      paxos.NodeID
	Name    string // for people; may be empty
	Address string // host:port where the member's peers reach it
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
	// Dir is the data directory of the log, on a real disk. It is created if it is missing and locked while the node runs.
	Dir string
	// Machine is the state machine that the node replicates.
	Machine StateMachine

	// Listen is the address to listen on for peers, if not the Address of this node's own Member.
	Listen string
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

	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// Events, if not nil, receives typed events. Its methods are called from the node's own goroutines and must return at once.
	Events *EventListener
}

// EventListener is a set of functions that a node calls when something happens. Nil functions are not called.
type EventListener struct {
	LeaderChanged func(LeaderChange)
	PeerUp        func(Peer)
	PeerDown      func(Peer)
	Synced        func(SyncDone)
	Failed        func(error)
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
