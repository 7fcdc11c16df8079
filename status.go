package synod

import (
	"slices"
	"strconv"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// Status is what a node knows of itself and its cluster at one instant.
type Status struct {
	ID          paxos.NodeID
	Cluster     uint64
	Incarnation paxos.Incarnation
	Leader      paxos.NodeID // 0 while there is none
	Ballot      paxos.Ballot // of the leader this node follows
	Promised    paxos.Ballot
	Chosen      paxos.Slot // everything up to here is chosen, as far as this node knows
	Applied     paxos.Slot // everything up to here has been applied here; 0 if there is no machine
	Trimmed     paxos.Slot // everything up to here is no longer in this node's log
	Released    paxos.Slot // enough learners hold everything up to here for a witness to forget it
	Transfer    *Transfer  // the snapshot that is being fetched; nil if there is none
	Durable     paxos.LSN  // the last record of this node's own log that is on disk
	Pending     int        // commands of this node's callers that wait for an outcome
	Sync        Latency    // of the log's group commits, lately
	Members     []MemberStatus
}

// MemberStatus is one member as this node sees it.
type MemberStatus struct {
	Member
	Self      bool
	Leader    bool
	Proposer  bool
	Acceptor  bool
	Learner   bool
	Connected bool       // heard within the last half election timeout; before the cluster is founded, or this node has been open for so long, connected
	Chosen    paxos.Slot // its chosen prefix as of its last heartbeat
	Lag       paxos.Slot // how far that is behind ours

	BytesSent, BytesReceived uint64 // to and from it, since this node was opened
}

// Latency summarises durations.
type Latency struct {
	Count         uint64
	P50, P99, Max time.Duration
}

// Transfer is how far a snapshot has come that this node is fetching.
type Transfer struct {
	From  paxos.NodeID
	Slot  paxos.Slot
	Bytes int64 // received
	Total int64 // about; 0 if the sender does not know
}

// countTraffic fills in what has passed between this node and the others, and, before there was time to hear anybody, who is connected.
func (n *Node) countTraffic(members []MemberStatus) {
	if n.transport == nil {
		return
	}
	early := n.view.Load() == nil || time.Since(n.opened) < n.cfg.ElectionTimeout/2 // before it is founded nobody says anything
	for _, peer := range n.transport.Stats() {
		i := slices.IndexFunc(members, func(m MemberStatus) bool { return uint64(m.ID) == peer.Node })
		if i < 0 {
			continue // on its way in or out
		}
		if early && peer.Classes[transport.Control].Connected {
			members[i].Connected = true
		}
		for _, class := range peer.Classes {
			members[i].BytesSent += class.BytesSent
			members[i].BytesReceived += class.BytesReceived
		}
	}
}

// hexID renders a member's ID as operators know it.
func hexID(id paxos.NodeID) string { return strconv.FormatUint(uint64(id), 16) }
