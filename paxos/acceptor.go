package paxos

import "bytes"

// acceptor promises and votes. What it has said is in the log before it is said (see gate); what it holds here mirrors the log.
//
// Invariant: promised ≥ the ballot of every vote, and every vote or promise below it has been appended to the log before the record at promisedAt.
type acceptor struct {
	r          *Replica
	promised   Ballot
	promisedAt LSN          // the record that raised promised
	votes      window[vote] // above the learner's chosen prefix
}

// vote is the acceptor's latest vote in one slot. The zero vote is none.
type vote struct {
	record  *Record
	lsn     LSN
	unknown bool   // the disk lost it
	limit   Ballot // unknown: its ballot was at most this
}

// at returns the vote cast in slot at ballot, or nil.
func (a *acceptor) at(slot Slot, ballot Ballot) *vote {
	if v := a.votes.get(slot); v != nil && v.record != nil && v.record.Ballot == ballot {
		return v
	}
	return nil
}

// onPrepare is phase 1b ("Paxos Made Simple" §2.2, P1a). A promise covers every slot there is or will be.
func (a *acceptor) onPrepare(from NodeID, m *Message) {
	switch m.Ballot.Compare(a.promised) {
	case -1:
		a.refuse(from, m.Ballot)
		return
	case +1:
		a.promise(m.Ballot)
	}
	a.r.sendAfter(a.promisedAt, from, a.report(m.Ballot, m.Slot))
}

// report makes one chunk of reports from slot upward. What it says of votes below ballot stays true, since they are frozen by the promise; so a candidate can
// ask for the next chunk at leisure and the acceptor need not remember that it did. Records that are reported but not yet durable are in the log before the promise, which the message waits for.
func (a *acceptor) report(ballot Ballot, slot Slot) *Message {
	l := &a.r.learner
	m := &Message{Kind: Promise, Ballot: ballot, Slot: slot, Chosen: l.prefix, Flag: true}
	end := max(a.votes.end(), l.chosen.end())
	size := 0
	for s := max(slot, l.prefix+1); s < end; s++ {
		rep, ok := a.reportOn(s)
		if !ok {
			continue
		}
		if rep.Record != nil {
			size += rep.Record.Size()
		}
		if len(m.Reports) > 0 && size > a.r.cfg.Limits.ChunkBytes {
			m.Flag = false
			m.Upto = s - 1
			return m
		}
		m.Reports = append(m.Reports, rep)
	}
	m.Upto = max(slot, end) - 1
	return m
}

func (a *acceptor) reportOn(slot Slot) (Report, bool) {
	if rec := a.r.learner.at(slot); rec != nil {
		return Report{Slot: slot, State: ReportChosen, Record: rec}, true
	}
	v := a.votes.get(slot)
	switch {
	case v == nil:
		return Report{}, false
	case v.unknown:
		return Report{Slot: slot, State: ReportUnknown, Ballot: v.limit}, true
	case v.record != nil:
		return Report{Slot: slot, State: Voted, Ballot: v.record.Ballot, Record: v.record}, true
	}
	return Report{}, false
}

// onAccept is phase 2b. The vote raises the promise, too: an Accept may come from a leader whose Prepare was lost (facts about what goes wrong
// otherwise: Brooker, "The bug in Paxos Made Simple").
func (a *acceptor) onAccept(from NodeID, m *Message) {
	rec := m.Record
	if rec == nil || rec.Kind != RecordAccept {
		return
	}
	l := &a.r.learner
	l.onAnnounced(rec.Ballot, rec.Chosen)
	switch {
	case rec.Ballot.Less(a.promised):
		a.refuse(from, rec.Ballot)
		return
	case rec.Slot <= l.prefix || l.at(rec.Slot) != nil:
		// Known to be chosen. The proposal may be an old one with another value, and the last record of a chosen slot in the log must be the chosen one: no vote.
		a.r.send(from, &Message{Kind: Learned, Chosen: l.prefix})
		return
	case rec.Slot > l.prefix+Slot(a.r.cfg.Limits.ReorderingSlots):
		return // too far behind to hold it: catch up first, the leader will send it again
	}
	v := a.votes.at(rec.Slot)
	if v.record == nil || v.record.Ballot != rec.Ballot {
		if a.promised.Less(rec.Ballot) {
			a.promise(rec.Ballot)
		}
		*v = vote{record: rec, lsn: a.r.append(rec)}
	} else if !bytes.Equal(v.record.Value, rec.Value) {
		panic(Violation("ballot %v has two values in slot %d: %d bytes %.32x and %d bytes %.32x",
			rec.Ballot, rec.Slot, len(v.record.Value), v.record.Value, len(rec.Value), rec.Value))
	}
	a.r.sendAfter(v.lsn, from, &Message{Kind: Accepted, Ballot: rec.Ballot, Slot: rec.Slot, Upto: rec.Slot})
	l.advance()
}

// promise raises the promised ballot. A proposer of this node with a lower ballot has lost.
//
// The record carries the chosen prefix as this node knows it: the log's last record of every slot up to there is the chosen one. What a leader announced after its last Accept is
// written nowhere else, and without it a restart would have to ask about everything since.
func (a *acceptor) promise(ballot Ballot) {
	a.promised = ballot
	a.promisedAt = a.note()
	a.r.election.observe(ballot)
}

// note writes down the promise, and how far everything is chosen.
func (a *acceptor) note() LSN {
	return a.r.append(&Record{Kind: RecordPromise, Ballot: a.promised, Epoch: a.r.config().Epoch, Chosen: a.r.learner.prefix})
}

// onReadProbe confirms that no ballot above the prober's has been promised here, at a time after the probe was sent.
func (a *acceptor) onReadProbe(from NodeID, m *Message) {
	if a.promised.Compare(m.Ballot) <= 0 {
		a.r.send(from, &Message{Kind: ReadAck, Ballot: m.Ballot, Number: m.Number})
	} else {
		a.refuse(from, m.Ballot)
	}
}

func (a *acceptor) refuse(from NodeID, ballot Ballot) {
	a.r.send(from, &Message{Kind: Nack, Ballot: ballot, Seen: a.promised})
}

func (a *acceptor) restore(lsn LSN, rec *Record) {
	if a.promised.Less(rec.Ballot) {
		a.promised, a.promisedAt = rec.Ballot, lsn
	}
	if rec.Kind != RecordAccept || rec.Slot < a.votes.base {
		return
	}
	if v := a.votes.at(rec.Slot); !v.unknown || v.limit.Less(rec.Ballot) {
		*v = vote{record: rec, lsn: lsn}
	}
}

// lost reports whether the last record of a slot was lost by the disk.
func (a *acceptor) lost(slot Slot) bool {
	v := a.votes.get(slot)
	return v != nil && v.unknown
}

// restoreUnknown keeps the higher of two votes, the lost one and one that is not, in whichever order they come.
func (a *acceptor) restoreUnknown(slot Slot, limit Ballot) {
	if slot < a.votes.base {
		return
	}
	if limit.IsZero() {
		limit = a.promised // a lost record of kind chosen has no ballot: nothing is known but that no vote was above the promise
	}
	v := a.votes.at(slot)
	if v.record != nil && limit.Less(v.record.Ballot) || v.unknown && !v.limit.Less(limit) {
		return
	}
	*v = vote{unknown: true, limit: limit}
}
