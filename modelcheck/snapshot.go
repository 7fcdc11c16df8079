package modelcheck

import (
	"fmt"

	"synod.dev/synod/paxos"
)

// offer lets every member that installs snapshots take over this one's: who fetches one, and when, depends on time alone.
func (s *stepper) offer(slot paxos.Slot) {
	for i, member := range s.m.world.members {
		if i != s.l.node && member.installs {
			s.t.items = append(s.t.items, s.m.snapshot(i, slot, s.l.replica.Configurations()))
		}
	}
}

// snapshot numbers that a member may take over somebody's snapshot of a slot. Whose makes no difference but for what he knows of the membership: what is chosen up to a slot is the same everywhere.
func (m *model) snapshot(to int, slot paxos.Slot, known []*paxos.Configuration) uint32 {
	return m.intern(fmt.Sprintf("snapshot %d %d %x", to, slot, paxos.AppendConfigurations(nil, known)), func() item {
		return item{to: to, snapshot: slot, known: known, text: fmt.Sprintf("a snapshot of slot %d", slot)}
	})
}

// install is what a node does with a snapshot when it has come: the machine takes it over and the log is trimmed, both durably, then the replica is told. A crash between the two is
// one that comes right after.
func (s *stepper) install(slot paxos.Slot, known []*paxos.Configuration) {
	if slot <= s.l.replica.Delivered() {
		return // it is refused: the machine is further
	}
	for _, rec := range s.l.log[:s.l.durable] {
		if rec.Kind == paxos.RecordAccept && rec.Slot > slot {
			s.t.goals |= snapshotIsInstalled
		}
	}
	s.keep(known)
	s.l.trimmed = max(s.l.trimmed, slot)
	if slot > s.l.replica.Status().Chosen {
		s.applied = slot
	}
	s.step(paxos.Event{Kind: paxos.Installed, Slot: slot, Configurations: known})
}
