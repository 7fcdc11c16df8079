package sim

import (
	"fmt"
	"io"
	"math/rand/v2"

	"synod.dev/synod/paxos"
)

// world is one run.
type world struct {
	seed   uint64
	cfg    Config
	config *paxos.Configuration
	now    int64 // microseconds
	queue  queue
	events int64
	hash   uint64

	members    []*member
	network    *network
	history    *history
	membership *membership
	workload   *workload
	nemesis    *nemesis

	actions   []Action // done, or to be done
	replaying bool     // actions are given: nothing is drawn
	calm      bool     // the surroundings do nothing bad any more
	core      uint64   // then: members that must get everything done, by bit

	faults    [faults]int64
	probes    [probes]int64
	violation *Violation
	trace     *trace
	extra     func(*world)
}

// Violation is a rule that does not hold, or a panic of what is under test.
type Violation struct {
	Rule   string
	Detail string
	Event  int64 // how many events had happened
	At     int64 // microseconds of simulated time
}

func (v *Violation) Error() string {
	return fmt.Sprintf("sim: %s: %s (event %d, %d µs)", v.Rule, v.Detail, v.Event, v.At)
}

// calmDelay is what a message and a write take when nothing is wrong.
const calmDelay = 100

func newWorld(seed uint64, cfg Config, to io.Writer) (*world, error) {
	w := &world{seed: seed, cfg: cfg, hash: splitmix(seed)}
	var err error
	if w.config, err = cfg.founders(); err != nil {
		return nil, err
	}
	w.trace = newTrace(w, to)
	w.membership = newMembership(w)
	w.history, w.network, w.workload = newHistory(w), newNetwork(w), newWorkload(w)
	w.nemesis = newNemesis(w)
	for i := range cfg.nodes() {
		w.members = append(w.members, newMember(w, i))
	}
	return w, nil
}

// begin boots everybody. Nothing goes wrong before the cluster is founded.
func (w *world) begin(actions []Action) {
	for _, m := range w.members {
		m.start(0)
	}
	if actions != nil {
		w.actions, w.replaying = actions, true
		for i, a := range actions {
			w.queue.push(event{at: a.At, kind: evAct, arg: int32(i)})
		}
		return
	}
	w.queue.push(event{at: w.nemesis.wait(), kind: evDraw, arg: drawFault})
	w.queue.push(event{at: w.workload.wait(), kind: evDraw, arg: drawRequest})
}

const (
	drawFault   = 0
	drawRequest = 1
)

// run lets events happen until there have been so many, or a rule is broken. A panic of what is under test breaks one.
func (w *world) run(events int64) {
	defer w.catch()
	for w.events < events && w.violation == nil && len(w.queue.events) > 0 {
		w.happen(w.queue.pop())
		if w.extra != nil {
			w.extra(w)
		}
	}
}

func (w *world) catch() {
	switch r := recover().(type) {
	case nil:
	case paxos.ViolationError:
		w.violate("the replica's own invariants", "%v", r)
	case error:
		w.violate("no panic", "%v", r)
	default:
		w.violate("no panic", "%v", r)
	}
}

// violate notes that a rule is broken. Only the first counts; the run ends with the event.
func (w *world) violate(rule, format string, args ...any) {
	if w.violation == nil {
		w.violation = &Violation{Rule: rule, Detail: fmt.Sprintf(format, args...), Event: w.events, At: w.now}
		w.trace.violation()
	}
}

// happen lets one event happen.
func (w *world) happen(e event) {
	w.now = max(w.now, e.at)
	m := w.members[e.member]
	switch {
	case e.kind == evDraw:
		w.draw(e)
		return
	case e.kind == evAct:
		w.perform(w.actions[e.arg])
		return
	case e.kind != evDeliver && (e.life != m.life || !m.up()):
		return
	case m.up() && m.paused > w.now:
		e.at = m.paused
		w.queue.push(e)
		return
	case e.kind == evSynced && m.stalled > w.now:
		e.at = m.stalled
		w.queue.push(e)
		return
	}
	w.count(uint64(e.kind)<<8 | uint64(e.member))
	w.happenTo(m, e)
}

