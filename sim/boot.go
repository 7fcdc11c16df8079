package sim

import (
	"errors"
	"syscall"

	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// start boots a member as a node does: it opens the log, restores the replica from it and brings the machine up to what is known to be chosen. If cutAfter is not 0 the power fails
// in that disk operation.
func (m *member) start(cutAfter int) {
	if (m.newcomer || m.replaced()) && !m.meet() {
		return
	}
	m.disk.full = false
	m.disk.cutAfter = cutAfter
	log, err := wal.Open(m.disk, logDir, wal.Options{Cluster: cluster, Node: m.id, Incarnation: m.incarnation, SegmentBytes: m.w.cfg.SegmentBytes})
	if err != nil {
		m.notOpened(err)
		return
	}
	if err := m.open(log); err != nil {
		m.life++
		m.replica, m.log = nil, nil
		m.notOpened(err)
		return
	}
	m.disk.cutAfter = 0
	m.disk.coverAll()
	m.period = m.w.drawPeriod(m.rand)
	m.w.queue.push(event{at: m.w.now + 1 + m.rand.Int64N(m.period), kind: evTick, member: uint8(m.index), life: m.life})
	for i, other := range m.w.members {
		if other != m && other.up() {
			m.w.network.tellBoth(m.index, i, evConnected, 1+m.rand.Int64N(m.period))
		}
	}
	m.w.workload.serve(m)
}

// notOpened judges why a member does not start.
func (m *member) notOpened(err error) {
	switch {
	case errors.Is(err, errPower), m.disk.dark():
		m.w.reach(crashInRecovery)
		m.w.faults[tornSectors] += int64(m.disk.powerCut(m.rand))
		return
	case errors.Is(err, errInjected), errors.Is(err, syscall.ENOSPC):
		m.w.reach(failedStop)
	case m.replaced():
		m.w.reach(wipedRefused)
	case errors.Is(err, wal.ErrMayNotVote) && m.disk.damaged:
		m.w.reach(refusedToStart)
		m.dead = true
	default:
		m.w.violate("a sound disk is enough to start", "member %d: %v", m.id, err)
	}
	m.disk.kill()
}

func (m *member) open(log *wal.Log) error {
	vital := log.Vital()
	m.ledger.checkVital(m, vital)
	if vital.Founders == nil {
		if err := log.SetFounders([]byte{1}); err != nil {
			return err
		}
	}
	m.boot = vital.Boot
	m.log = log
	if err := m.endInstallation(); err != nil {
		return err
	}
	if _, last := log.Slots(); m.saved.applied > max(last, m.ledger.trimmed) {
		m.w.violate("a machine belongs to its log", "member %d has applied slot %d, its log ends at slot %d and is trimmed to slot %d", m.id, m.saved.applied, last, m.ledger.trimmed)
	}
	cfg := paxos.Config{Self: m.id, Incarnation: vital.Incarnation, Boot: m.boot, Founders: m.w.config, Seed: splitmix(m.w.seed) + uint64(m.boot), NoMachine: m.bare,
		HeartbeatTicks: m.w.cfg.HeartbeatTicks, SuspectTicks: m.w.cfg.SuspectTicks, ResendTicks: m.w.cfg.ResendTicks, Limits: m.w.cfg.Limits}
	stable := paxos.Stable{Promised: vital.Promised, Applied: m.holds(), Last: log.Durable(), Released: m.released, Configurations: m.known}
	replica, err := paxos.New(cfg, stable)
	if m.wiped {
		replica, err = m.impostor(cfg, stable, err)
	}
	if err != nil {
		return err
	}
	if m.replaced() {
		m.w.violate("a wiped member is another member", "member %d has a replica in incarnation %d, the cluster knows it in another", m.id, m.incarnation)
	}
	for _, u := range log.Unknown() {
		m.w.reach(damageReported)
		replica.RestoreUnknown(u.Slot, u.Ballot)
	}
	if err := m.ledger.restore(m, log, replica); err != nil {
		return err
	}
	m.replica, m.newcomer = replica, false
	if !m.wiped {
		m.keep(replica.Configurations()) // the log may tell of a change that the machine is about to pass
		m.w.history.restart(m, replica.Status().Promised)
	}
	return m.catchUp(log)
}

// impostor is a member that has lost its disk and does not know that it must not vote: it takes the cluster's configuration to name its new incarnation. Everybody else's names the
// old one, and so nobody must listen to it. With the true configuration the replica refuses to be made.
func (m *member) impostor(cfg paxos.Config, stable paxos.Stable, refusal error) (*paxos.Replica, error) {
	if refusal == nil {
		m.w.violate("a wiped member is another member", "member %d has a replica in incarnation %d, the cluster knows it in another", m.id, m.incarnation)
	}
	m.w.reach(wipedRefused)
	members := append([]paxos.Member(nil), cfg.Founders.Members...)
	members[m.index].Incarnation = m.incarnation
	phase1, phase2 := m.w.cfg.quorums()
	founders, err := paxos.NewConfiguration(0, members, phase1, phase2)
	if err != nil {
		return nil, err
	}
	cfg.Founders = founders.WithWindow(m.w.cfg.Window)
	return paxos.New(cfg, stable)
}

// catchUp applies what the log shows to be chosen beyond the machine's saved state.
func (m *member) catchUp(log *wal.Log) error {
	m.machine = m.saved.load(m.w.cfg.Sessions > 0)
	if m.bare {
		return nil
	}
	for slot := m.machine.applied + 1; slot <= m.replica.Delivered(); slot++ {
		rec, err := log.Read(slot)
		if err != nil {
			if !errors.Is(err, errPower) && !errors.Is(err, errInjected) {
				m.w.violate("what is delivered is in the log", "member %d cannot read slot %d, which is chosen, from its log: %v", m.id, slot, err)
			}
			return err
		}
		m.ledger.delivered(m, rec)
		m.apply(rec)
	}
	return nil
}
