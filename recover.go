package synod

import (
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// recoverMachine brings machine and log together as they were left: it restores the machines in memory from their snapshot, ends an installation that a crash cut short, and refuses
// what does not belong together. It returns the slot that every machine has applied.
func (n *Node) recoverMachine() (applied paxos.Slot, err error) {
	n.files = &snapshotFiles{fs: n.cfg.fs, dir: n.cfg.Dir}
	if n.machine == nil {
		return n.log.Vital().Trimmed, nil
	}
	n.sections = sectionsOf(n.machine)
	if err := n.restoreNewest(); err != nil {
		return 0, err
	}
	applied = appliedByAll(n.sections)
	if s, ok := n.machine.(*sessions); ok && applied < s.restored {
		return 0, fmt.Errorf("synod: the table of sessions in %s is of slot %d, a state machine has applied slot %d only, and nobody knows which commands it is to execute: restore the state machine's files, or remove the files snapshot-* as well to have all fetched from another member", n.cfg.Dir, s.restored, applied)
	}
	if err := n.endInstallation(applied); err != nil {
		return 0, fmt.Errorf("synod: cannot end the installation of a snapshot in %s: %w", n.cfg.Dir, err)
	}
	trimmed := n.log.Vital().Trimmed
	if _, last := n.log.Slots(); applied > max(last, trimmed) {
		return 0, fmt.Errorf("synod: the state machine has applied slot %d, the log in %s ends at slot %d: they do not belong together; bring back the log that belongs to it, or replace this member", applied, n.cfg.Dir, max(last, trimmed))
	}
	if applied >= trimmed {
		return applied, nil
	}
	if len(n.contacts.all()) == 0 || !transferable(n.sections) {
		return 0, fmt.Errorf("synod: the state machine has applied slot %d, the log in %s begins after slot %d, and no other member can send what lies between: restore the state machine's files", applied, n.cfg.Dir, trimmed)
	}
	n.logger.Warn("the state machine lacks what the log has trimmed: fetching a snapshot from another member", "applied", applied, "trimmed", trimmed)
	return applied, nil
}

// restoreNewest restores the machines in memory from the newest snapshot that is whole.
func (n *Node) restoreNewest() error {
	slots, err := n.files.find()
	if err != nil {
		return fmt.Errorf("synod: cannot look for snapshots in %s: %w", n.cfg.Dir, err)
	}
	if !slices.ContainsFunc(n.sections, (*section).inMemory) {
		return nil
	}
	for _, slot := range slices.Backward(slots) {
		if err := n.files.read(slot, n.cfg.Cluster, verify); err != nil { // before the machine sees anything of it
			n.logger.Warn("a snapshot is not whole and is not used", "slot", slot, "error", err)
			continue
		}
		return n.restore(slot)
	}
	return nil
}

// restore gives the machines in memory the snapshot of a slot.
func (n *Node) restore(slot paxos.Slot) error {
	if err := n.files.read(slot, n.cfg.Cluster, func(r *snapshot.Reader) error { return restoreFrom(r, n.sections) }); err != nil {
		return fmt.Errorf("synod: cannot restore the snapshot of slot %d in %s: %w", slot, n.cfg.Dir, err)
	}
	for _, s := range n.sections {
		if s.inMemory() {
			s.applied = slot
			s.skipTo(slot)
		}
	}
	n.files.mu.Lock()
	defer n.files.mu.Unlock()
	n.files.slot = slot
	return nil
}

// endInstallation trims the log to the slot of an installation if the crash that cut it short came after the machine had switched.
func (n *Node) endInstallation(applied paxos.Slot) error {
	slot, err := intentFile.read(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation)
	if err != nil {
		return err
	}
	if slot != 0 && applied == slot {
		if err := n.log.Trim(slot); err != nil {
			return err
		}
	}
	return intentFile.remove(n.cfg.fs, n.cfg.Dir)
}