func (w *world) happenTo(m *member, e event) {
	switch e.kind {
	case evDeliver:
		p := w.network.take(e.arg)
		w.deliver(m, &p)
	case evTick:
		w.trace.event(m, '.', "tick")
		m.onTick()
	case evSynced:
		w.trace.event(m, 'd', "synced %d records", len(m.writing))
		m.onSynced()
	case evIdle:
		m.onIdle()
	case evApply:
		m.onApply()
	case evFetch:
		m.onFetch()
	case evInstall:
		m.onSnapshot(w.members[e.arg])
	case evBroken:
		w.trace.event(m, '/', "connection with %d broken", e.arg+1)
		m.step(paxos.Event{Kind: paxos.Disconnected, Peer: paxos.NodeID(e.arg + 1)})
	case evConnected:
		if w.members[e.arg].up() {
			w.trace.event(m, '/', "connected with %d", e.arg+1)
			m.step(paxos.Event{Kind: paxos.Connected, Peer: paxos.NodeID(e.arg + 1)})
		}
	}
}

// count makes an event part of the run's hash.
func (w *world) count(what uint64) {
	w.events++
	w.hash = splitmix(w.hash ^ what ^ uint64(w.now)<<16)
}

// draw lets a generator draw the next action, and does it.
func (w *world) draw(e event) {
	if w.calm {
		return
	}
	var a Action
	if e.arg == drawFault {
		a = w.nemesis.draw()
		e.at = w.now + w.nemesis.wait()
	} else {
		a = w.workload.draw()
		e.at = w.now + w.workload.wait()
	}
	w.queue.push(e)
	w.actions = append(w.actions, a)
	w.perform(a)
}

// perform does an action of the schedule.
func (w *world) perform(a Action) {
	if w.calm {
		return
	}
	w.count(uint64(a.Kind)<<16 | uint64(a.Member))
	w.trace.action(a)
	w.act(a)
}

// deliver gives a packet to the replica that it is for.
func (w *world) deliver(m *member, p *packet) {
	if !m.up() {
		return
	}
	msg := w.network.arrive(p)
	if msg == nil {
		return
	}
	if p.boot != w.members[p.from].boot {
		w.reach(earlierBootReplayed)
	}
	if msg.Kind == paxos.Forward && msg.Ballot.Node == m.id && msg.Ballot.Boot != m.boot {
		w.reach(forwardToEarlierBoot)
	}
	w.trace.message(m, p, msg)
	if w.cfg.Spares == 0 && !m.wiped && p.incarnation != w.config.Members[p.from].Incarnation && !isFact(msg) {
		m.ignore(p, msg)
		return
	}
	m.step(paxos.Event{Kind: paxos.Received, From: paxos.NodeID(p.from + 1), Incarnation: p.incarnation, Message: msg})
}

// leader returns the index of a member that leads, that of the highest ballot if several think so, or -1.
func (w *world) leader() int {
	leader, highest := -1, paxos.Ballot{}
	for i, m := range w.members {
		if !m.serves() {
			continue
		}
		if id, ballot := m.replica.Leader(); id == m.id && !ballot.Less(highest) {
			leader, highest = i, ballot
		}
	}
	return leader
}

// down returns how many members are down and may start.
func (w *world) down() (n int) {
	for _, m := range w.members {
		if m.mayStart() {
			n++
		}
	}
	return n
}

// frail returns the index of the nth member that may lose data for good: the last acceptors are.
func (w *world) frail(n int) int {
	for i := len(w.members) - 1; i >= 0; i-- {
		if w.cfg.Roles[i]&paxos.Acceptor != 0 {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return 0
}

func (w *world) isFrail(m *member) bool {
	for n := range w.cfg.Frail {
		if w.frail(n) == m.index {
			return true
		}
	}
	return false
}

// savedByAll returns the highest slot that every machine has saved.
func (w *world) savedByAll() paxos.Slot {
	least := paxos.Slot(slotsMost)
	for _, m := range w.members {
		if !m.dead && !m.wiped && !m.newcomer && !m.bare {
			least = min(least, m.saved.applied)
		}
	}
	return least
}

// drawPeriod returns how long a member's ticks take.
func (w *world) drawPeriod(r *rand.Rand) int64 {
	if w.calm {
		return tickMicros
	}
	most := int64(w.cfg.SkewMost)
	return tickMicros - most + r.Int64N(2*most+1)
}
