// Package spec is Paxos as an abstract specification that can be run: ballots, promises, votes, and what they choose, for a log of slots.
//
// It is written from Lamport's "Paxos Made Simple" and shares nothing with package paxos, so that it can judge it: every event of a run is told to a State as an Action, and the
// State refuses what Paxos does not allow, by the name of the rule. What it knows of each acceptor is the truth, what is on the disk, not what was said about it.
// paxos.tla says the same in TLA+.
package spec

import (
	"fmt"
	"iter"
	"slices"
)

// Slot is a place in the log: an instance of Paxos. The first is 1.
type Slot uint64

// Value is what a slot decides. Equal values are equal strings; the empty one is a value like any other.
type Value string

// Ballot is a proposal number, ordered by its parts. The zero Ballot is below all that are used.
type Ballot [3]uint64

// Compare returns -1, 0 or +1 as b is below, equal to or above c.
func (b Ballot) Compare(c Ballot) int { return slices.Compare(b[:], c[:]) }

func (b Ballot) String() string { return fmt.Sprintf("%d.%x.%d", b[0], b[1], b[2]) }

// Rule names what an action may break. P1 to P2c are those of "Paxos Made Simple" §2.2.
type Rule string

const (
	P1        Rule = "P1: an acceptor accepts the first proposal that it receives"
	P1a       Rule = "P1a: an acceptor accepts a proposal numbered n iff it has not promised a number above n"
	P2        Rule = "P2: one value is chosen"
	P2a       Rule = "P2a: once v is chosen, every higher-numbered proposal accepted has value v"
	P2b       Rule = "P2b: once v is chosen, every higher-numbered proposal issued has value v"
	P2c       Rule = "P2c: a proposal has the value of the highest-numbered proposal that a quorum has accepted, or any if it has accepted none"
	OneValue  Rule = "one value: a ballot proposes one value in a slot"
	Issued    Rule = "issued: a ballot is begun before it is promised, and a proposal issued before it is accepted"
	Durable   Rule = "durable: a promise or a vote is on the disk before it is told"
	Truth     Rule = "truth: a promise tells the highest-numbered proposal below it that the acceptor has accepted"
	Learned   Rule = "learned: only what is chosen is learned"
	Window    Rule = "window: nothing is proposed in a slot before everything up to the window below it is chosen, and with it who governs the slot"
	Governed  Rule = "governed: a configuration comes of a change that is chosen, made from the one before it while that was in force"
	Announced Rule = "announced: a ballot announces no slot in which it has proposed another value than the chosen one"
)

// Violation is the error for an action that is not allowed.
type Violation struct {
	Rule   Rule
	Detail string // what was done, and what was so before
}

func (v *Violation) Error() string { return string(v.Rule) + ": but " + v.Detail }

func violation(rule Rule, format string, args ...any) error {
	return &Violation{rule, fmt.Sprintf(format, args...)}
}

// State is all that matters of a run so far. It only grows: a crash makes nobody forget. It is not safe for concurrent use.
type State struct {
	configs   []governed // ascending, by epoch
	window    Slot       // α; 0 if the configuration is the same for ever
	change    func(Value) *Change
	promised  map[Acceptor]Ballot
	announced map[Ballot]Slot // of each ballot that was begun: up to where it has said that all is chosen
	slots     map[Slot]instance
	prefix    Slot // every slot up to here has a chosen value
	highest   Slot // that anything was proposed in
}

// governed is a configuration and the first slot that it governs.
type governed struct {
	first Slot
	*Configuration
}

// instance is what was proposed in one slot, by ballot, ascending.
type instance []*proposal

type proposal struct {
	ballot Ballot
	value  Value
	votes  Set // of acceptors, on whose disks they are
}

// Change is what a value says that asks for another configuration.
type Change struct {
	Replaces uint32 // the epoch of the configuration that it was made from
	Next     *Configuration
}

// New returns the state before anything has happened, with a configuration that governs every slot.
func New(config *Configuration) *State {
	return &State{configs: []governed{{1, config}}, promised: map[Acceptor]Ballot{}, announced: map[Ballot]Slot{}, slots: map[Slot]instance{}}
}

// NewChanging returns the state before anything has happened, where what is chosen decides who governs ("Paxos Made Simple" §3): the configuration of a slot is a function of the values chosen up to window slots
// before it. change says what a value asks for; nil for one that is no change.
func NewChanging(config *Configuration, window Slot, change func(Value) *Change) *State {
	s := New(config)
	s.window, s.change = window, change
	return s
}

// pass lets the value chosen in the last slot of the prefix decide who governs the slots from the window above it on. It changes nothing unless it was made from the latest configuration there is, and that one is in force.
func (s *State) pass(v Value) {
	if s.window == 0 {
		return
	}
	latest := len(s.configs) - 1
	if c := s.change(v); c != nil && int(c.Replaces) == latest && s.configs[latest].first <= s.prefix {
		s.configs = append(s.configs, governed{s.prefix + s.window, c.Next})
	}
}

func (s *State) config(slot Slot) governed {
	i := len(s.configs) - 1
	for s.configs[i].first > slot {
		i--
	}
	return s.configs[i]
}

// Step takes an action if it is allowed. If it is not, the error is a *Violation, and nothing has changed.
func (s *State) Step(a Action) error {
	if err := a.check(s); err != nil {
		return err
	}
	s.Assume(a)
	return nil
}

// Assume takes an action without asking whether it is allowed. What actions leave behind does not depend on their order, so a State can be made from a set of them.
func (s *State) Assume(a Action) {
	if d, ok := a.(deed); ok {
		d.take(s)
	}
}

// choice returns the lowest proposal in a slot that a quorum has voted for: it is chosen. It returns nil if there is none.
func (s *State) choice(slot Slot) *proposal {
	for _, p := range s.slots[slot] {
		if includesOne(s.config(slot).Phase2, p.votes) {
			return p
		}
	}
	return nil
}

// proposal returns what was proposed in a slot at a ballot, or nil.
func (s *State) proposal(b Ballot, slot Slot) *proposal {
	if i, found := s.slots[slot].find(b); found {
		return s.slots[slot][i]
	}
	return nil
}

func (in instance) find(b Ballot) (int, bool) {
	return slices.BinarySearchFunc(in, b, func(p *proposal, b Ballot) int { return p.ballot.Compare(b) })
}

// below returns the proposals below a ballot, the highest first.
func (in instance) below(b Ballot) iter.Seq2[int, *proposal] {
	i, _ := in.find(b)
	return slices.Backward(in[:i])
}

// vote returns the highest proposal below a ballot that an acceptor has voted for in a slot, or nil.
func (s *State) vote(a Acceptor, slot Slot, b Ballot) *proposal {
	for _, p := range s.slots[slot].below(b) {
		if p.votes.has(a) {
			return p
		}
	}
	return nil
}

// safe reports whether no other value than v has been, or can yet be, chosen in a slot below b: some quorum has promised b, and between the highest
// vote for v and b none of it has voted; or, without a vote for v, it has not voted at all (P2c).
func (s *State) safe(b Ballot, slot Slot, v Value) bool {
	if c := s.choice(slot); c != nil && c.value == v {
		return true
	}
	var quiet Set
	for a, promised := range s.promised {
		if promised.Compare(b) >= 0 {
			quiet |= 1 << a
		}
	}
	for _, p := range s.slots[slot].below(b) {
		if p.votes != 0 && p.value == v {
			break
		}
		quiet &^= p.votes
	}
	return includesOne(s.config(slot).Phase1, quiet)
}
