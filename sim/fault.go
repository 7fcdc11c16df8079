package sim

import "synod.dev/synod/paxos"

// fault counts what has been injected: actions by their Kind, then what the surroundings do by themselves.
type fault uint8

const (
	lost fault = fault(kinds) + iota
	duplicated
	delayed
	corrupted
	cut
	cutOff
	unsent
	tornSectors
	faults
)

func (f fault) String() string {
	if f < fault(kinds) {
		return Kind(f).String()
	}
	return [...]string{"message-lost", "message-repeated", "message-late", "frame-damaged", "message-cut", "message-cut-off", "forward-unsent", "sector-torn"}[f-fault(kinds)]
}

// act does an action, if it can be done now.
func (w *world) act(a Action) {
	m := w.members[a.Member]
	done := false
	switch a.Kind {
	case Write:
		done = w.workload.write(m, a.Draw) != nil
	case Read:
		done = w.workload.read(m)
	case Call:
		done = w.workload.call(m, a.Draw)
	case Start, CrashBoot, Wipe, Lose:
		done = w.actOnDisk(m, a)
	case Crash, CrashAmid, Kill, Stop, Pause, FailIO, FillDisk, Stall, Skew, Leap, Campaign, Change:
		done = m.up() && w.actOnProcess(m, a)
	case Blackout:
		for _, m := range w.members {
			if m.up() {
				m.powerFails(m.rand)
			}
		}
		done = true
	case Partition, Break, Clog, Replay:
		done = w.actOnNetwork(m, a)
	case Rot, RotVital, WreckVital:
		done = w.actOnRest(m, a)
	}
	if done {
		w.faults[a.Kind]++
	}
}

func (w *world) actOnProcess(m *member, a Action) bool {
	r := m.drawn(a)
	switch a.Kind {
	case Crash:
		m.powerFails(r)
	case CrashAmid:
		m.amid = true
	case Kill:
		m.kill(r)
	case Stop:
		m.stop()
	case Pause:
		m.paused = w.now + int64(a.Arg)
	case FailIO:
		m.disk.failAfter, m.disk.failWith = m.disk.ops+int(a.Arg), errInjected
	case FillDisk:
		m.disk.full = true
	case Stall:
		m.stalled = w.now + int64(a.Arg)
	case Skew:
		m.period = int64(a.Arg)
	case Campaign:
		if m.bare {
			return false // it could lead, and nobody lets it: it has not what was chosen
		}
		m.step(paxos.Event{Kind: paxos.Campaign})
	case Change:
		return w.membership.ask(m, r)
	case Leap:
		for range a.Arg {
			if m.up() {
				m.tick()
			}
		}
	}
	return true
}

func (w *world) actOnDisk(m *member, a Action) bool {
	switch a.Kind {
	case Wipe:
		if m.dead || !w.isFrail(m) {
			return false
		}
		if m.up() {
			m.powerFails(m.drawn(a))
		}
		m.wipe()
	case Lose:
		return m.lose(m.drawn(a))
	case CrashBoot:
		if !m.mayStart() {
			return false
		}
		m.start(int(a.Arg))
	default:
		if !m.mayStart() {
			return false
		}
		m.start(0)
	}
	return true
}

func (w *world) actOnNetwork(m *member, a Action) bool {
	switch a.Kind {
	case Partition:
		w.network.partition(a.Arg)
	case Break:
		w.network.breakLink(m.index, int(a.Arg)%len(w.members))
	case Clog:
		for to := range w.members {
			w.network.link(m.index, to).clogged = w.now + int64(a.Arg)
		}
	case Replay:
		w.network.replay(int(a.Arg), m.drawn(a))
	}
	return true
}

// actOnRest damages what lies on a disk; that of a frail member, unless the other copies of the vital state stay.
func (w *world) actOnRest(m *member, a Action) bool {
	r := m.drawn(a)
	switch {
	case a.Kind == RotVital:
		return m.disk.rotVital(r)
	case !w.isFrail(m) || m.wiped:
		return false
	case a.Kind == WreckVital:
		if m.up() {
			m.powerFails(r)
		}
		return m.disk.wreckVital(r)
	}
	return m.disk.rotSegment(r)
}
