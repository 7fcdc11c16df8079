package paxos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// stage is a cluster in which nothing happens by itself: a test says which link delivers, whose disk syncs and whose time passes. It writes down every
// effect, one line each.
type stage struct {
	t      *testing.T
	cfg    Config // of every actor, but for who it is
	actors []*actor
	net    []letter // sent and not yet delivered, in the order of sending
	cut    map[link]bool
	chosen map[Slot]string
	names  map[uint64]string // proposal → command

	out        strings.Builder
	heartbeats bool // write them down, too
}

// actor is a member with its disk and its machine.
type actor struct {
	id      NodeID
	boot    uint32
	up      bool
	stalled bool // the disk: nothing syncs
	r       *Replica
	fx      Effects
	log     []*Record // log[i] has LSN i+1
	durable int
	applied Slot
	rotten  map[LSN]bool // votes that the disk has lost
	known   []*Configuration
	trimmed Slot // of the log; the machine has kept everything up to here
}

type letter struct {
	link
	m *Message
}

type link struct{ from, to NodeID }

func (l link) String() string { return fmt.Sprintf("%d -> %d", l.from, l.to) }

// newStage raises n actors, the first of which are the founders.
func newStage(t *testing.T, cfg Config, n int) *stage {
	s := &stage{t: t, cfg: cfg, cut: map[link]bool{}, chosen: map[Slot]string{}, names: map[uint64]string{}}
	for i := range n {
		a := &actor{id: NodeID(i + 1), rotten: map[LSN]bool{}}
		s.actors = append(s.actors, a)
		s.start(a)
	}
	return s
}

func (s *stage) actor(id NodeID) *actor { return s.actors[id-1] }

// start boots a member from what its disk has kept. Its machine keeps what the log has trimmed, and applies the rest anew.
func (s *stage) start(a *actor) {
	a.boot++
	a.up, a.applied = true, a.trimmed
	cfg := s.cfg
	cfg.Self, cfg.Incarnation, cfg.Boot, cfg.Seed = a.id, incarnationOf(a.id), a.boot, uint64(a.id)
	stable := Stable{Applied: a.trimmed, Last: LSN(len(a.log)), Configurations: a.known}
	for _, rec := range a.log {
		stable.Promised = maxBallot(stable.Promised, rec.Ballot)
	}
	r, err := New(cfg, stable)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, rec := range a.log {
		if a.rotten[LSN(i+1)] {
			r.RestoreUnknown(rec.Slot, rec.Ballot)
		}
	}
	for i, rec := range a.log {
		if !a.rotten[LSN(i+1)] && (rec.Slot == 0 || rec.Slot > a.trimmed) {
			r.Restore(LSN(i+1), rec)
		}
	}
	a.r, a.known = r, r.Configurations()
	for slot := a.trimmed + 1; slot <= r.Delivered(); slot++ {
		s.apply(a, lastRecord(a.log, slot))
	}
}

// crash loses what was not synced.
func (s *stage) crash(a *actor) {
	a.up = false
	a.log = slices.Clip(a.log[:a.durable])
}

// step gives an actor one event and writes down what comes of it.
func (s *stage) step(a *actor, ev Event) {
	a.fx.Reset()
	a.r.Step(ev, &a.fx)
	for _, rec := range a.fx.Records {
		a.log = append(a.log, rec)
		s.note(a, "log", rec.Kind.String(), "lsn %d, %s", len(a.log), describeRecord(rec))
	}
	for _, rc := range a.fx.Reconfigured {
		a.known = a.r.Configurations()
		if rc.Next == nil {
			s.note(a, "passes", fmt.Sprintf("slot %d", rc.Slot), "the change is superseded")
		} else {
			s.note(a, "passes", fmt.Sprintf("slot %d", rc.Slot), "members %s in epoch %d from slot %d on", membersText(rc.Next.Members), rc.Next.Epoch, rc.Next.First)
		}
	}
	if a.fx.Removed {
		s.note(a, "removed", "", "epoch %d is in force", a.r.Status().Epoch)
	}
	for _, rec := range a.fx.Chosen {
		s.apply(a, rec)
	}
	for _, out := range a.fx.Messages {
		s.transmit(letter{link{a.id, out.To}, out.Message})
	}
	for _, rj := range a.fx.Rejected {
		s.note(a, "rejects", quoted(s.names[rj.ID]), "%s", describeReason(rj.Reason))
	}
	for _, rr := range a.fx.Reads {
		s.note(a, "read", fmt.Sprint(rr.Read), "once slot %d is applied", rr.Slot)
	}
	for _, f := range slices.Clone(a.fx.Fetches) {
		s.note(a, "fetch", "", "slots %d to %d for node %d", f.Slot, f.Upto, f.Peer)
		if f.Slot <= a.trimmed {
			s.step(a, Event{Kind: Fetched, Peer: f.Peer, Slot: a.trimmed})
		} else {
			s.step(a, Event{Kind: Fetched, Peer: f.Peer, Records: fetch(a.log, f)})
		}
	}
	for _, tr := range a.fx.Transfers {
		s.note(a, "wants", "snapshot", "of node %d", tr.Peer)
	}
}

