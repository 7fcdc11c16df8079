package modelcheck

import (
	"bytes"
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// Safety holds of a cluster that does nothing. So from some of the states nothing fails any more, and time passes: messages arrive in the order in which they were sent, disks sync, every member's clock
// ticks in turn; what was under way is lost, or delivered first, oldest first. Then somebody must be elected, and a command that each proposer is given, as a client would go on asking, must be chosen and delivered
// everywhere, that is at every member of the latest configuration, within roundsMax ticks. Of a node's disks the last one to come is left.

// roundsMax is more than three times what any state of any world takes (Result.Rounds).
const roundsMax = 32

// fair is a cluster in which nothing fails.
type fair struct {
	m         *model
	nodes     []*fairNode
	queue     []packet // in the order in which they were sent
	transfers int
	named     []*item // invitations that are yet to be followed
}

type fairNode struct {
	replica *paxos.Replica  // nil: it does not come, or has been replaced
	log     []*paxos.Record // for peers that ask
	trimmed paxos.Slot
	asked   uint64 // how often it was given the command
	knows   bool   // the command was delivered
}

type packet struct {
	from, to int
	message  *paxos.Message
}

// wanted is the command that is to be chosen. No member of a world proposes it.
var wanted = []byte("0wanted")

// decides lets a state's cluster go on without faults, with what is under way or without it, and returns after how many ticks the command is delivered everywhere; 0 if it is not.
func (x *explorer) decides(s *state, lost bool) (rounds int) {
	f := x.fair(s)
	if lost {
		f.queue = nil
	}
	for rounds = 1; rounds <= roundsMax; rounds++ {
		for i, n := range f.nodes {
			if n.replica == nil {
				continue
			}
			f.step(i, paxos.Event{Kind: paxos.Tick})
			if !n.knows && n.replica.KnowsWay() {
				n.asked++
				f.step(i, paxos.Event{Kind: paxos.Propose, Proposal: paxos.Proposal{Source: 1, ID: 1<<32 + n.asked, Data: wanted}})
			}
		}
		if f.drain(); f.done() {
			x.result.Transfers += f.transfers
			return rounds
		}
	}
	return 0
}

// fair makes the cluster of a state: the disks sync, and what was sent is under way.
func (x *explorer) fair(s *state) *fair {
	f := &fair{m: &x.model}
	for i, m := range x.world.members {
		n := &fairNode{}
		f.nodes = append(f.nodes, n)
		l := x.locals[s.locals[i]]
		if l.replica == nil {
			continue
		}
		n.replica, n.log, n.trimmed = l.replica.Clone(), slices.Clone(l.log), l.trimmed
		if m.instead > 0 {
			f.nodes[m.instead-1].replica = nil
		}
	}
	for i := range x.items {
		switch it := &x.items[i]; {
		case !s.items.has(uint32(i)):
		case it.message != nil:
			f.queue = append(f.queue, packet{it.from, it.to, it.message})
		case it.invitation != nil:
			f.named = append(f.named, it)
		}
	}
	for i, n := range f.nodes {
		if n.replica != nil {
			f.stepOnce(i, paxos.Event{Kind: paxos.Durable, LSN: n.replica.Status().Appended})
		}
	}
	return f
}

// step gives a member an event, and its disk and its batches the time that they need.
func (f *fair) step(i int, ev paxos.Event) {
	f.stepOnce(i, ev)
	f.stepOnce(i, paxos.Event{Kind: paxos.Idle})
	for st := f.nodes[i].replica.Status(); st.Durable < st.Appended; st = f.nodes[i].replica.Status() {
		f.stepOnce(i, paxos.Event{Kind: paxos.Durable, LSN: st.Appended})
		f.stepOnce(i, paxos.Event{Kind: paxos.Idle})
	}
}

func (f *fair) stepOnce(i int, ev paxos.Event) {
	var fx paxos.Effects
	n := f.nodes[i]
	n.replica.Step(ev, &fx)
	n.log = append(n.log, fx.Records...)
	for _, out := range fx.Messages {
		for _, to := range f.m.world.nodes(out.To) {
			f.queue = append(f.queue, packet{i, to, out.Message})
		}
	}
	for _, rc := range fx.Reconfigured {
		for _, it := range f.m.invitations(rc, n.replica.Configurations()) {
			f.named = append(f.named, &f.m.items[it])
		}
	}
	for _, rec := range fx.Chosen {
		err := rec.Value.Commands(func(command []byte) { n.knows = n.knows || bytes.Equal(command, wanted) })
		if err != nil {
			panic(err)
		}
	}
	for _, fetch := range fx.Fetches {
		f.step(i, n.fetched(fetch))
	}
	for _, transfer := range fx.Transfers {
		for _, from := range f.m.world.nodes(transfer.Peer) {
			f.install(i, f.nodes[from])
		}
	}
}

// fetched reads the log.
func (n *fairNode) fetched(fetch paxos.Fetch) paxos.Event {
	ev := paxos.Event{Kind: paxos.Fetched, Peer: fetch.Peer}
	if fetch.Slot <= n.trimmed {
		ev.Slot = n.trimmed
		return ev
	}
	for slot := fetch.Slot; slot <= fetch.Upto; slot++ {
		ev.Records = append(ev.Records, lastRecord(n.log, slot))
	}
	return ev
}

// install lets a member take over what another one has.
func (f *fair) install(i int, from *fairNode) {
	n := f.nodes[i]
	if from.replica == nil {
		return
	}
	if slot := from.replica.Delivered(); slot > n.replica.Delivered() {
		f.transfers++
		n.trimmed, n.knows = slot, n.knows || from.knows
		f.step(i, paxos.Event{Kind: paxos.Installed, Slot: slot, Configurations: from.replica.Configurations()})
	}
}

// come lets those who have been named come, and ends those whom they replace.
func (f *fair) come() {
	for _, it := range f.named {
		n := f.nodes[it.to]
		if n.replica != nil {
			continue
		}
		l := &local{node: it.to, known: it.invitation}
		f.m.boot(l)
		n.replica = l.replica
		f.nodes[f.m.world.members[it.to].instead-1].replica = nil
	}
	f.named = nil
}

// drain delivers messages until none is under way.
func (f *fair) drain() {
	for f.come(); len(f.queue) > 0; f.come() {
		p := f.queue[0]
		f.queue = f.queue[1:]
		if f.nodes[p.to].replica != nil && p.to != p.from {
			f.step(p.to, paxos.Event{Kind: paxos.Received, From: f.m.world.nodeID(p.from), Incarnation: incarnation(p.from), Message: p.message})
		}
	}
}

// done reports whether the members of the latest configuration know the command.
func (f *fair) done() bool {
	var latest *paxos.Configuration
	for _, n := range f.nodes {
		if n.replica == nil {
			continue
		}
		known := n.replica.Configurations()
		if l := known[len(known)-1]; latest == nil || latest.Epoch < l.Epoch {
			latest = l
		}
	}
	for _, m := range latest.Members {
		if n := f.nodes[f.m.world.member(m)]; n.replica != nil && !n.knows {
			return false
		}
	}
	return true
}

// lively checks every Live-th of the states that the last level has found. It reports false if one of them gets nowhere.
func (x *explorer) lively() bool {
	base := len(x.steps) - x.next.count
	for i := range x.next.count {
		if x.opt.Live == 0 || (base+i)%x.opt.Live != 0 {
			continue
		}
		s := x.next.get(i)
		rounds := x.decides(&s, (base+i)/x.opt.Live%2 == 1) // every other time
		if rounds == 0 {
			x.result.Counterexample = &Counterexample{World: x.world.Name, Rule: "liveness: where nothing fails any more, what is proposed is chosen",
				What: fmt.Sprintf("after this nothing fails, and %d ticks later a command is not yet delivered everywhere", roundsMax), Trace: x.story(x.path(uint32(base + i)))}
			return false
		}
		x.result.Lively++
		x.result.Rounds = max(x.result.Rounds, rounds)
	}
	return true
}
