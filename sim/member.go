package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"

	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// member is one member of the cluster: a disk, and while it is up a process with a log, a replica and a state machine. It carries out what the replica asks for as the root package's
// loops do, but that here one event queue stands for all of their goroutines.
type member struct {
	w     *world
	index int
	id    paxos.NodeID
	disk  *simDisk
	rand  *rand.Rand

	ahead       int64             // of its clock, microseconds
	incarnation paxos.Incarnation // of the disk
	boot        uint32
	bare        bool       // it has no machine
	saved       machine    // durable
	released    paxos.Slot // enough learners hold everything up to here; durable
	intent      paxos.Slot // of a snapshot that is being installed; durable
	ledger      ledger
	dead        bool                   // it will never start again
	wiped       bool                   // its disk is another than the cluster was founded with
	known       []*paxos.Configuration // of the membership, durable; nil for the founders alone
	newcomer    bool                   // its disk is new, and it has not come yet

	life    uint32 // raised when a process ends
	log     *wal.Log
	replica *paxos.Replica // nil while it is down
	fx      paxos.Effects
	event   *paxos.Event // that the replica is at

	queue    []*paxos.Record // appended by the replica and not yet given to the log
	writing  []*paxos.Record // being written
	machine  machine
	chosen   []*paxos.Record // to be applied
	fetches  []paxos.Fetch
	unsent   []*paxos.Message
	writes   []*write
	retries  []*write
	fetching bool       // a snapshot
	skipped  paxos.Slot // up to where the last one goes
	skip     paxos.Slot // without a machine: up to where the snapshot that is fetched is to say who the members are
	reads    []readRequest

	idle     bool // evIdle is under way,
	applying bool // evApply is
	amid     bool // the power fails at the next step with effects
	period   int64
	paused   int64 // until then the process stands still
	stalled  int64 // until then the disk does
	leads    paxos.Ballot
	probing  uint64 // the read round that has not been answered
}

const (
	logDir  = "log"
	cluster = 1
)

// errInjected is what a failing disk says.
var errInjected = errors.New("input/output error")

// firstIncarnation is that of a node's first disk.
func firstIncarnation(index int) paxos.Incarnation { return paxos.Incarnation(index + 101) }

func newMember(w *world, index int) *member {
	m := &member{w: w, index: index, bare: w.cfg.isBare(index), id: paxos.NodeID(index + 1), incarnation: firstIncarnation(index), disk: newDisk(), rand: derive(w.seed, "member", index)}
	if most := w.cfg.ClockMost; most > 0 {
		m.ahead = derive(w.seed, "clock", index).Int64N(2*most+1) - most
	}
	return m
}

// wipe replaces the disk by an empty one, which will be formatted in another incarnation.
func (m *member) wipe() {
	m.loseDisk()
	m.wiped = true
	m.incarnation += 1000
}

// loseDisk puts an empty one in its place.
func (m *member) loseDisk() {
	m.disk, m.ledger, m.saved, m.released, m.intent, m.known = newDisk(), ledger{}, machine{}, 0, 0, nil
}

// holds returns the slot up to which the member needs nobody's log any more: its machine has it durably, or without one the log is trimmed.
func (m *member) holds() paxos.Slot {
	if m.bare {
		return m.ledger.trimmed
	}
	return m.saved.applied
}

// drawn returns a generator for what an action draws itself.
func (m *member) drawn(a Action) *rand.Rand { return rand.New(rand.NewPCG(a.Draw, uint64(a.Kind))) }

func (m *member) up() bool { return m.replica != nil }

// serves reports whether clients use the member: it is up, and a member.
func (m *member) serves() bool { return m.up() && !m.wiped }

func (m *member) mayStart() bool { return !m.up() && !m.dead }

// step gives the replica an event and carries out what comes of it.
func (m *member) step(ev paxos.Event) {
	m.event = &ev
	m.fx.Reset()
	m.replica.Step(ev, &m.fx)
	m.perform()
	switch {
	case !m.up():
	case ev.Kind == paxos.Idle:
	case m.w.cfg.IdleDelay == 0:
		m.onIdle()
	case !m.idle:
		m.idle = true
		m.w.queue.push(event{at: m.w.now + m.w.cfg.IdleDelay, kind: evIdle, member: uint8(m.index), life: m.life})
	}
}