// fetch is what a log answers to a Fetch.
func fetch(log []*Record, f Fetch) (records []*Record) {
	for size, slot := 0, f.Slot; slot <= f.Upto; slot++ {
		rec := lastRecord(log, slot)
		if rec == nil {
			break
		}
		if size += rec.Size(); size > f.Bytes && len(records) > 0 {
			break
		}
		records = append(records, rec)
	}
	return records
}

// install gives an actor the machine of another.
func (s *stage) install(a, from *actor) {
	a.applied, a.trimmed = from.applied, from.applied
	s.note(a, "installs", fmt.Sprintf("slot %d", a.applied), "from node %d", from.id)
	s.step(a, Event{Kind: Installed, Slot: a.applied, Configurations: from.r.Configurations()})
	s.idle(a)
}

func (s *stage) apply(a *actor, rec *Record) {
	if rec == nil || rec.Slot != a.applied+1 {
		s.t.Fatalf("node %d applies %+v after slot %d", a.id, rec, a.applied)
	}
	a.applied = rec.Slot
	value := text(rec.Value)
	if was, ok := s.chosen[rec.Slot]; ok && was != value {
		s.t.Fatalf("slot %d: node %d applies %q, another has applied %q", rec.Slot, a.id, value, was)
	}
	s.chosen[rec.Slot] = value
	s.note(a, "applies", fmt.Sprintf("slot %d", rec.Slot), "%s", quoted(value))
}

func (s *stage) transmit(l letter) {
	lost := ""
	if s.cut[l.link] {
		lost = "   (lost)"
	} else {
		s.net = append(s.net, l)
	}
	if s.heartbeats || !isHeartbeat(l.m) {
		s.line(l.link.String(), l.m.Kind.String(), describe(l.m)+lost)
	}
}

func isHeartbeat(m *Message) bool { return m.Kind == Heartbeat || m.Kind == HeartbeatReply }

// deliver hands over the messages that match, in order, and reports whether there was one.
func (s *stage) deliver(match func(letter) bool) bool {
	var now []letter
	s.net = slices.DeleteFunc(s.net, func(l letter) bool {
		if match(l) {
			now = append(now, l)
			return true
		}
		return false
	})
	for _, l := range now {
		if to := s.actor(l.to); to.up {
			s.step(to, Event{Kind: Received, From: l.from, Incarnation: incarnationOf(l.from), Message: l.m})
			s.idle(to)
		}
	}
	return len(now) > 0
}

func (s *stage) idle(a *actor) { s.step(a, Event{Kind: Idle}) }

func (s *stage) tick(a *actor) {
	s.step(a, Event{Kind: Tick})
	s.idle(a)
}

// sync makes an actor's log durable and reports whether anything was not.
func (s *stage) sync(a *actor) bool {
	if !a.up || a.durable == len(a.log) {
		return false
	}
	a.durable = len(a.log)
	s.note(a, "syncs", "", "lsn %d", a.durable)
	s.step(a, Event{Kind: Durable, LSN: LSN(a.durable)})
	s.idle(a)
	return true
}

// stabilize delivers and syncs until nothing is left to be done without the passing of time.
func (s *stage) stabilize() {
	for busy := true; busy; {
		busy = s.deliver(func(letter) bool { return true })
		for _, a := range s.actors {
			if !a.stalled && s.sync(a) {
				busy = true
			}
		}
	}
}

// run lets time pass for everybody.
func (s *stage) run(ticks int) {
	for range ticks {
		for _, a := range s.actors {
			if a.up {
				s.tick(a)
			}
		}
		s.stabilize()
	}
}

// campaign delivers heartbeats alone, and lets time pass at one actor, and at the followers of another that they may lose faith in him, until that one runs for leader.
func (s *stage) campaign(a *actor) {
	followers := slices.DeleteFunc(slices.Clone(s.actors), func(o *actor) bool {
		return o == a || !o.up || o.r.Status().Leader == 0 || o.r.Status().Leads
	})
	for range 40 {
		for _, o := range followers {
			s.tick(o)
		}
		s.tick(a)
		if a.r.Status().Leader == a.id {
			return
		}
		for s.deliver(func(l letter) bool { return isHeartbeat(l.m) }) {
		}
	}
	s.t.Fatalf("node %d does not run for leader within 40 heartbeats", a.id)
}

func (s *stage) pending(match func(letter) bool) bool { return slices.ContainsFunc(s.net, match) }

func (s *stage) note(a *actor, what, object, format string, args ...any) {
	s.line(fmt.Sprintf("%d %s", a.id, what), object, fmt.Sprintf(format, args...))
}

// line writes one event: who does what, to what, and how.
func (s *stage) line(who, what, how string) {
	s.out.WriteString(strings.TrimRight(fmt.Sprintf("%-10s %-13s %s", who, what, how), " "))
	s.out.WriteByte('\n')
}
