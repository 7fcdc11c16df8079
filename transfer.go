package synod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

var (
	// ErrNotLeader means this node does not lead, and so has nothing to hand over.
	ErrNotLeader = errors.New("synod: this node does not lead")

	// ErrBadSuccessor means the member that should lead is none, has no vote in the matter, cannot be heard, or is too far behind.
	ErrBadSuccessor = errors.New("synod: the member cannot lead")
)

// MoveLeader hands leadership to another member, and returns once this node follows it. What is under way goes on: commands wait a few round trips longer. The errors are
// ErrNotLeader, ErrBadSuccessor, ErrClosed, ErrFailed, and the context's: then leadership may yet move.
func (n *Node) MoveLeader(ctx context.Context, to paxos.NodeID) error {
	if leader, _ := n.Leader(); leader != n.cfg.ID {
		return ErrNotLeader
	}
	ticker := time.NewTicker(n.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		switch leader, _ := n.Leader(); leader {
		case to:
			return nil
		case n.cfg.ID:
			if err := n.judgeSuccessor(to); err != nil {
				return err
			}
			n.logger.Info("handing leadership over", "peer", hexID(to))
			n.transport.Send(uint64(to), transport.Control, []byte{frameCampaign}) // said again until it is heard: the network may lose it
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("synod: leadership has not moved yet: %w", ctx.Err())
		case <-n.done:
			return n.ended()
		}
	}
}

// judgeSuccessor refuses a member that could not lead at once.
func (n *Node) judgeSuccessor(to paxos.NodeID) error {
	status := n.Status()
	i := slices.IndexFunc(status.Members, func(m MemberStatus) bool { return m.ID == to })
	switch {
	case i < 0:
		return fmt.Errorf("%w: %x is not a member", ErrBadSuccessor, uint64(to))
	case to == n.cfg.ID:
		return nil
	case !status.Members[i].Proposer || !status.Members[i].Learner:
		return fmt.Errorf("%w: %x is not both proposer and learner", ErrBadSuccessor, uint64(to))
	case !status.Members[i].Connected:
		return fmt.Errorf("%w: %x cannot be heard", ErrBadSuccessor, uint64(to))
	case status.Members[i].Lag > successorLagMax:
		return fmt.Errorf("%w: %x is %d slots behind", ErrBadSuccessor, uint64(to), status.Members[i].Lag)
	}
	return nil
}

// successorLagMax is how far behind a member may be that is to lead: what it lacks it has to learn before it serves a read.
const successorLagMax = 4096
