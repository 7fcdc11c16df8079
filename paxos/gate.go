package paxos

import "slices"

// gate holds back every message that promises something about the disk until the record that it speaks of is durable. It is
// the only place that lets one go: a role that answers for its log says after which record (send's after), and
// cannot say anything sooner.
type gate struct {
	durable LSN // everything up to here is on disk
	held    []heldMessage
}

type heldMessage struct {
	after LSN
	to    NodeID
	msg   *Message
}

// pass reports whether a message that waits for record after may leave now; if not, the gate keeps it. Of what is said again about the same record to the same member only the latest is kept.
func (g *gate) pass(after LSN, to NodeID, msg *Message) bool {
	if after <= g.durable {
		return true
	}
	at := len(g.held)
	for at > 0 && g.held[at-1].after > after {
		at--
	}
	for i := at - 1; i >= 0 && g.held[i].after == after; i-- {
		if h := g.held[i]; h.to == to && h.msg.Kind == msg.Kind && (msg.Kind != Accepted || h.msg.Slot == msg.Slot) {
			g.held[i].msg = msg
			return false
		}
	}
	g.held = slices.Insert(g.held, at, heldMessage{after, to, msg})
	return false
}

// open records that everything up to lsn is durable and calls release with each message that waited for no more than that, in the order
// of their records. Votes for neighbouring slots in one ballot leave as one message.
func (g *gate) open(lsn LSN, release func(to NodeID, msg *Message)) {
	g.durable = max(g.durable, lsn)
	n := 0
	for n < len(g.held) && g.held[n].after <= g.durable {
		n++
	}
	for i := 0; i < n; i++ {
		h := g.held[i]
		for i+1 < n && adjoins(h, g.held[i+1]) {
			i++
			h.msg = &Message{Kind: Accepted, Ballot: h.msg.Ballot, Slot: h.msg.Slot, Upto: g.held[i].msg.Upto}
		}
		release(h.to, h.msg)
	}
	g.held = slices.Delete(g.held, 0, n)
}

func adjoins(a, b heldMessage) bool {
	return a.to == b.to && a.msg.Kind == Accepted && b.msg.Kind == Accepted &&
		a.msg.Ballot == b.msg.Ballot && a.msg.Upto+1 == b.msg.Slot
}
