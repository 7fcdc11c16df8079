// Package sequential is a replicated log of one replica that lives in memory: it applies each command at once, one after the
// other. It lets tests serve a state machine without a cluster.
package sequential

import (
	"context"
	"fmt"
	"slices"
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
	members synod.Membership
}

// New returns a Node with an ID, in a cluster, that replicates machine. It leads at a ballot of round 5. The others are members in name only, but can all be reached.
func New(id paxos.NodeID, cluster uint64, machine synod.StateMachine, address string, others ...paxos.Member) *Node {
	ballot := paxos.Ballot{Round: 5, Node: id, Boot: 1}
	n := &Node{
		machine: machine,
		status:  synod.Status{ID: id, Cluster: cluster, Leader: id, Ballot: ballot, Promised: ballot},
	}
	n.adopt(0, append(others, paxos.Member{ID: id, Incarnation: 1, Roles: paxos.FullMember, Address: address}))
	return n
}

// adopt makes members the membership.
func (n *Node) adopt(epoch uint32, members []paxos.Member) error {
	config, err := paxos.NewConfiguration(epoch, members, 0, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", synod.ErrInvalidChange, err)
	}
	n.members = synod.Membership{InForce: config, Latest: config}
	n.status.Members = nil
	for _, m := range members {
		n.status.Members = append(n.status.Members, synod.MemberStatus{
			Member: synod.Member{ID: m.ID, Address: m.Address}, Self: m.ID == n.status.ID, Leader: m.ID == n.status.ID, Connected: m.Incarnation != 0,
		})
	}
	return nil
}

// Membership returns who the members are.
func (n *Node) Membership() synod.Membership {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members
}

// edit changes the members at once.
func (n *Node) edit(edit func(members []paxos.Member) ([]paxos.Member, error)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	members, err := edit(slices.Clone(n.members.Latest.Members))
	if err != nil {
		return err
	}
	return n.adopt(n.members.Latest.Epoch+1, members)
}

func (n *Node) editMember(id paxos.NodeID, edit func(m *paxos.Member) error) error {
	return n.edit(func(members []paxos.Member) ([]paxos.Member, error) {
		i := slices.IndexFunc(members, func(m paxos.Member) bool { return m.ID == id })
		if i < 0 {
			return nil, synod.ErrNoSuchMember
		}
		return members, edit(&members[i])
	})
}

// AddMember adds a member that has been invited and never comes.
func (n *Node) AddMember(_ context.Context, id paxos.NodeID, address string, roles paxos.Role) error {
	return n.edit(func(members []paxos.Member) ([]paxos.Member, error) {
		if slices.ContainsFunc(members, func(m paxos.Member) bool { return m.Address == address }) {
			return nil, synod.ErrAddressTaken
		}
		return append(members, paxos.Member{ID: id, Invited: roles, Address: address}), nil
	})
}

// RemoveMember removes a member.
func (n *Node) RemoveMember(_ context.Context, id paxos.NodeID) error {
	return n.edit(func(members []paxos.Member) ([]paxos.Member, error) {
		left := slices.DeleteFunc(members, func(m paxos.Member) bool { return m.ID == id })
		if len(left) == len(members) {
			return nil, synod.ErrNoSuchMember
		}
		return left, nil
	})
}

// UpdateMember changes a member's address.
func (n *Node) UpdateMember(_ context.Context, id paxos.NodeID, address string) error {
	return n.editMember(id, func(m *paxos.Member) error { m.Address = address; return nil })
}

// PromoteMember refuses those who vote, and those who have not come.
func (n *Node) PromoteMember(_ context.Context, id paxos.NodeID) error {
	return n.editMember(id, func(m *paxos.Member) error {
		if m.Roles&paxos.Acceptor != 0 {
			return synod.ErrNotLearner
		}
		return synod.ErrNotCaughtUp
	})
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
