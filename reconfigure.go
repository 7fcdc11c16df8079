package synod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
	"synod.dev/synod/transport"
)

// Membership is who the members are, as far as a node knows: at most one change behind what a leader knows that it can hear. What it points to must not be changed.
type Membership struct {
	InForce *paxos.Configuration // of the next slot; nil before the cluster is founded
	Latest  *paxos.Configuration // the same, but while a change waits to come into force
	Removed bool                 // this node was a member and is none any more
}

// Member returns a member of the latest configuration. ok is false if there is none with this ID.
func (m Membership) Member(id paxos.NodeID) (member paxos.Member, ok bool) {
	if m.Latest == nil {
		return member, false
	}
	i := m.Latest.Index(id)
	if i < 0 {
		return member, false
	}
	return m.Latest.Members[i], true
}

// Change is a membership that is to replace another one, from any set of members to any other.
type Change struct {
	Replaces uint32         // the epoch of the configuration that it was made from, which must be the latest, and in force
	Members  []paxos.Member // all who are to be members, with their roles
	// Phase1 and Phase2 are the sizes of the quorums; 0 and 0 stand for majorities of the acceptors.
	Phase1, Phase2 int
}

// Why a change of membership did not happen. ErrUnknown, ErrNoLeader, ErrClosed and ErrFailed can be the reason, too.
var (
	// ErrSuperseded means that another change came first, or is under way. This one did not happen and never will: look at the membership, and decide anew.
	ErrSuperseded = errors.New("synod: another change of membership came first: this one did not happen")

	// ErrInvalidChange means that the change makes no membership; the text says why.
	ErrInvalidChange = errors.New("synod: the change makes no membership")

	// ErrQuorumAtRisk means that too few of those who would vote could be heard for an election timeout: the cluster would stand still.
	ErrQuorumAtRisk = errors.New("synod: the change would leave no quorum that can be heard")

	// ErrNoSuchMember and ErrMemberExists are about the member that is to be changed, or added.
	ErrNoSuchMember = errors.New("synod: no such member")
	ErrMemberExists = errors.New("synod: there is such a member already")

	// ErrAddressTaken means that another member is to be found at the address.
	ErrAddressTaken = errors.New("synod: another member has this address")

	// ErrNotLearner means that the member to be promoted votes already, or will as soon as it has caught up.
	ErrNotLearner = errors.New("synod: the member is no learner")

	// ErrNotCaughtUp means that the member to be promoted has not come yet, or for an election timeout could not be heard or was too far behind.
	ErrNotCaughtUp = errors.New("synod: the learner has not caught up")

	// ErrRemoved means that this node is no member any more.
	ErrRemoved = errors.New("synod: this member has been removed from the cluster")
)

// Membership returns what this node knows of the membership. It is cheap.
func (n *Node) Membership() Membership {
	if m := n.members.Load(); m != nil {
		return *m
	}
	return Membership{}
}

// Reconfigure changes the membership, and returns nil once the change is chosen; it comes into force without further ado, by no more than the members of both configurations need to tell each other.
// A member that has not come yet has neither incarnation nor roles, but the roles that it is invited for; it is given those by the leader once it has come and caught up.
//
// With ErrUnknown the change may have happened, or may yet, at most once: until another one from the same epoch has. With any other error it did not, and never will: ErrSuperseded, ErrInvalidChange, ErrQuorumAtRisk,
// ErrNoLeader, ErrOverloaded, ErrRemoved, ErrClosed, ErrFailed. While there is no leader it waits for one until the context ends.
func (n *Node) Reconfigure(ctx context.Context, c Change) error {
	if m := n.Membership(); m.Latest != nil && c.Replaces > m.Latest.Epoch { // it was made from what another node knows
		if err := n.confirmMembership(ctx); err != nil {
			return err
		}
	}
	if err := n.patiently(ctx, func() error { return n.judgeChange(c) }); err != nil {
		return err
	}
	w := newChangeWaiter(c)
	n.inbox.call(func() { n.loop.changes.begin(w) })
	select {
	case err := <-w.outcome:
		return err
	case <-n.done:
		return n.lastWord(w)
	case <-ctx.Done():
	}
	n.inbox.call(func() { n.loop.changes.abandon(w) })
	select {
	case err := <-w.outcome:
		return err
	case <-n.done:
		return n.lastWord(w)
	}
}

// confirmMembership returns once this node knows every membership that anybody was told of before the call. One without a state machine cannot find out, and goes by what it knows.
func (n *Node) confirmMembership(ctx context.Context) error {
	switch err := n.Read(ctx); {
	case errors.Is(err, ErrNoMachine):
		return nil
	case errors.Is(err, ErrReadTimeout):
		return fmt.Errorf("%w: so this node cannot find out whether it knows the latest membership", ErrNoLeader)
	default:
		return err
	}
}

