package sim

import "synod.dev/synod/paxos"

// Snapshots are copies of a machine's saved state. Only the order of steps is that of a node: the intent is durable, the machine switches, the log is trimmed, the replica is told. A crash may come
// between any two of them.

// trim forgets what the machine has saved, but for some slots that are kept for peers.
func (m *member) trim() {
	if !m.serves() {
		return
	}
	has := m.saved.applied
	if m.bare {
		has = m.replica.Delivered()
	}
	upto := min(has, m.w.savedByAll())
	if keep := m.w.cfg.TrimKeep; keep >= 0 {
		upto = has - min(has, paxos.Slot(keep))
	}
	if upto = m.release(upto); upto > m.ledger.trimmed && m.trimTo(upto) && m.bare {
		m.w.reach(witnessTrimmed)
	}
}

// release makes durable what enough learners hold, before the log is trimmed by that, and returns how far it may be.
func (m *member) release(upto paxos.Slot) paxos.Slot {
	s := m.replica.Status()
	m.released = s.Released
	return min(upto, s.TrimLimit)
}

// trimTo reports whether the member has survived it.
func (m *member) trimTo(slot paxos.Slot) bool {
	err := m.log.Trim(slot)
	switch {
	case err == nil:
		m.ledger.trimmed = slot
		m.w.reach(logTrimmed)
		return true
	case m.disk.dark():
		m.powerFails(m.rand)
	default:
		m.fails(err)
	}
	return false
}

// fetchSnapshot begins to fetch a snapshot, unless one is under way.
func (m *member) fetchSnapshot(t paxos.Transfer) {
	if m.fetching {
		return
	}
	m.fetching, m.skip = true, t.Skip
	m.w.queue.push(event{at: m.w.now + 1 + around(m.rand, 10*(m.w.cfg.DelayLeast+m.w.cfg.DelayMean)), kind: evInstall, member: uint8(m.index), life: m.life, arg: int32(t.Peer) - 1})
}

// onSnapshot installs what a peer has saved, if it can be had and is of use.
func (m *member) onSnapshot(from *member) {
	m.fetching = false
	slot := from.saved.applied
	if m.bare {
		m.skipAhead(from)
		return
	}
	if !from.serves() || from.bare || m.w.network.link(from.index, m.index).cut || slot <= m.machine.applied {
		return
	}
	m.intent = slot
	crash := m.w.cfg.Faults[Crash] > 0 && !m.w.calm && oneIn(m.rand, 2)
	if crash && oneIn(m.rand, 3) { // before the machine has switched
		m.powerFails(m.rand)
		return
	}
	if crash {
		m.disk.cutAfter = m.disk.ops + 1 + m.rand.IntN(12)
	}
	if from.replica.Status().Latest > m.epoch() {
		m.w.reach(snapshotTellsMembers)
	}
	m.keep(from.replica.Configurations())
	m.saved = from.saved
	m.machine = m.saved.load(m.w.cfg.Sessions > 0)
	m.w.history.state(m, slot, m.machine.state())
	if t := m.machine.table; t != nil && t.Len() > 0 {
		m.w.reach(tableCarried)
	}
	if !m.trimTo(slot) {
		return
	}
	if crash { // after the log is trimmed
		m.powerFails(m.rand)
		return
	}
	m.intent = 0
	m.skipTo(slot)
	m.w.reach(snapshotInstalled)
	m.step(paxos.Event{Kind: paxos.Installed, Slot: slot, Configurations: from.replica.Configurations()})
}

// skipAhead lets a member without a machine forget what it need not have, if a peer can say who the members are there. A crash may come when it knows that, and when it has forgotten.
func (m *member) skipAhead(from *member) {
	if !from.serves() || from.bare || m.w.network.link(from.index, m.index).cut || from.machine.applied < m.skip || m.skip <= m.ledger.trimmed {
		return
	}
	crash := m.w.cfg.Faults[Crash] > 0 && !m.w.calm && oneIn(m.rand, 2)
	m.keep(from.replica.Configurations())
	m.release(m.skip)
	if crash && oneIn(m.rand, 2) {
		m.powerFails(m.rand)
		return
	}
	if !m.trimTo(m.skip) {
		return
	}
	if crash {
		m.powerFails(m.rand)
		return
	}
	m.w.reach(skippedAhead)
	m.step(paxos.Event{Kind: paxos.Installed, Slot: m.skip, Configurations: from.replica.Configurations()})
}

// skipTo drops what the machine was to apply and has from the snapshot. Of the writes of this member's clients nobody knows which are in it.
func (m *member) skipTo(slot paxos.Slot) {
	rest := m.chosen[:0]
	for _, rec := range m.chosen {
		if rec.Slot > slot {
			rest = append(rest, rec)
		}
	}
	m.chosen, m.skipped = rest, slot
	for _, wr := range m.writes {
		wr.forsaken = true
	}
	m.writes, m.retries = nil, nil
	m.w.workload.serve(m)
}

// endInstallation trims the log to a snapshot whose installation a crash cut short after the machine had switched.
func (m *member) endInstallation() error {
	if m.intent != 0 && m.saved.applied == m.intent {
		if err := m.log.Trim(m.intent); err != nil {
			return err
		}
		m.ledger.trimmed = m.intent
		m.w.reach(installationEnded)
	}
	m.intent = 0
	return nil
}
