package spec

import (
	"cmp"
	"slices"
)

// Action is something that was done or said in a run.
type Action interface{ check(*State) error }

// deed is an action that leaves something behind. Words do not: what they may say is judged, and that is all.
type deed interface{ take(*State) }

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
const EverySlot = ^Slot(0)

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

// Govern is that somebody takes a configuration to govern the slots from First on, up to the first of the next one.
type Govern struct {
	Epoch  uint32 // 0 for the first configuration, and one more with each change
	First  Slot
	Config Configuration
}

func (a Prepare) check(*State) error { return nil }

func (a Prepare) take(s *State) { s.announced[a.Ballot] = s.announced[a.Ballot] }

func (a Promise) check(s *State) error {
	if !s.begun(a.Ballot) {
		return violation(Issued, "acceptor %d promises ballot %v, which nobody has begun", a.Acceptor, a.Ballot)
	}
	return s.keeps(a.Acceptor, a.Ballot, "promises ballot")
}

func (a Promise) take(s *State) {
	if s.promised[a.Acceptor].Compare(a.Ballot) < 0 {
		s.promised[a.Acceptor] = a.Ballot
	}
}

func (s *State) begun(b Ballot) bool { _, ok := s.announced[b]; return ok }

// keeps checks P1a: an acceptor does nothing at a ballot below its promise.
func (s *State) keeps(a Acceptor, b Ballot, does string) error {
	if have := s.promised[a]; b.Compare(have) < 0 {
		return violation(P1a, "acceptor %d %s %v after having promised %v", a, does, b, have)
	}
	return nil
}

func (a Report) check(s *State) error {
	if have := s.promised[a.Acceptor]; have.Compare(a.Ballot) < 0 {
		return violation(Durable, "acceptor %d tells of its promise of ballot %v and has promised %v", a.Acceptor, a.Ballot, have)
	}
	if a.Chosen > s.prefix {
		return violation(Learned, "acceptor %d says that all is chosen up to slot %d, it is up to slot %d", a.Acceptor, a.Chosen, s.prefix)
	}
	silent := max(a.First, a.Chosen+1) // the first slot of which nothing has been told yet
	for _, v := range a.Votes {
		if err := cmp.Or(a.checkSilence(s, silent, v.Slot), a.checkVote(s, v)); err != nil {
			return err
		}
		silent = max(silent, v.Slot+1)
	}
	return a.checkSilence(s, silent, min(a.Last, s.highest)+1)
}

// checkSilence looks for votes below the ballot that the report leaves out, from a slot up to before another.
func (a Report) checkSilence(s *State, from, before Slot) error {
	for slot := from; slot < before; slot++ {
		if have := s.vote(a.Acceptor, slot, a.Ballot); have != nil {
			return violation(Truth, "acceptor %d tells ballot %v of no vote in slot %d and has voted there at %v", a.Acceptor, a.Ballot, slot, have.ballot)
		}
	}
	return nil
}

