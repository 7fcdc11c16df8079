package modelcheck

import (
	"bytes"
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// Safety holds of a cluster that does nothing. So from some of the states nothing fails any more, and time passes: messages arrive in the order in which they were sent, disks sync, every member's clock
// ticks in turn; what was under way is lost, or delivered first, oldest first. Then somebody must be elected, and a command that each proposer is given, as a client would go on asking, must be chosen and delivered
// everywhere, within roundsMax ticks.

// roundsMax is more than three times what any state of any world takes (Result.Rounds).
const roundsMax = 32

// fair is a cluster in which nothing fails.
type fair struct {
	nodes     []*fairNode
	queue     []packet // in the order in which they were sent
	transfers int
}

type fairNode struct {
	replica *paxos.Replica
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
	f := &fair{}
	for i := range x.world.members {
		l := x.locals[s.locals[i]]
		f.nodes = append(f.nodes, &fairNode{replica: l.replica.Clone(), log: slices.Clone(l.log), trimmed: l.trimmed})
	}
	for i := range x.items {
		if it := &x.items[i]; it.message != nil && s.items.has(uint32(i)) {
			f.queue = append(f.queue, packet{it.from, it.to, it.message})
		}
	}
	for i, n := range f.nodes {
		f.stepOnce(i, paxos.Event{Kind: paxos.Durable, LSN: n.replica.Status().Appended})
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
		f.queue = append(f.queue, packet{i, index(out.To), out.Message})
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
		f.install(i, f.nodes[index(transfer.Peer)])
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
	if slot := from.replica.Delivered(); slot > n.replica.Delivered() {
		f.transfers++
		n.trimmed, n.knows = slot, n.knows || from.knows
		f.step(i, paxos.Event{Kind: paxos.Installed, Slot: slot, Configurations: from.replica.Configurations()})
	}
}

// drain delivers messages until none is under way.
func (f *fair) drain() {
	for len(f.queue) > 0 {
		p := f.queue[0]
		f.queue = f.queue[1:]
		f.step(p.to, paxos.Event{Kind: paxos.Received, From: nodeID(p.from), Incarnation: incarnation(p.from), Message: p.message})
	}
}

func (f *fair) done() bool {
	for _, n := range f.nodes {
		if !n.knows {
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
