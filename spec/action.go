package spec

import (
	"math"
	"slices"
)

// Action is something that happened in a run.
type Action interface {
	check(*State) error
	take(*State)
}

// Prepare is phase 1a: a proposer begins a ballot. To say it again is allowed.
type Prepare struct{ Ballot Ballot }

// Promise is phase 1b, on the acceptor's disk: it will take part in nothing below Ballot, in any slot. It happens when it is durable.
type Promise struct {
	Acceptor Acceptor
	Ballot   Ballot
}

// Report is phase 1b, as told to the proposer: what the acceptor has voted for in the slots from First to Last. In those that are neither
// in Votes nor up to Chosen, all of which are known to be chosen, it has not voted below Ballot.
type Report struct {
	Acceptor    Acceptor
	Ballot      Ballot
	First, Last Slot // Last may be EverySlot
	Chosen      Slot
	Votes       []ReportedVote // ascending by slot
}

// EverySlot as the last slot of a report stands for all there are.
const EverySlot Slot = math.MaxUint64

// ReportedVote is what a report says of one slot.
type ReportedVote struct {
	Slot   Slot
	Ballot Ballot // of the vote; Lost: the highest that it can have had
	Value  Value
	Lost   bool // the disk has lost it, if there was one
	Chosen bool // no vote: Value is chosen
}

// Refuse is an acceptor's refusal of a ballot on account of a higher one that it has promised, or is about to.
type Refuse struct {
	Acceptor         Acceptor
	Ballot, Promised Ballot
}

// Recover is an acceptor's restart: from now on it keeps to Promised.
type Recover struct {
	Acceptor Acceptor
	Promised Ballot
}

// Propose is phase 2a. To say it again is allowed.
type Propose struct {
	Ballot Ballot
	Slot   Slot
	Value  Value
}

// Vote is phase 2b, on the acceptor's disk. It happens when it is durable.
type Vote struct {
	Acceptor Acceptor
	Ballot   Ballot
	Slot     Slot
	Value    Value
}

// Accepted is phase 2b, as told to anybody: the acceptor has voted in the slots from First to Last.
type Accepted struct {
	Acceptor    Acceptor
	Ballot      Ballot
	First, Last Slot
}

// Learn is that somebody takes a value for chosen.
type Learn struct {
	Slot  Slot
	Value Value
}

// Announce is that a proposer says that every slot up to Upto is chosen. Whoever has voted at its Ballot takes those votes for the chosen values.
type Announce struct {
	Ballot Ballot // zero: somebody says so, whose votes nobody takes for anything
	Upto   Slot
}

func (a Prepare) check(*State) error { return nil }

func (a Prepare) take(s *State) {
	if s.ballots[a.Ballot] == nil {
		s.ballots[a.Ballot] = &ballot{first: EverySlot}
	}
}

func (a Promise) check(s *State) error {
	if s.ballots[a.Ballot] == nil {
		return violation(Issued, "acceptor %d promises ballot %v, which nobody has begun", a.Acceptor, a.Ballot)
	}
	if have := s.promised[a.Acceptor]; a.Ballot.Compare(have) < 0 {
		return violation(P1a, "acceptor %d promises ballot %v after %v", a.Acceptor, a.Ballot, have)
	}
	return nil
}

func (a Promise) take(s *State) { s.promise(a.Acceptor, a.Ballot) }

func (s *State) promise(a Acceptor, b Ballot) {
	if s.promised[a].Compare(b) < 0 {
		s.promised[a] = b
	}
}

func (a Report) check(s *State) error {
	if have := s.promised[a.Acceptor]; have.Compare(a.Ballot) < 0 {
		return violation(Durable, "acceptor %d tells of its promise of ballot %v and has promised %v", a.Acceptor, a.Ballot, have)
	}
	if a.Chosen > s.prefix {
		return violation(Learned, "acceptor %d says that all is chosen up to slot %d, it is up to slot %d", a.Acceptor, a.Chosen, s.prefix)
	}
	for _, v := range a.Votes {
		if err := a.checkVote(s, v); err != nil {
			return err
		}
	}
	return a.checkSilence(s)
}

