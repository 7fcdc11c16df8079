// Package sequential is a replicated log of one replica that lives in memory: it applies each command at once, one after the
// other. It lets tests serve a state machine without a cluster.
package sequential

import (
	"context"
	"sync"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// Node keeps the contract of a *synod.Node that leads a cluster of one. Its methods may be called from any goroutine.
type Node struct {
	mu      sync.Mutex
	machine synod.StateMachine
	status  synod.Status
}

// New returns a Node with an ID, in a cluster, that replicates machine. It leads at a ballot of round 5.
func New(id paxos.NodeID, cluster uint64, machine synod.StateMachine) *Node {
	ballot := paxos.Ballot{Round: 5, Node: id, Boot: 1}
	return &Node{
		machine: machine,
		status:  synod.Status{ID: id, Cluster: cluster, Leader: id, Ballot: ballot, Promised: ballot},
	}
}

// ProposeFrom applies a command and returns its result.
func (n *Node) ProposeFrom(ctx context.Context, source uint64, command []byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // it did not happen
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Applied++
	n.status.Chosen = n.status.Applied
	results := n.machine.Apply([]synod.Command{{Slot: n.status.Applied, Time: time.Now().UnixNano(), Source: source, Data: command}})
	return results[0], nil
}

// Read returns at once: what was acknowledged has been applied.
func (n *Node) Read(context.Context) error { return nil }

// Leader returns the node itself, and its ballot.
func (n *Node) Leader() (paxos.NodeID, paxos.Ballot) { return n.status.ID, n.status.Ballot }

// MoveLeader refuses every member but the node itself.
func (n *Node) MoveLeader(_ context.Context, to paxos.NodeID) error {
	if to != n.status.ID {
		return synod.ErrBadSuccessor
	}
	return nil
}

// Status returns the node's status.
func (n *Node) Status() synod.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}