// patiently asks again, as often as there are heartbeats in an election timeout, whether there still are too few who can be heard: one who has just come needs a while to be heard, and a heartbeat may be late.
func (n *Node) patiently(ctx context.Context, judge func() error) error {
	ticker := time.NewTicker(n.cfg.Heartbeat)
	defer ticker.Stop()
	for range n.cfg.ElectionTimeout / n.cfg.Heartbeat {
		err := judge()
		if !errors.Is(err, ErrQuorumAtRisk) && !errors.Is(err, ErrNotCaughtUp) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		case <-n.done:
			return n.ended()
		}
	}
	return judge()
}

// lastWord returns the outcome of a change if it was known when the node ended: it may have ended for no other reason.
func (n *Node) lastWord(w *changeWaiter) error {
	select {
	case err := <-w.outcome:
		return err
	default:
		return fmt.Errorf("%w: %w", ErrUnknown, n.ended())
	}
}

// judgeChange refuses what no leader should be asked for.
func (n *Node) judgeChange(c Change) error {
	select {
	case <-n.done:
		return n.ended()
	default:
	}
	m := n.Membership()
	switch {
	case m.Removed:
		return ErrRemoved
	case m.Latest == nil:
		return fmt.Errorf("%w: the cluster is not founded yet", ErrNoLeader)
	case c.Replaces != m.Latest.Epoch:
		return fmt.Errorf("%w: it replaces epoch %d, the latest is %d", ErrSuperseded, c.Replaces, m.Latest.Epoch)
	}
	next, err := paxos.NewConfiguration(c.Replaces+1, c.Members, c.Phase1, c.Phase2)
	if err == nil {
		err = next.CheckRoles()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidChange, err)
	}
	if size := len(paxos.AppendConfigurations(nil, []*paxos.Configuration{next})); size > configurationBytesMax {
		return fmt.Errorf("%w: it takes %d bytes, at most %d are possible: shorten the addresses", ErrInvalidChange, size, configurationBytesMax)
	}
	for _, member := range c.Members {
		if member.Address == "" && len(c.Members) > 1 {
			return fmt.Errorf("%w: member %x has no address", ErrInvalidChange, uint64(member.ID))
		}
	}
	return n.judgeQuorum(next)
}

// judgeQuorum refuses a configuration in which those who can be heard now could not choose anything.
func (n *Node) judgeQuorum(next *paxos.Configuration) error {
	alive := n.heard()
	voters, heard := 0, 0
	for _, m := range next.Members {
		if m.Roles&paxos.Acceptor == 0 {
			continue
		}
		voters++
		if p, ok := alive[m.ID]; ok && p.Incarnation == m.Incarnation {
			heard++
		}
	}
	if heard < max(next.Phase1, next.Phase2) {
		return fmt.Errorf("%w: of the %d that would vote, %d can be heard, and %d are needed", ErrQuorumAtRisk, voters, heard, max(next.Phase1, next.Phase2))
	}
	return nil
}

func (n *Node) hears(id paxos.NodeID) bool {
	_, ok := n.heard()[id]
	return ok
}

// heard returns the members of the configuration in force that have been heard lately, this node included.
func (n *Node) heard() map[paxos.NodeID]paxos.PeerStatus {
	alive := map[paxos.NodeID]paxos.PeerStatus{}
	if view := n.view.Load(); view != nil {
		for _, p := range view.Peers {
			if p.Alive {
				alive[p.ID] = p
			}
		}
	}
	return alive
}

// AddMember invites a node: it becomes a member without an incarnation and without a role, to be found at address. Once it has come (Config.Join) it learns, and once it has caught up the leader gives it the
// roles; but if they are those of a learner alone it stays one until PromoteMember. The errors are those of Reconfigure, ErrMemberExists, and ErrAddressTaken.
func (n *Node) AddMember(ctx context.Context, id paxos.NodeID, address string, roles paxos.Role) error {
	return n.edit(ctx, func(m Membership, members []paxos.Member) ([]paxos.Member, error) {
		if _, exists := m.Member(id); exists {
			return nil, fmt.Errorf("%w: %x", ErrMemberExists, uint64(id))
		}
		if err := judgeAddress(members, id, address); err != nil {
			return nil, err
		}
		return append(members, paxos.Member{ID: id, Invited: roles, Address: address}), nil
	})
}

// RemoveMember removes a member at once; the leader may remove itself. A node that is removed stops when the others hold what it has. The errors are those of Reconfigure, and ErrNoSuchMember.
func (n *Node) RemoveMember(ctx context.Context, id paxos.NodeID) error {
	return n.editMember(ctx, id, func(members []paxos.Member, i int) ([]paxos.Member, error) {
		return slices.Delete(members, i, i+1), nil
	})
}

// ReplaceMember invites the node of a member anew, for the roles that it had: its disk was lost, and with it what it promised. The old disk is no member from then on. The errors are those of RemoveMember.
func (n *Node) ReplaceMember(ctx context.Context, id paxos.NodeID) error {
	return n.editMember(ctx, id, func(members []paxos.Member, i int) ([]paxos.Member, error) {
		members[i] = invitedAnew(members[i])
		return members, nil
	})
}

// invitedAnew returns a member as it is when its disk is lost: nobody yet, for all the roles that it had or was to have.
func invitedAnew(old paxos.Member) paxos.Member {
	return paxos.Member{ID: old.ID, Invited: old.Roles | old.Invited, Address: old.Address}
}

