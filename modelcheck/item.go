package modelcheck

import (
	"fmt"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// item is something that has happened and stays so: a message was sent, a record became durable. The state of the world holds the set of them, a bit each.
type item struct {
	to         int // the member that a message is for, or -1
	from       int // who sent it, or whose disk it is on
	message    *paxos.Message
	record     *paxos.Record
	snapshot   paxos.Slot             // the member to may take over somebody's snapshot of this slot
	known      []*paxos.Configuration // that goes with it
	invitation []*paxos.Configuration // the member to may come, knowing this
	said       []saying
	text       string

	// What is forgotten once it makes no difference any more.
	obsolete paxos.Ballot // above this one; zero: never
	at       int          // the member that then has gone beyond it
}

// saying is what a transition says, or makes true, in words that can be judged.
type saying struct {
	action spec.Action // by the specification, if not nil
	began  *readBegan  // or else by what was acknowledged before
	served *readServed
	acked  paxos.Slot
}

// readBegan is a read, and the highest slot that was acknowledged to anybody before it began.
type readBegan struct {
	node  int
	read  uint64
	floor paxos.Slot
}

type readServed struct {
	node int
	read uint64
	slot paxos.Slot
}

// lasting reports whether what comes later is judged by it.
func (it *item) lasting() bool {
	for _, s := range it.said {
		switch s.action.(type) {
		case spec.Prepare, spec.Promise, spec.Propose, spec.Vote, spec.Announce:
			return true
		}
		if s.action == nil {
			return true
		}
	}
	return false
}

func ballotOf(b paxos.Ballot) spec.Ballot {
	return spec.Ballot{b.Round, uint64(b.Node), uint64(b.Boot)}
}

// sent turns a message into what it says.
func sent(from int, m *paxos.Message) (said []saying) {
	say := func(a spec.Action) { said = append(said, saying{action: a}) }
	acceptor, b := acceptor(from), ballotOf(m.Ballot)
	switch m.Kind {
	case paxos.Prepare:
		say(spec.Prepare{Ballot: b})
	case paxos.Promise:
		say(report(acceptor, m))
	case paxos.Nack:
		say(spec.Refuse{Acceptor: acceptor, Ballot: b, Promised: ballotOf(m.Seen)})
	case paxos.Accept:
		rec := m.Record
		say(spec.Propose{Ballot: ballotOf(rec.Ballot), Slot: spec.Slot(rec.Slot), Value: spec.Value(rec.Value)})
		say(spec.Announce{Ballot: ballotOf(rec.Ballot), Upto: spec.Slot(rec.Chosen)})
	case paxos.Accepted:
		say(spec.Accepted{Acceptor: acceptor, Ballot: b, First: spec.Slot(m.Slot), Last: spec.Slot(m.Upto)})
	case paxos.Commit:
		say(spec.Announce{Ballot: b, Upto: spec.Slot(m.Chosen)})
	case paxos.Learned:
		for _, rec := range m.Records {
			say(learn(rec))
		}
		say(spec.Announce{Upto: spec.Slot(m.Chosen)})
	}
	return said
}

func learn(rec *paxos.Record) spec.Learn {
	return spec.Learn{Slot: spec.Slot(rec.Slot), Value: spec.Value(rec.Value)}
}

func report(acceptor spec.Acceptor, m *paxos.Message) spec.Report {
	r := spec.Report{Acceptor: acceptor, Ballot: ballotOf(m.Ballot), First: spec.Slot(m.Slot), Last: spec.Slot(m.Upto), Chosen: spec.Slot(m.Chosen)}
	if m.Flag {
		r.Last = spec.EverySlot
	}
	for _, rep := range m.Reports {
		v := spec.ReportedVote{Slot: spec.Slot(rep.Slot), Ballot: ballotOf(rep.Ballot), Lost: rep.State == paxos.ReportUnknown, Chosen: rep.State == paxos.ReportChosen}
		if rep.Record != nil {
			v.Value = spec.Value(rep.Record.Value)
		}
		r.Votes = append(r.Votes, v)
	}
	return r
}

// durable turns a record into what its being durable means.
func durable(node int, rec *paxos.Record) (said []saying) {
	switch {
	case rec.Ballot.IsZero() && rec.Kind == paxos.RecordPromise:
		return nil // it says how far everything is chosen, and nothing was promised yet
	case rec.Kind == paxos.RecordPromise:
		return []saying{{action: spec.Promise{Acceptor: acceptor(node), Ballot: ballotOf(rec.Ballot)}}}
	case rec.Kind == paxos.RecordAccept:
		return []saying{{action: spec.Vote{Acceptor: acceptor(node), Ballot: ballotOf(rec.Ballot), Slot: spec.Slot(rec.Slot), Value: spec.Value(rec.Value)}}}
	}
	return []saying{{action: learn(rec)}}
}

// message numbers a message from one member to another.
func (m *model) message(from, to int, msg *paxos.Message) uint32 {
	key := fmt.Appendf(nil, "%d %d ", from, to)
	for _, piece := range paxos.AppendMessage(nil, msg) {
		key = append(key, piece...)
	}
	return m.intern(string(key), func() item {
		it := item{to: to, from: from, message: msg, said: sent(from, msg), text: describe(msg)}
		switch msg.Kind {
		case paxos.Promise, paxos.Accepted, paxos.Nack, paxos.ReadAck:
			it.obsolete, it.at = msg.Ballot, it.to
		}
		return it
	})
}

// record numbers that a member has a promise or a vote on its disk.
func (m *model) record(node int, rec *paxos.Record) uint32 {
	key := fmt.Sprintf("disk %d %d %v %d %s", node, rec.Kind, rec.Ballot, rec.Slot, rec.Value)
	return m.intern(key, func() item {
		it := item{to: -1, from: node, record: rec, said: durable(node, rec), text: "on disk: " + describeRecord(rec)}
		if rec.Kind == paxos.RecordPromise {
			it.obsolete, it.at = rec.Ballot, node
		}
		return it
	})
}

// acknowledged numbers that somebody has been told that a slot is chosen.
func (m *model) acknowledged(slot paxos.Slot) uint32 {
	return m.intern(fmt.Sprintf("acknowledged %d", slot), func() item {
		return item{to: -1, said: []saying{{acked: slot}}, text: fmt.Sprintf("slot %d is acknowledged", slot)}
	})
}

// itemsMax bounds the set of a state.
const itemsMax = 512

// intern numbers an item. Items of one key are one.
func (m *model) intern(key string, make func() item) uint32 {
	id, ok := m.itemIDs[key]
	if !ok {
		id = uint32(len(m.items))
		if id == itemsMax {
			panic(fmt.Sprintf("modelcheck: world %q has more than %d messages and facts: bound it further", m.world.Name, itemsMax))
		}
		m.itemIDs[key] = id
		it := make()
		m.items = append(m.items, it)
		m.lasting = append(m.lasting, it.lasting())
	}
	return id
}
