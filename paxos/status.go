package paxos

// Status is what a Replica knows at one instant.
type Status struct {
	Leader    NodeID // whom this node follows, itself included; 0 while there is none
	Ballot    Ballot // the highest heard of: the leader's, if there is one
	Promised  Ballot
	Leads     bool // phase 1 of this node's ballot is done
	Recovered bool // it leads, and serves reads: whatever its predecessors can have had chosen is chosen
	Chosen    Slot
	Delivered Slot
	Appended  LSN
	Durable   LSN
	Queued    int // commands in the admission queue
	Peers     []PeerStatus
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
		Leader: r.election.leader(), Ballot: r.election.seen, Promised: r.acceptor.promised,
		Leads: r.proposer.phase == leading, Recovered: r.proposer.mayServeReads(),
		Chosen: r.learner.prefix, Delivered: r.learner.delivered, Appended: r.appended, Durable: r.gate.durable, Queued: r.admission.count,
	}
	for i, member := range r.config().Members {
		p := PeerStatus{Member: member, Alive: r.election.alive(i), Chosen: r.learner.peerPrefix(i)}
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

// Delivered returns the last slot given to the state machine, or restored as chosen.
func (r *Replica) Delivered() Slot { return r.learner.delivered }

// Queued returns how many commands wait in the admission queue.
func (r *Replica) Queued() int { return r.admission.count }
