package sim

import (
	"math/bits"
	"math/rand/v2"

	"synod.dev/synod/paxos"
)

// The end of a run asks for progress: "after some time, if some proposer reaches a quorum of working acceptors, whatever their clients ask for gets done". A random part of the
// cluster that is enough is healed and everything else cut off for good, as it is; then that core must answer every read that waits there, and a write and a read of each member, and agree on what is applied.

// stillMost is how long nothing may move in the core, in suspicion times, before the run counts as stuck.
const stillMost = 60

// finish plays the end of the run.
func (w *world) finish() {
	w.heal(derive(w.seed, "core", 0))
	f := finish{w: w, writes: make([]*write, len(w.members)), read: make([]bool, len(w.members))}
	moved, still := f.progress(), w.now
	limit := w.events + 20*int64(stepsDefault)
	for !f.done() && w.violation == nil {
		w.runUntil(w.now + int64(w.cfg.HeartbeatTicks)*tickMicros)
		w.admit()
		f.ask()
		if p := f.progress(); p != moved {
			moved, still = p, w.now
		}
		if w.now-still > stillMost*int64(w.cfg.SuspectTicks)*tickMicros || w.events > limit {
			w.violate("a core that can work gets everything done", "members %b are stuck: %s", w.core, f.stuck())
		}
	}
}

// runUntil lets events happen up to a time.
func (w *world) runUntil(t int64) {
	for len(w.queue.events) > 0 && w.queue.events[0].at <= t && w.violation == nil {
		w.happen(w.queue.pop())
	}
	w.now = max(w.now, t)
}

// heal chooses the core, heals all in it and freezes the rest.
func (w *world) heal(r *rand.Rand) {
	w.calm = true
	w.core = w.drawCore(r)
	for from := range w.members {
		for to := range w.members {
			l := w.network.link(from, to)
			l.cut = !w.inCore(from) || !w.inCore(to)
			l.clogged = 0
		}
	}
	for i, m := range w.members {
		if !w.inCore(i) {
			continue
		}
		m.paused, m.stalled, m.amid, m.period = 0, 0, false, tickMicros
		m.disk.full, m.disk.failAfter = false, 0
		if m.mayStart() {
			m.start(0)
		}
	}
}

func (w *world) inCore(i int) bool { return w.core>>i&1 == 1 }

// admit starts those of the core who have new disks and have to be told first that they are members.
func (w *world) admit() {
	for i, m := range w.members {
		if w.inCore(i) && m.mayStart() && (m.newcomer || m.replaced()) {
			m.start(0)
		}
	}
}

// serves reports whether a member has to get everything done in the end: those of the core do, as far as they are in the latest configuration.
func (w *world) mustServe(i int) bool {
	return w.inCore(i) && (w.cfg.Spares == 0 || w.membership.isMember(w.members[i]))
}

// drawCore chooses members that are enough for both quorums and for somebody to lead; where there is a witness, all but as many as may be lost. Of those that were not to lose anything, all are in it if others have lost something: the
// votes of the core may be the only ones left.
func (w *world) drawCore(r *rand.Rand) (core uint64) {
	if w.cfg.Spares > 0 {
		return w.membership.drawCore(r)
	}
	need := max(w.cfg.quorums())
	all := false
	for _, m := range w.members {
		all = all || m.disk.damaged || m.wiped
	}
	for i, m := range w.members {
		if !m.dead && !m.wiped && (!all || !m.disk.damaged) {
			core |= 1 << i
		}
	}
	if all {
		return core
	}
	for _, i := range r.Perm(len(w.members)) {
		if less := core &^ (1 << i); w.enough(less, need) && r.IntN(2) == 0 {
			core = less
		}
	}
	return core
}

func (w *world) enough(set uint64, acceptors int) bool {
	var acceptorsOf, leadersOf uint64
	for i, role := range w.cfg.Roles {
		if role&paxos.Acceptor != 0 {
			acceptorsOf |= 1 << i
		}
		if role.MayLead() {
			leadersOf |= 1 << i
		}
	}
	if hasWitness(w.config) && len(w.members)-bits.OnesCount64(set) > mayBeLost(w.config) {
		return false
	}
	return bits.OnesCount64(set&acceptorsOf) >= acceptors && set&leadersOf != 0
}

// finish is what is asked of the core.
type finish struct {
	w      *world
	writes []*write // by member; those that have been answered have a place
	read   []bool
}

// ask lets each member's client make its requests, and another write if the last one's outcome will never be known.
func (f *finish) ask() {
	for i, m := range f.w.members {
		if !f.w.mustServe(i) || !m.up() {
			continue
		}
		if wr := f.writes[i]; wr == nil || wr.at == 0 && wr.forsaken {
			f.writes[i] = f.w.workload.write(m, uint64(i)<<32|uint64(f.w.now))
		}
		if !f.read[i] && !m.bare && m.up() {
			f.read[i] = f.w.workload.read(m)
		}
	}
}

func (f *finish) done() bool {
	var applied paxos.Slot
	for i, m := range f.w.members {
		if !f.w.mustServe(i) {
			continue
		}
		if !m.up() || f.writes[i] == nil || f.writes[i].at == 0 {
			return false
		}
		if m.bare {
			continue
		}
		if !f.read[i] || len(m.reads) > 0 {
			return false
		}
		if applied == 0 {
			applied = m.machine.applied
		}
		if m.machine.applied != applied {
			return false
		}
	}
	return true
}

// progress is a number that grows while anything of what is asked for gets done.
func (f *finish) progress() (p int64) {
	for i, m := range f.w.members {
		if f.w.inCore(i) {
			p += int64(m.machine.applied)
		}
	}
	return p + f.w.workload.acked + f.w.workload.served
}

// stuck says of each member of the core how far it is.
func (f *finish) stuck() (s string) {
	for i, m := range f.w.members {
		if f.w.inCore(i) && m.up() {
			s += m.describe() + "; "
		}
	}
	return s
}
