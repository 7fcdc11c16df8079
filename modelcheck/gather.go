package modelcheck

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"synod.dev/synod/paxos"
)

// In a gathered world a proposer is given the answers of acceptors together, up to the one that makes it do something, as Lamport's specification lets it look at a quorum of them at once. In between it
// would only count, so what others do meanwhile can as well come before; and so can what its clients do. If it gives the ballot up meanwhile, the answers might as well have been lost.
//
// That holds of a member that does not vote, is not read from, and is not told what is chosen by others: for it nothing depends on how far it has counted. What makes it do something is seen, not computed: one that
// is content with too few answers, or with the same one twice, is found.

// gathers reports whether this member's answers are gathered.
func (m *model) gathers(node int) bool {
	return m.world.gathered && m.world.members[node].roles&paxos.Acceptor == 0
}

// isCounted reports whether a transition is an answer that its receiver only counts.
func (m *model) isCounted(from uint32, t *transition) bool {
	l := m.locals[from]
	if !m.gathers(l.node) || t.cause.kind != delivery || !m.isAnswer(t.cause.arg) || len(t.items)+len(t.said) > 0 || t.wrong != "" {
		return false
	}
	return l.leads == m.locals[t.to].leads
}

func (m *model) isAnswer(it int) bool {
	body := m.items[it].message
	return body != nil && (body.Kind == paxos.Promise || body.Kind == paxos.Accepted)
}

// joins reports whether a message is delivered together with answers that were counted: it is an answer to the same question, since those to different ones are counted apart (promises, whose pool is one for all configurations and slots, or votes in a slot); and it has come at most
// once before, since a third time tells no more than the second.
func (m *model) joins(counted []uint32, it uint32) bool {
	first, body := m.items[counted[0]].message, m.items[it].message
	if body == nil || body.Kind != first.Kind || body.Ballot != first.Ballot || body.Kind == paxos.Accepted && body.Slot != first.Slot {
		return false
	}
	times := 0
	for _, other := range counted {
		if other == it {
			times++
		}
	}
	return times < 2
}

// sequence numbers a sequence of items.
func (m *model) sequence(items []uint32) int {
	var key []byte
	for _, it := range items {
		key = binary.AppendUvarint(key, uint64(it))
	}
	id, ok := m.sequenceIDs[string(key)]
	if !ok {
		id = len(m.sequences)
		if id > math.MaxInt16 {
			panic(fmt.Sprintf("modelcheck: world %q has too many sequences of answers: bound it further", m.world.Name))
		}
		m.sequences = append(m.sequences, slices.Clone(items))
		m.sequenceIDs[string(key)] = id
	}
	return id
}

// gather returns what a sequence of answers does to a node in a state; nil if it is impossible.
func (m *model) gather(id uint32, sequence int) *transition {
	l := m.locals[id]
	if t := l.gathered[sequence]; t != nil {
		return t
	}
	var last *transition
	at := id
	for _, it := range m.sequences[sequence] {
		if last = m.deliver(at, it); last == nil {
			return nil
		}
		at = last.to
	}
	t := *last
	t.cause = cause{gather, sequence}
	if l.gathered == nil {
		l.gathered = map[int]*transition{}
	}
	l.gathered[sequence] = &t
	return &t
}
