package paxos

import "slices"

// Status is what a Replica knows at one instant.
type Status struct {
	Leader    NodeID     // whom this node follows, itself included; 0 while there is none
	Ballot    Ballot     // the highest heard of: the leader's, if there is one
	Why       Leaderless // this node follows nobody, if that is so
	Promised  Ballot
	Leads     bool // phase 1 of this node's ballot is done
	Recovered bool // it leads, and serves reads: whatever its predecessors can have had chosen is chosen
	Chosen    Slot
	Delivered Slot
	Appended  LSN
	Durable   LSN
	Queued    int          // commands in the admission queue
	Epoch     uint32       // of the configuration in force
	Latest    uint32       // epoch of the latest: above Epoch while a change waits to come into force
	Released  Slot         // enough learners hold everything up to here for a witness to forget it
	TrimLimit Slot         // nothing above may be trimmed, whatever this member holds itself
	Removed   bool         // this node was a member and is none any more
	Peers     []PeerStatus // the members of the configuration in force
}

// PeerStatus is one member, this node included, as this node sees it.
type PeerStatus struct {
	Member
	Alive  bool // heard within the suspicion time
	Chosen Slot // its chosen prefix as last heard
}

// Status returns what the replica knows now. It may be called between steps only.
func (r *Replica) Status() Status {
	s := Status{
		Leader: r.election.leader(), Ballot: r.election.seen, Why: r.election.leaderless(), Promised: r.acceptor.promised,
		Leads: r.proposer.phase == leading, Recovered: r.proposer.mayServeReads(),
		Chosen: r.learner.prefix, Delivered: r.learner.delivered, Appended: r.appended, Durable: r.gate.durable, Queued: r.admission.count,
		Epoch: r.config().Epoch, Latest: r.membership.latest().Epoch, Removed: r.view.removed,
		TrimLimit: r.retention.limit(), Released: r.retention.released,
	}
	for _, member := range r.config().Members {
		p := PeerStatus{Member: member, Alive: r.election.connected(member.ID), Chosen: r.learner.peerPrefix(member.ID)}
		if member.ID == r.cfg.Self {
			p.Alive, p.Chosen = true, r.learner.prefix
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}

// Leader returns whom this node follows and at which ballot, without the cost of Status; 0 while there is none.
func (r *Replica) Leader() (NodeID, Ballot) { return r.election.leader(), r.election.seen }

// KnowsWay reports whether a command would be given to somebody who may lead, now.
func (r *Replica) KnowsWay() bool { return r.proposer.phase != resting || r.election.route() != 0 }

// Membership returns the configuration in force, the latest, which is the same one but while a change waits to come into force, and whether this node was a member and is none any more. It is cheap.
func (r *Replica) Membership() (inForce, latest *Configuration, removed bool) {
	return r.config(), r.membership.latest(), r.view.removed
}

// Configurations returns what is known of the membership: the latest configuration and the one it has replaced, or the founders'. It belongs to any state of the machine up to the chosen prefix, and must be
// kept and sent beside it.
func (r *Replica) Configurations() []*Configuration { return slices.Clone(r.membership.known) }

// Delivered returns the last slot given to the state machine, or restored as chosen.
func (r *Replica) Delivered() Slot { return r.learner.delivered }

// Queued returns how many commands wait in the admission queue.
func (r *Replica) Queued() int { return r.admission.count }
