// Package sequential is a replicated log of one replica that lives in memory: it applies each command at once, one after the
// other. It lets tests serve a state machine without a cluster.
package sequential

import (
	"context"
	"fmt"
	"sync"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// Node keeps the contract of a *synod.Node that leads a cluster of one. Its methods may be called from any goroutine.
type Node struct {
	mu       sync.Mutex
	machines map[byte]synod.StateMachine
	status   synod.Status
}

// New returns a Node with an ID, in a cluster, that hands each command to the machine its first byte names. It tells
// events that it leads.
func New(id paxos.NodeID, cluster uint64, machines map[byte]synod.StateMachine, events *synod.EventListener) *Node {
	ballot := paxos.Ballot{Round: 1, Node: id, Boot: 1}
	events.LeaderChanged(synod.LeaderChange{Leader: id, Ballot: ballot})
	return &Node{
		machines: machines,
		status:   synod.Status{ID: id, Cluster: cluster, Leader: id, Ballot: ballot, Promised: ballot},
	}
}

// ProposeFrom applies a command and returns its result.
func (n *Node) ProposeFrom(ctx context.Context, source uint64, command []byte) (any, error) {
	if ctx.Err() != nil {
		return nil, synod.ErrNoLeader // it did not happen
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	machine, ok := n.machines[command[0]]
	if !ok {
		return nil, fmt.Errorf("sequential: no machine has the number %d", command[0])
	}
	n.status.Applied++
	n.status.Chosen = n.status.Applied
	results := machine.Apply([]synod.Command{{Slot: n.status.Applied, Time: time.Now().UnixNano(), Source: source, Data: command[1:]}})
	return results[0], nil
}

// Read returns at once: what was acknowledged has been applied.
func (n *Node) Read(context.Context) error { return nil }

// Status returns the node's status.
func (n *Node) Status() synod.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}
