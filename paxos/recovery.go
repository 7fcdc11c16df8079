package paxos

import "slices"

// recovery gathers what acceptors report and says, slot by slot, what the new leader must propose (P2c). A report is a fact about a slot, whoever governs it; which of
// them make a phase-1 quorum is for the slot's configuration to say.
type recovery struct {
	reporters []reporter          // of all configurations that matter, each once
	chosen    Slot                // the highest chosen prefix reported: every slot up to here is chosen
	high      Slot                // the highest slot reported at all; what lies above is free
	slots     window[slotReports] // above chosen
}

// reporter is an acceptor that is asked.
type reporter struct {
	identity
	cursor Slot // the first slot not yet reported on
	done   bool // its last chunk has come: it has reported on every slot from where it was asked on
}

// slotReports is what has been reported on one slot.
type slotReports struct {
	best    *Record // the vote of the highest ballot reported
	chosen  *Record
	unknown []unknownReport
}

type unknownReport struct {
	reporter int // index in reporters
	limit    Ballot
}

// newRecovery begins with nobody to report, above a slot up to which everything is chosen.
func newRecovery(chosen Slot) recovery {
	rc := recovery{chosen: chosen, high: chosen}
	rc.slots.reset(chosen + 1)
	return rc
}

// ask lets the acceptors of a configuration report, too, on every slot from one on below which everything is known to be chosen.
func (rc *recovery) ask(config *Configuration, from Slot) {
	for _, m := range config.Members {
		if who := (identity{m.ID, m.Incarnation}); m.Roles&Acceptor != 0 && rc.reporter(who) < 0 {
			rc.reporters = append(rc.reporters, reporter{identity: who, cursor: max(rc.chosen+1, from)})
		}
	}
}

// reporter returns the index of somebody who is asked, or -1.
func (rc *recovery) reporter(who identity) int {
	return slices.IndexFunc(rc.reporters, func(r reporter) bool { return r.identity == who })
}

// add takes one chunk. It reports whether the chunk was the next one of that acceptor: chunks are counted in order and without gaps, or not at all.
// An acceptor does not vote further than reach above what it knows to be chosen, so its reports have no greater gaps.
func (rc *recovery) add(from identity, m *Message, reach Slot) bool {
	i := rc.reporter(from)
	if i < 0 || rc.reporters[i].done || m.Slot != rc.reporters[i].cursor {
		return false
	}
	last := max(m.Slot, m.Chosen)
	for _, rep := range m.Reports {
		if rep.Slot > last+reach {
			return false
		}
		last = max(last, rep.Slot)
	}
	rc.chosen = max(rc.chosen, m.Chosen)
	rc.high = max(rc.high, m.Chosen)
	rc.slots.dropBelow(rc.chosen + 1)
	for _, rep := range m.Reports {
		if rep.Slot <= rc.chosen {
			continue
		}
		rc.high = max(rc.high, rep.Slot)
		s := rc.slots.at(rep.Slot)
		switch rep.State {
		case ReportChosen:
			s.chosen = rep.Record
		case ReportUnknown:
			s.unknown = append(s.unknown, unknownReport{i, rep.Ballot})
		case Voted:
			if s.best == nil || s.best.Ballot.Less(rep.Record.Ballot) {
				s.best = rep.Record
			}
		}
	}
	rc.reporters[i].done = m.Flag
	rc.reporters[i].cursor = m.Upto + 1
	return true
}

// reported returns the members of a configuration that have reported on everything.
func (rc *recovery) reported(config *Configuration) (done Set) {
	for _, r := range rc.reporters {
		if i := config.place(r.identity); i >= 0 && r.done {
			done = done.with(i)
		}
	}
	return done
}

// complete reports whether a phase-1 quorum of a configuration has reported on everything.
func (rc *recovery) complete(config *Configuration) bool {
	return config.IsPhase1Quorum(rc.reported(config))
}

// resolve says what may be proposed in a slot that config governs. The answer is not definite while too many of those who have reported have lost their vote; and it never will be for a slot that anybody's chosen prefix
// covers, however late we hear of it: that slot is chosen, reports on it are not kept, and its value has to be learned.
//
// P2c: a phase-1 quorum has promised to vote no more below our ballot. If none of it has voted, nothing below is or ever will be chosen, and any value will do: the no-op. Else only
// the value of the highest ballot can have been chosen. Who has lost a vote counts only if that vote cannot have been of a higher ballot than one that is reported.
func (rc *recovery) resolve(slot Slot, config *Configuration) (value Value, definite bool) {
	if slot <= rc.chosen {
		return nil, false
	}
	counted := rc.reported(config)
	s := rc.slots.get(slot)
	if s == nil {
		return nil, config.IsPhase1Quorum(counted)
	}
	if s.chosen != nil {
		return s.chosen.Value, true
	}
	for _, u := range s.unknown {
		if s.best == nil || s.best.Ballot.Less(u.limit) {
			if i := config.place(rc.reporters[u.reporter].identity); i >= 0 {
				counted = counted.minus(single(i))
			}
		}
	}
	if !config.IsPhase1Quorum(counted) {
		return nil, false
	}
	if s.best == nil {
		return nil, true
	}
	return s.best.Value, true
}