// UpdateMember says where a member is found from now on. The errors are those of RemoveMember, and ErrAddressTaken.
func (n *Node) UpdateMember(ctx context.Context, id paxos.NodeID, address string) error {
	return n.editMember(ctx, id, func(members []paxos.Member, i int) ([]paxos.Member, error) {
		members[i].Address = address
		return members, judgeAddress(members, id, address)
	})
}

// judgeAddress refuses an address that somebody else has.
func judgeAddress(members []paxos.Member, id paxos.NodeID, address string) error {
	for _, m := range members {
		if m.ID != id && m.Address == address {
			return fmt.Errorf("%w: %s is that of %x", ErrAddressTaken, address, uint64(m.ID))
		}
	}
	return nil
}

// PromoteMember makes a learner a full member. The errors are those of RemoveMember, ErrNotLearner, and ErrNotCaughtUp.
func (n *Node) PromoteMember(ctx context.Context, id paxos.NodeID) error {
	return n.editMember(ctx, id, func(members []paxos.Member, i int) ([]paxos.Member, error) {
		switch m := members[i]; {
		case (m.Roles|m.Invited)&paxos.Acceptor != 0:
			return nil, fmt.Errorf("%w: %x", ErrNotLearner, uint64(id))
		case m.Incarnation == 0:
			return nil, fmt.Errorf("%w: %x has not come yet", ErrNotCaughtUp, uint64(id))
		}
		if err := n.patiently(ctx, func() error { return n.judgeLag(members[i]) }); err != nil {
			return nil, err
		}
		members[i].Roles, members[i].Invited = paxos.FullMember, 0
		return members, nil
	})
}

// judgeLag refuses a member that does not hold nearly everything.
func (n *Node) judgeLag(m paxos.Member) error {
	p, ok := n.heard()[m.ID]
	chosen := n.view.Load().Chosen
	switch {
	case !ok || p.Incarnation != m.Incarnation:
		return fmt.Errorf("%w: %x cannot be heard", ErrNotCaughtUp, uint64(m.ID))
	case p.Chosen+promotionLagMax < chosen:
		return fmt.Errorf("%w: %x is %d slots behind", ErrNotCaughtUp, uint64(m.ID), chosen-p.Chosen)
	}
	return nil
}

// configurationBytesMax bounds a configuration, so that two fit into a snapshot's header and into a greeting.
const configurationBytesMax = min(snapshot.ConfigurationBytesMax, transport.MaxGreetingBytes)/2 - 64

// promotionLagMax is how many slots a learner may be behind that is to vote: it would vote at once.
const promotionLagMax = paxos.WindowDefault

// editMember is edit of one member, by its index among all.
func (n *Node) editMember(ctx context.Context, id paxos.NodeID, edit func(members []paxos.Member, i int) ([]paxos.Member, error)) error {
	return n.edit(ctx, func(m Membership, members []paxos.Member) ([]paxos.Member, error) {
		i := m.Latest.Index(id)
		if i < 0 {
			return nil, fmt.Errorf("%w: %x", ErrNoSuchMember, uint64(id))
		}
		return edit(members, i)
	})
}

// edit changes the latest membership, and begins again from the one that is the latest by then if another change comes first. What the function refuses is refused only if the membership that it was given is
// known to be the latest: this node may not have heard yet of what another one has acknowledged.
func (n *Node) edit(ctx context.Context, edit func(m Membership, members []paxos.Member) ([]paxos.Member, error)) error {
	for {
		m, err := n.awaitInForce(ctx)
		if err != nil {
			return err
		}
		members, refusal := edit(m, slices.Clone(m.Latest.Members))
		if refusal != nil {
			if err := n.confirmMembership(ctx); err != nil {
				return err
			}
			if n.Membership().Latest == m.Latest {
				return refusal
			}
			continue
		}
		if err = n.Reconfigure(ctx, changeOf(m.Latest, members)); !errors.Is(err, ErrSuperseded) {
			return err
		}
	}
}

// changeOf returns the change of a configuration to these members. As long as there are as many voters, quorums stay as they are; else they are majorities.
func changeOf(latest *paxos.Configuration, members []paxos.Member) Change {
	c := Change{Replaces: latest.Epoch, Members: members}
	if voters(members) == voters(latest.Members) {
		c.Phase1, c.Phase2 = latest.Phase1, latest.Phase2
	}
	return c
}

func voters(members []paxos.Member) (count int) {
	for _, m := range members {
		if m.Roles&paxos.Acceptor != 0 {
			count++
		}
	}
	return count
}

// awaitInForce waits until no change is under way that this node knows of.
func (n *Node) awaitInForce(ctx context.Context) (Membership, error) {
	ticker := time.NewTicker(n.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		m := n.Membership()
		switch {
		case m.Removed:
			return m, ErrRemoved
		case m.Latest != nil && m.Latest == m.InForce:
			return m, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return m, fmt.Errorf("%w: an earlier change of membership is not in force yet", ErrNoLeader)
		case <-n.done:
			return m, n.ended()
		}
	}
}
