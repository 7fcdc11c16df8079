package paxos

// recovery gathers what a phase-1 quorum reports and says, slot by slot, what the new leader must propose (P2c).
type recovery struct {
	config *Configuration
	cursor [MembersMax]Slot    // by member: the first slot not yet reported on
	done   Set                 // members whose last chunk has come: they have reported on every slot
	chosen Slot                // the highest chosen prefix reported: every slot up to here is chosen
	high   Slot                // the highest slot reported at all; what lies above is free
	slots  window[slotReports] // above chosen
	open   []Slot              // phase 1 is done, but these still have no value proposed, ascending
}

// slotReports is what has been reported on one slot.
type slotReports struct {
	best    *Record // the vote of the highest ballot reported
	chosen  *Record
	unknown []unknownReport
}

type unknownReport struct {
	member int
	limit  Ballot
}

func newRecovery(config *Configuration, prefix Slot) recovery {
	rc := recovery{config: config, chosen: prefix, high: prefix}
	for i := range config.Members {
		rc.cursor[i] = prefix + 1
	}
	rc.slots.reset(prefix + 1)
	return rc
}

// add takes one chunk. It reports whether the chunk was the next one of that member: chunks are counted in order and without gaps, or not at all.
// An acceptor does not vote further than reach above what it knows to be chosen, so its reports have no greater gaps.
func (rc *recovery) add(member int, m *Message, reach Slot) bool {
	if rc.done.has(member) || m.Slot != rc.cursor[member] {
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
			s.unknown = append(s.unknown, unknownReport{member, rep.Ballot})
		case Voted:
			if s.best == nil || s.best.Ballot.Less(rep.Record.Ballot) {
				s.best = rep.Record
			}
		}
	}
	if m.Flag {
		rc.done = rc.done.with(member)
	}
	rc.cursor[member] = m.Upto + 1
	return true
}

// complete reports whether a phase-1 quorum has reported on everything.
func (rc *recovery) complete() bool { return rc.config.IsPhase1Quorum(rc.done) }

// resolve says what may be proposed in a slot. The answer is not definite while too many of those who have reported have lost their vote; and it never will be for a slot that anybody's chosen prefix
// covers, however late we hear of it: that slot is chosen, reports on it are not kept, and its value has to be learned.
//
// P2c: a phase-1 quorum has promised to vote no more below our ballot. If none of it has voted, nothing below is or ever will be chosen, and any value will do: the no-op. Else only
// the value of the highest ballot can have been chosen. Who has lost a vote counts only if that vote cannot have been of a higher ballot than one that is reported.
func (rc *recovery) resolve(slot Slot) (value Value, definite bool) {
	if slot <= rc.chosen {
		return nil, false
	}
	s := rc.slots.get(slot)
	if s == nil {
		return nil, true
	}
	if s.chosen != nil {
		return s.chosen.Value, true
	}
	counted := rc.done
	for _, u := range s.unknown {
		if s.best == nil || s.best.Ballot.Less(u.limit) {
			counted = counted.minus(single(u.member))
		}
	}
	if !rc.config.IsPhase1Quorum(counted) {
		return nil, false
	}
	if s.best == nil {
		return nil, true
	}
	return s.best.Value, true
}