func (a Report) checkVote(s *State, v ReportedVote) error {
	if v.Chosen {
		return Learn{v.Slot, v.Value}.check(s)
	}
	have := s.slots[v.Slot].below(a.Acceptor, a.Ballot)
	if v.Ballot == a.Ballot && !v.Lost {
		have = s.proposal(a.Ballot, v.Slot)
	}
	switch {
	case v.Lost && have != nil && have.ballot.Compare(v.Ballot) > 0:
		return violation(Truth, "acceptor %d has lost its vote in slot %d and bounds it by %v: it was at %v", a.Acceptor, v.Slot, v.Ballot, have.ballot)
	case v.Lost:
		return nil
	case have == nil || !have.votes.has(a.Acceptor):
		return violation(Truth, "acceptor %d tells of a vote in slot %d at %v and has none on its disk", a.Acceptor, v.Slot, v.Ballot)
	case have.ballot != v.Ballot || have.value != v.Value:
		return violation(Truth, "acceptor %d tells ballot %v of a vote in slot %d at %v for %q, its highest is at %v for %q",
			a.Acceptor, a.Ballot, v.Slot, v.Ballot, v.Value, have.ballot, have.value)
	}
	return nil
}

// checkSilence looks for votes below the ballot that the report leaves out.
func (a Report) checkSilence(s *State) error {
	told := a.Votes
	for slot := max(a.First, a.Chosen+1); slot <= min(a.Last, s.highest); slot++ {
		for len(told) > 0 && told[0].Slot < slot {
			told = told[1:]
		}
		have := s.slots[slot].below(a.Acceptor, a.Ballot)
		if have != nil && (len(told) == 0 || told[0].Slot != slot) {
			return violation(Truth, "acceptor %d tells ballot %v of no vote in slot %d and has voted there at %v", a.Acceptor, a.Ballot, slot, have.ballot)
		}
	}
	return nil
}

func (a Report) take(*State) {}

func (a Refuse) check(s *State) error {
	if a.Promised.Compare(a.Ballot) <= 0 || s.ballots[a.Promised] == nil {
		return violation(P1, "acceptor %d refuses ballot %v on account of %v", a.Acceptor, a.Ballot, a.Promised)
	}
	return nil
}

func (a Refuse) take(*State) {}

func (a Recover) check(s *State) error {
	if have := s.promised[a.Acceptor]; a.Promised.Compare(have) < 0 {
		return violation(P1a, "acceptor %d restarts with the promise %v and has promised %v", a.Acceptor, a.Promised, have)
	}
	return nil
}

func (a Recover) take(*State) {}

func (a Propose) check(s *State) error {
	b := s.ballots[a.Ballot]
	if b == nil {
		return violation(Issued, "slot %d: proposal at ballot %v, which nobody has begun", a.Slot, a.Ballot)
	}
	if p := s.proposal(a.Ballot, a.Slot); p != nil {
		if p.value != a.Value {
			return violation(OneValue, "slot %d: ballot %v proposes %q and %q", a.Slot, a.Ballot, p.value, a.Value)
		}
		return nil
	}
	if in := s.slots[a.Slot]; in != nil && in.chosen && in.value != a.Value {
		if in.at.Compare(a.Ballot) < 0 {
			return violation(P2b, "slot %d: ballot %v proposes %q, and %q was chosen at %v", a.Slot, a.Ballot, a.Value, in.value, in.at)
		}
		if a.Slot <= b.announced {
			return violation(Announced, "slot %d: ballot %v proposes %q after having announced the slot, and %q is chosen", a.Slot, a.Ballot, a.Value, in.value)
		}
	}
	if !s.safe(a.Ballot, a.Slot, a.Value) {
		return violation(P2c, "slot %d: ballot %v proposes %q, and no quorum shows that nothing else can be chosen below", a.Slot, a.Ballot, a.Value)
	}
	return nil
}

func (a Propose) take(s *State) {
	Prepare{a.Ballot}.take(s)
	b := s.ballots[a.Ballot]
	b.first = min(b.first, a.Slot)
	s.highest = max(s.highest, a.Slot)
	in := s.instance(a.Slot)
	if i, found := in.find(a.Ballot); !found {
		in.proposals = slices.Insert(in.proposals, i, proposal{ballot: a.Ballot, value: a.Value})
	}
}