// isFact reports whether a message is as true from anybody as from a member, or asks to be told such.
func isFact(msg *paxos.Message) bool {
	switch msg.Kind {
	case paxos.Commit, paxos.Learn, paxos.Learned, paxos.Heartbeat, paxos.HeartbeatReply:
		return true
	}
	return false
}

// ignore gives the replica a message of an incarnation that the cluster does not know, and checks that nothing comes of it.
func (m *member) ignore(p *packet, msg *paxos.Message) {
	m.w.reach(strangerIgnored)
	m.fx.Reset()
	m.replica.Step(paxos.Event{Kind: paxos.Received, From: paxos.NodeID(p.from + 1), Incarnation: p.incarnation, Message: msg}, &m.fx)
	fx := &m.fx
	if len(fx.Records)+len(fx.Messages)+len(fx.Chosen)+len(fx.Reads)+len(fx.Rejected)+len(fx.Fetches) > 0 {
		m.w.violate("a wiped member is another member", "member %d does something on account of a %v from member %d in incarnation %d", m.id, msg.Kind, p.from+1, p.incarnation)
	}
}

// perform carries out the effects of a step. Nothing here has to wait for anything else.
func (m *member) perform() {
	fx := &m.fx
	amid := m.amid && len(fx.Records)+len(fx.Messages) > 0
	if !m.wiped {
		m.w.history.begin(m, fx.Records)
	}
	if amid {
		m.forgetSome()
	}
	if len(fx.Records) > 0 {
		for _, rec := range fx.Records {
			rec.Seal()
		}
		m.queue = append(m.queue, fx.Records...)
		m.write()
	}
	for _, out := range fx.Messages {
		m.send(out)
	}
	for _, rj := range fx.Rejected {
		m.w.workload.rejected(m, rj)
	}
	for _, id := range fx.Decided {
		m.w.workload.decided(m, id)
	}
	for _, rr := range fx.Reads {
		m.probing = 0
		m.w.workload.ready(m, rr)
	}
	if len(fx.Fetches) > 0 {
		m.fetches = append(m.fetches, fx.Fetches...)
		m.w.queue.push(event{at: m.w.now + m.w.cfg.SyncLeast, kind: evFetch, member: uint8(m.index), life: m.life})
	}
	for _, t := range fx.Transfers {
		m.fetchSnapshot(t)
	}
	if fx.Removed {
		m.w.reach(memberRemoved)
	}
	m.reconfigured(fx.Reconfigured)
	m.deliver(fx.Chosen)
	m.watchLeader()
	if amid {
		m.w.reach(crashHalfSent)
		m.powerFails(m.rand)
	}
}

// forgetSome drops what a process does not come to carry out when it ends in the middle.
func (m *member) forgetSome() {
	m.fx.Messages = m.fx.Messages[:m.rand.IntN(len(m.fx.Messages)+1)]
	if m.rand.IntN(2) == 0 {
		m.fx.Records = nil
	}
	m.fx.Reads, m.fx.Chosen, m.fx.Transfers = nil, nil, nil
	if m.rand.IntN(2) == 0 { // else what is known of the membership becomes durable, and the machine has not got that far
		m.fx.Reconfigured = nil
	}
}

func (m *member) send(out paxos.Outgoing) {
	if !m.wiped {
		m.w.history.say(m, out.Message)
		m.w.probeSent(m, out)
	}
	if !m.w.network.send(m, out) {
		m.unsent = append(m.unsent, out.Message)
	}
}

// onIdle tells the replica that no more input is at hand, and before that what has not been sent.
func (m *member) onIdle() {
	m.idle = false
	for len(m.unsent) > 0 && m.up() {
		msg := m.unsent[0]
		m.unsent = m.unsent[1:]
		ev := paxos.Event{Kind: paxos.Unsent, Message: msg}
		m.event = &ev
		m.fx.Reset()
		m.replica.Step(ev, &m.fx)
		m.perform()
	}
	if m.up() {
		m.step(paxos.Event{Kind: paxos.Idle})
	}
}

