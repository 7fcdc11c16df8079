package synod

import (
	"errors"
	"fmt"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// skip lets a member without a machine go on above a slot: of a snapshot it needs the first chunk alone, which says who the members are at that slot or later. That enough others hold what it skips, the
// core has seen to.
func (in *incoming) skip(to paxos.Slot) error {
	h, err := snapshot.ReadHeader(in.fetch, fetchTries)
	if err != nil {
		return err
	}
	in.send(fetchEnd)
	switch {
	case h.Cluster != in.n.cfg.Cluster:
		return fmt.Errorf("it is of cluster %x", h.Cluster)
	case h.Slot < to:
		return fmt.Errorf("it knows who the members are as of slot %d, and slot %d is needed", h.Slot, to)
	}
	known, err := in.n.membership.accept(h.Configuration)
	if err != nil {
		return err
	}
	return in.n.skip(to, known)
}

// skip makes durable what goes with a slot, forgets the log up to there, and tells the core. An error of the disk ends the node.
func (n *Node) skip(to paxos.Slot, known []*paxos.Configuration) error {
	err := n.membership.keep(known)
	if err == nil {
		err = n.keepReleased()
	}
	if err == nil {
		err = n.disk.trim(to)
	}
	if err != nil {
		if !errors.Is(err, ErrClosed) {
			n.Fail(fmt.Errorf("cannot skip to slot %d: %w", to, err))
		}
		return ErrClosed
	}
	n.logger.Info("what others hold is skipped", "slot", to)
	n.inbox.put(paxos.Event{Kind: paxos.Installed, Slot: to, Configurations: known})
	return nil
}

// keepReleased makes durable up to where enough learners hold everything, before the log is trimmed by that.
func (n *Node) keepReleased() error {
	view := n.view.Load()
	if view == nil || view.Released == 0 {
		return nil
	}
	if err := releasedFile.write(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation, view.Released); err != nil {
		return fmt.Errorf("cannot store what the log may be trimmed by: %w", err)
	}
	return nil
}