func (a Vote) check(s *State) error {
	p := s.proposal(a.Ballot, a.Slot)
	switch {
	case p == nil:
		return violation(Issued, "slot %d: acceptor %d votes at ballot %v, which has proposed nothing there", a.Slot, a.Acceptor, a.Ballot)
	case p.value != a.Value:
		return violation(OneValue, "slot %d: acceptor %d votes at ballot %v for %q, which has proposed %q", a.Slot, a.Acceptor, a.Ballot, a.Value, p.value)
	case p.votes.has(a.Acceptor):
		return nil
	}
	if have := s.promised[a.Acceptor]; a.Ballot.Compare(have) < 0 {
		return violation(P1a, "slot %d: acceptor %d votes at ballot %v after having promised %v", a.Slot, a.Acceptor, a.Ballot, have)
	}
	in := s.slots[a.Slot]
	if in.chosen && in.value != a.Value && in.at.Compare(a.Ballot) < 0 {
		return violation(P2a, "slot %d: acceptor %d votes at ballot %v for %q, and %q was chosen at %v", a.Slot, a.Acceptor, a.Ballot, a.Value, in.value, in.at)
	}
	if includesOne(s.config(a.Slot).Phase2, p.votes|1<<a.Acceptor) {
		return a.checkChoice(in)
	}
	return nil
}

// checkChoice judges the choice that this vote completes.
func (a Vote) checkChoice(in *instance) error {
	if in.chosen && in.value != a.Value {
		return violation(P2, "slot %d: %q is chosen at ballot %v, and %q was at %v", a.Slot, a.Value, a.Ballot, in.value, in.at)
	}
	for i := range in.proposals {
		if p := &in.proposals[i]; p.ballot.Compare(a.Ballot) > 0 && p.value != a.Value {
			return violation(P2b, "slot %d: %q is chosen at ballot %v, and %q was proposed at %v", a.Slot, a.Value, a.Ballot, p.value, p.ballot)
		}
	}
	return nil
}

func (a Vote) take(s *State) {
	Propose{a.Ballot, a.Slot, a.Value}.take(s)
	s.promise(a.Acceptor, a.Ballot)
	in, p := s.slots[a.Slot], s.proposal(a.Ballot, a.Slot)
	p.votes |= 1 << a.Acceptor
	if !includesOne(s.config(a.Slot).Phase2, p.votes) || in.chosen && in.at.Compare(a.Ballot) <= 0 {
		return
	}
	in.chosen, in.value, in.at = true, a.Value, a.Ballot
	for next := s.slots[s.prefix+1]; next != nil && next.chosen; next = s.slots[s.prefix+1] {
		s.prefix++
	}
}

func (a Accepted) check(s *State) error {
	for slot := a.First; slot <= a.Last; slot++ {
		if p := s.proposal(a.Ballot, slot); p == nil || !p.votes.has(a.Acceptor) {
			return violation(Durable, "acceptor %d tells of its vote in slot %d at ballot %v and has none on its disk", a.Acceptor, slot, a.Ballot)
		}
	}
	return nil
}

func (a Accepted) take(*State) {}

func (a Learn) check(s *State) error {
	if have, chosen := s.Chosen(a.Slot); !chosen || have != a.Value {
		return violation(Learned, "slot %d: %q is taken for chosen; chosen: %v %q", a.Slot, a.Value, chosen, have)
	}
	return nil
}

func (a Learn) take(*State) {}

func (a Announce) check(s *State) error {
	if a.Upto > s.prefix {
		return violation(Learned, "all is said to be chosen up to slot %d, it is up to slot %d", a.Upto, s.prefix)
	}
	b := s.ballots[a.Ballot]
	if b == nil {
		return nil
	}
	for slot := max(b.first, b.announced+1); slot <= a.Upto; slot++ {
		if p := s.proposal(a.Ballot, slot); p != nil && p.value != s.slots[slot].value {
			return violation(Announced, "ballot %v announces slot %d, where it has proposed %q and %q is chosen", a.Ballot, slot, p.value, s.slots[slot].value)
		}
	}
	return nil
}

func (a Announce) take(s *State) {
	if b := s.ballots[a.Ballot]; b != nil {
		b.announced = max(b.announced, a.Upto)
	}
}