// onTick is the ticker. A process that stood still gets one tick for all that it has missed.
func (m *member) onTick() {
	m.w.queue.push(event{at: m.w.now + m.period, kind: evTick, member: uint8(m.index), life: m.life})
	m.tick()
}

func (m *member) tick() {
	m.w.workload.giveUp(m)
	m.w.workload.retry(m)
	if m.up() {
		m.step(paxos.Event{Kind: paxos.Tick})
	}
	if m.up() {
		m.retire()
	}
}

// write begins to write what has gathered, unless a write is under way.
func (m *member) write() {
	if len(m.writing) > 0 || len(m.queue) == 0 {
		return
	}
	m.writing, m.queue = m.queue, m.writing[:0]
	least, mean := m.w.cfg.SyncLeast, m.w.cfg.SyncMean
	if m.w.calm {
		least, mean = calmDelay, 1
	}
	m.w.queue.push(event{at: m.w.now + least + around(m.rand, mean), kind: evSynced, member: uint8(m.index), life: m.life})
}

// onSynced is the end of a write: the log has it now, or has failed.
func (m *member) onSynced() {
	last, err := m.log.Append(m.writing)
	if err == nil {
		err = m.log.Sync()
	}
	if err == nil && oneIn(m.rand, 4) {
		err = m.log.PrepareNext()
	}
	if err != nil {
		m.fails(err)
		return
	}
	m.ledger.synced(m, m.writing)
	m.writing = m.writing[:0]
	m.step(paxos.Event{Kind: paxos.Durable, LSN: last})
	if m.up() {
		m.write()
	}
	if oneIn(m.rand, m.w.cfg.TrimOneIn) {
		m.trim()
	}
}

// deliver gives the state machine what is chosen.
func (m *member) deliver(records []*paxos.Record) {
	if len(records) == 0 {
		return
	}
	for _, rec := range records {
		m.ledger.delivered(m, rec)
		if rec.Slot > m.skipped && !m.bare { // else it was installed, and the replica had learned of it before it was told
			m.chosen = append(m.chosen, rec)
		}
	}
	switch {
	case m.bare:
	case m.w.cfg.ApplyDelay == 0:
		m.onApply()
	case !m.applying:
		m.applying = true
		m.w.queue.push(event{at: m.w.now + around(m.rand, m.w.cfg.ApplyDelay), kind: evApply, member: uint8(m.index), life: m.life})
	}
}

// onApply lets the machine apply what has come.
func (m *member) onApply() {
	m.applying = false
	for _, rec := range m.chosen {
		m.apply(rec)
	}
	clear(m.chosen)
	m.chosen = m.chosen[:0]
	m.w.workload.serve(m)
}

// apply executes the commands of a slot.
func (m *member) apply(rec *paxos.Record) {
	if rec.Slot != m.machine.applied+1 {
		m.w.violate("applied is a prefix", "member %d applies slot %d after slot %d", m.id, rec.Slot, m.machine.applied)
	}
	m.machine.applied = rec.Slot
	number := 0
	err := rec.Value.Commands(func(b []byte) {
		c, err := decodeCommand(b)
		if err != nil {
			m.w.violate("only what was asked for happens", "slot %d holds a command that cannot be read: %v", rec.Slot, err)
			return
		}
		m.w.workload.applied(m, rec, number, c, m.machine.apply(c))
		number++
	})
	if err != nil {
		m.w.violate("only what was asked for happens", "slot %d holds no value: %v", rec.Slot, err)
	}
	if number > 1 {
		m.w.reach(batchOfSeveral)
	}
	m.w.history.state(m, rec.Slot, m.machine.state())
	if oneIn(m.rand, m.w.cfg.SaveOneIn) {
		m.saved = m.machine.save()
	}
}

// onFetch reads chosen records from the log for a lagging peer.
func (m *member) onFetch() {
	if len(m.fetches) == 0 {
		return
	}
	m.w.reach(learnedFromLog)
	f := m.fetches[0]
	m.fetches = append(m.fetches[:0], m.fetches[1:]...)
	var records []*paxos.Record
	var trimmed paxos.Slot
	for slot, size := f.Slot, 0; slot <= f.Upto; slot++ {
		rec, err := m.log.Read(slot)
		if errors.Is(err, wal.ErrTrimmed) {
			trimmed = m.log.Vital().Trimmed
		}
		if err != nil {
			break
		}
		if size += rec.Size(); size > f.Bytes && len(records) > 0 {
			break
		}
		records = append(records, rec)
	}
	m.step(paxos.Event{Kind: paxos.Fetched, Peer: f.Peer, Records: records, Slot: trimmed})
}