func (a Report) checkVote(s *State, v ReportedVote) error {
	have := s.vote(a.Acceptor, v.Slot, a.Ballot)
	if v.Ballot == a.Ballot && !v.Lost {
		have = s.proposal(a.Ballot, v.Slot)
	}
	switch {
	case v.Chosen:
		return Learn{v.Slot, v.Value}.check(s)
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

func (a Refuse) check(s *State) error {
	if a.Promised.Compare(a.Ballot) <= 0 || !s.begun(a.Promised) {
		return violation(P1, "acceptor %d refuses ballot %v on account of %v", a.Acceptor, a.Ballot, a.Promised)
	}
	return nil
}

func (a Recover) check(s *State) error {
	return s.keeps(a.Acceptor, a.Promised, "restarts with the promise")
}

func (a Propose) check(s *State) error {
	p, c := s.proposal(a.Ballot, a.Slot), s.choice(a.Slot)
	against := c != nil && c.value != a.Value
	switch {
	case !s.begun(a.Ballot):
		return violation(Issued, "slot %d: proposal at ballot %v, which nobody has begun", a.Slot, a.Ballot)
	case p != nil && p.value != a.Value:
		return violation(OneValue, "slot %d: ballot %v proposes %q and %q", a.Slot, a.Ballot, p.value, a.Value)
	case p != nil:
		return nil
	case s.window > 0 && a.Slot > s.prefix+s.window:
		return violation(Window, "slot %d: ballot %v proposes %q, and only what lies up to slot %d is chosen", a.Slot, a.Ballot, a.Value, s.prefix)
	case against && c.ballot.Compare(a.Ballot) < 0:
		return violation(P2b, "slot %d: ballot %v proposes %q, and %q was chosen at %v", a.Slot, a.Ballot, a.Value, c.value, c.ballot)
	case against && a.Slot <= s.announced[a.Ballot]:
		return violation(Announced, "slot %d: ballot %v proposes %q after having announced the slot, and %q is chosen", a.Slot, a.Ballot, a.Value, c.value)
	case !s.safe(a.Ballot, a.Slot, a.Value):
		return violation(P2c, "slot %d: ballot %v proposes %q, and no quorum shows that nothing else can be chosen below", a.Slot, a.Ballot, a.Value)
	}
	return nil
}

func (a Propose) take(s *State) {
	Prepare{a.Ballot}.take(s)
	s.highest = max(s.highest, a.Slot)
	in := s.slots[a.Slot]
	if i, found := in.find(a.Ballot); !found {
		s.slots[a.Slot] = slices.Insert(in, i, &proposal{ballot: a.Ballot, value: a.Value})
	}
}

func (a Vote) check(s *State) error {
	p, c := s.proposal(a.Ballot, a.Slot), s.choice(a.Slot)
	switch {
	case p == nil:
		return violation(Issued, "slot %d: acceptor %d votes at ballot %v, which has proposed nothing there", a.Slot, a.Acceptor, a.Ballot)
	case p.value != a.Value:
		return violation(OneValue, "slot %d: acceptor %d votes at ballot %v for %q, which has proposed %q", a.Slot, a.Acceptor, a.Ballot, a.Value, p.value)
	case p.votes.has(a.Acceptor):
		return nil
	}
	if err := s.keeps(a.Acceptor, a.Ballot, "votes at ballot"); err != nil {
		return err
	}
	against, chooses := c != nil && c.value != a.Value, includesOne(s.config(a.Slot).Phase2, p.votes|1<<a.Acceptor)
	switch {
	case against && c.ballot.Compare(a.Ballot) < 0:
		return violation(P2a, "slot %d: acceptor %d votes at ballot %v for %q, and %q was chosen at %v", a.Slot, a.Acceptor, a.Ballot, a.Value, c.value, c.ballot)
	case against && chooses:
		return violation(P2, "slot %d: %q is chosen at ballot %v, and %q was at %v", a.Slot, a.Value, a.Ballot, c.value, c.ballot)
	}
	for _, higher := range s.slots[a.Slot] {
		if chooses && higher.ballot.Compare(a.Ballot) > 0 && higher.value != a.Value {
			return violation(P2b, "slot %d: %q is chosen at ballot %v, and %q was proposed at %v", a.Slot, a.Value, a.Ballot, higher.value, higher.ballot)
		}
	}
	return nil
}

func (a Vote) take(s *State) {
	Propose{a.Ballot, a.Slot, a.Value}.take(s)
	Promise{a.Acceptor, a.Ballot}.take(s)
	s.proposal(a.Ballot, a.Slot).votes |= 1 << a.Acceptor
	for c := s.choice(s.prefix + 1); c != nil; c = s.choice(s.prefix + 1) {
		s.prefix++
		s.pass(c.value)
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

func (a Learn) check(s *State) error {
	if c := s.choice(a.Slot); c == nil || c.value != a.Value {
		return violation(Learned, "slot %d: %q is taken for chosen; chosen: %v", a.Slot, a.Value, c)
	}
	return nil
}

func (a Announce) check(s *State) error {
	if a.Upto > s.prefix {
		return violation(Learned, "all is said to be chosen up to slot %d, it is up to slot %d", a.Upto, s.prefix)
	}
	for slot := s.announced[a.Ballot] + 1; s.begun(a.Ballot) && slot <= a.Upto; slot++ {
		if p, c := s.proposal(a.Ballot, slot), s.choice(slot); p != nil && p.value != c.value {
			return violation(Announced, "ballot %v announces slot %d, where it has proposed %q and %q is chosen", a.Ballot, slot, p.value, c.value)
		}
	}
	return nil
}

func (a Announce) take(s *State) {
	if s.begun(a.Ballot) {
		s.announced[a.Ballot] = max(s.announced[a.Ballot], a.Upto)
	}
}

func (a Govern) check(s *State) error {
	if int(a.Epoch) >= len(s.configs) {
		return violation(Governed, "somebody knows the configuration of epoch %d from slot %d on, the latest is that of epoch %d", a.Epoch, a.First, len(s.configs)-1)
	}
	have := s.configs[a.Epoch]
	if have.first != a.First || !slices.Equal(have.Phase1, a.Config.Phase1) || !slices.Equal(have.Phase2, a.Config.Phase2) {
		return violation(Governed, "epoch %d is taken to begin at slot %d with quorums %b and %b; it does at slot %d with %b and %b",
			a.Epoch, a.First, a.Config.Phase1, a.Config.Phase2, have.first, have.Phase1, have.Phase2)
	}
	return nil
}