// describe says how far a member that is up has come.
func (m *member) describe() string {
	s := m.replica.Status()
	return fmt.Sprintf("member %d (%v): leader %d at %v, recovered %v, chosen %d, applied %d, trimmed %d, released %d, records %d of %d durable, %d writes and %d reads wait",
		m.id, m.roles(), s.Leader, s.Ballot, s.Recovered, s.Chosen, m.machine.applied, m.ledger.trimmed, s.Released, s.Durable, s.Appended, len(m.writes), len(m.reads))
}

// watchLeader sees a leadership of this member end.
func (m *member) watchLeader() {
	leader, ballot := m.replica.Leader()
	switch {
	case leader == m.id:
		m.leads = ballot
	case m.leads.IsZero():
	case ballot != m.leads:
		m.w.reach(leaderDeposed)
		m.leads = paxos.Ballot{}
	default:
		if m.stalled > m.w.now-int64(m.w.cfg.HeartbeatTicks)*tickMicros {
			m.w.reach(resignedOnStall)
		} else {
			m.w.reach(resignedUnheard)
		}
		m.leads = paxos.Ballot{}
	}
}

// fails ends a member whose disk has failed, as a node ends.
func (m *member) fails(err error) {
	if !errors.Is(err, errInjected) && !errors.Is(err, syscall.ENOSPC) {
		m.w.violate("the disk's errors are the only ones", "member %d: %v", m.id, err)
	}
	m.w.reach(failedStop)
	m.ledger.writing = m.writing
	m.end()
	m.disk.kill()
}

// kill ends the process. What it has written is still in the machine's memory.
func (m *member) kill(r *rand.Rand) {
	m.interrupt(r)
	m.end()
	m.disk.kill()
}

// powerFails ends the process and loses what was not synced, or some of it.
func (m *member) powerFails(r *rand.Rand) {
	m.interrupt(r)
	m.end()
	torn := m.disk.powerCut(r)
	m.w.faults[tornSectors] += int64(torn)
	if torn > 0 {
		m.w.reach(tailTorn)
	}
}

// interrupt lets a write that is under way come as far as some disk operation.
func (m *member) interrupt(r *rand.Rand) {
	if len(m.writing) == 0 || m.disk.dark() || r.IntN(4) == 0 {
		return
	}
	m.w.reach(crashWhileWriting)
	m.disk.cutAfter = m.disk.ops + 1 + r.IntN(8)
	if oneIn(r, 4) {
		m.disk.cutAfter += r.IntN(16)
	}
	if _, err := m.log.Append(m.writing); err != nil {
		m.w.violate("the disk's errors are the only ones", "member %d: %v", m.id, err)
	}
	m.ledger.writing = m.writing
	_ = m.log.Sync() // whatever it says, nobody hears it any more
}

// stop ends the process cleanly.
func (m *member) stop() {
	err := m.log.Close()
	m.end()
	m.disk.kill()
	if err != nil && !errors.Is(err, errInjected) && !errors.Is(err, syscall.ENOSPC) {
		m.w.violate("the disk's errors are the only ones", "member %d: %v", m.id, err)
	}
}

// end forgets everything that was in the process.
func (m *member) end() {
	m.life++
	m.replica, m.log = nil, nil
	m.queue, m.writing, m.chosen, m.fetches, m.unsent = nil, nil, nil, nil, nil
	for _, wr := range m.writes {
		wr.forsaken = true
	}
	m.writes, m.retries, m.reads = nil, nil, nil
	m.idle, m.applying, m.fetching, m.amid = false, false, false, false
	m.paused, m.leads, m.probing, m.skipped = 0, paxos.Ballot{}, 0, 0
	for peer := range m.w.members {
		m.w.network.breakLink(m.index, peer)
	}
}
