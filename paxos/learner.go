package paxos

// learner knows what is chosen, delivers it in order, and pulls what it has missed.
//
// Invariant: delivered ≤ prefix; every slot ≤ delivered is trimmed, or has a durable record of its chosen value in this node's log, and it is the slot's last record.
type learner struct {
	r         *Replica
	prefix    Slot             // every slot up to here is chosen
	delivered Slot             // every slot up to here has been given to the state machine
	chosen    window[decision] // delivered ones kept for peers that lag a little, and what is known above
	kept      int              // bytes of records in chosen

	announcedBallot Ballot // what the latest leader has announced: every slot up to announced is chosen,
	announced       Slot   // and if I voted for it at that very ballot, I have its value

	peers   []Slot // chosen prefixes of the members as last heard, by index
	movedAt int64  // tick at which prefix last moved
	asked   bool   // a Learn is under way
	askedAt int64
	askNext int // index of the member to ask next

	tried   Set // members asked since the prefix last moved, or a round of asking ended
	trimmed Set // those of them who have trimmed what was asked for
	source  int // index of the member that a transfer was last asked from
}

// decision is a chosen record and where it is in this node's log. The zero decision is none.
type decision struct {
	record *Record
	lsn    LSN
}

// at returns the record chosen in slot if this learner knows it and still has it in memory.
func (l *learner) at(slot Slot) *Record {
	if d := l.chosen.get(slot); d != nil {
		return d.record
	}
	return nil
}

// choose takes note that rec's value is chosen in its slot. If this node's log has no vote for it at that ballot, the value is logged now; and so it is if the vote is of a past ballot, because then no later record will tell, after
// a restart, that it was chosen.
// A slot too far above the prefix to be held is left for later.
func (l *learner) choose(rec *Record) {
	slot := rec.Slot
	if slot <= l.prefix || l.at(slot) != nil || slot > l.prefix+Slot(l.r.cfg.Limits.ReorderingSlots) {
		return
	}
	l.r.proposer.onChoice(rec)
	v := l.r.acceptor.at(slot, rec.Ballot)
	if v != nil && rec.Kind == RecordAccept && (rec.Ballot == l.r.acceptor.promised || l.r.restoring()) {
		*l.chosen.at(slot) = decision{v.record, v.lsn}
	} else {
		learned := &Record{Kind: RecordChosen, Slot: slot, Epoch: rec.Epoch, Value: rec.Value}
		*l.chosen.at(slot) = decision{learned, l.r.append(learned)}
	}
	l.kept += rec.Size()
}

// advance moves the prefix over what is chosen and delivers what is durable.
func (l *learner) advance() {
	before := l.prefix
	for {
		next := l.prefix + 1
		if l.at(next) == nil {
			if next > l.announced {
				break
			}
			// Same ballot, or nothing: that a slot is chosen does not make an older vote of mine the chosen value.
			v := l.r.acceptor.at(next, l.announcedBallot)
			if v == nil {
				break
			}
			l.choose(v.record)
		}
		l.prefix = next
	}
	if l.prefix == before {
		return
	}
	l.moved()
	l.r.acceptor.votes.dropBelow(l.prefix + 1)
	l.r.proposer.onPrefix()
	l.deliver()
}

// deliver gives the state machine what is chosen and durable in this node's own log, in slot order.
func (l *learner) deliver() {
	for l.delivered < l.prefix {
		d := l.chosen.get(l.delivered + 1)
		if d.lsn > l.r.gate.durable {
			break
		}
		l.delivered++
		if !l.r.restoring() {
			l.r.fx.Chosen = append(l.r.fx.Chosen, d.record)
		}
	}
	for l.kept > l.r.cfg.Limits.CacheBytes && l.chosen.base <= l.delivered {
		l.kept -= l.at(l.chosen.base).Size()
		l.chosen.dropBelow(l.chosen.base + 1)
	}
}

// onAnnounced takes a leader's word for its chosen prefix.
func (l *learner) onAnnounced(ballot Ballot, chosen Slot) {
	switch ballot.Compare(l.announcedBallot) {
	case -1:
		return
	case +1:
		l.announcedBallot, l.announced = ballot, 0
	}
	if chosen > l.announced {
		l.announced = chosen
		l.advance()
	}
}

func (l *learner) restore(lsn LSN, rec *Record) {
	switch {
	case rec.Kind == RecordPromise:
		l.restorePrefix(rec.Chosen)
	case rec.Kind == RecordAccept:
		l.onAnnounced(rec.Ballot, rec.Chosen)
	case rec.Kind == RecordChosen && rec.Slot > l.prefix && l.at(rec.Slot) == nil && !l.r.acceptor.lost(rec.Slot):
		*l.chosen.at(rec.Slot) = decision{rec, lsn}
		l.kept += rec.Size()
	}
	l.advance()
}

// restorePrefix takes this node's own word that everything up to slot was chosen and in its log.
func (l *learner) restorePrefix(slot Slot) {
	for s := l.prefix + 1; s <= slot; s++ {
		if l.at(s) != nil {
			continue
		}
		v := l.r.acceptor.votes.get(s)
		if v == nil || v.record == nil {
			return // its last record is lost: the value has to be learned anew
		}
		*l.chosen.at(s) = decision{v.record, v.lsn}
		l.kept += v.record.Size()
	}
}

// known returns the highest chosen prefix this node has heard of.
func (l *learner) known() Slot {
	known := l.announced
	for _, c := range l.peers {
		known = max(known, c)
	}
	return known
}

// onPeerPrefix takes note of how far a member is.
func (l *learner) onPeerPrefix(i int, chosen Slot) {
	for len(l.peers) <= i {
		l.peers = append(l.peers, 0)
	}
	l.peers[i] = max(l.peers[i], chosen)
}

func (l *learner) peerPrefix(i int) Slot {
	if i < len(l.peers) {
		return l.peers[i]
	}
	return 0
}

// tick asks a peer for what is missing, once the prefix has stood still for a moment: what is merely under way needs no asking.
func (l *learner) tick() {
	if l.asked && l.r.now-l.askedAt < int64(l.r.cfg.ResendTicks) {
		return
	}
	l.asked = false
	const patience = 3 // ticks
	if l.known() > l.prefix && l.r.now-l.movedAt >= patience {
		l.ask()
	}
}

// moved takes note that the prefix has moved: whoever could not help before may now.
func (l *learner) moved() {
	l.movedAt, l.tried, l.trimmed = l.r.now, 0, 0
}

// ask sends a Learn to the next member that is ahead and has not been asked in this round. When all have been, and some have trimmed what is missing, the round ends with
// a transfer from one of those.
func (l *learner) ask() {
	i, ok := l.nextToAsk()
	if !ok && l.trimmed != 0 {
		l.transfer()
		return
	}
	if !ok {
		l.tried = 0
		if i, ok = l.nextToAsk(); !ok {
			return
		}
	}
	l.tried = l.tried.with(i)
	l.asked, l.askedAt = true, l.r.now
	l.r.send(l.r.config().Members[i].ID, &Message{Kind: Learn, Slot: l.prefix + 1})
}

func (l *learner) nextToAsk() (i int, ok bool) {
	members := l.r.config().Members
	for range members {
		i = l.askNext % len(members)
		l.askNext = i + 1
		if members[i].ID != l.r.cfg.Self && l.peerPrefix(i) > l.prefix && !l.tried.has(i) {
			return i, true
		}
	}
	return 0, false
}

// onLearn serves a peer from memory, or asks the shell to read the log.
func (l *learner) onLearn(from NodeID, m *Message) {
	switch {
	case m.Slot == 0 || m.Slot > l.delivered:
		l.r.send(from, &Message{Kind: Learned, Chosen: l.prefix})
	case m.Slot < l.chosen.base:
		upto := min(l.delivered, l.chosen.base-1)
		l.r.fx.Fetches = append(l.r.fx.Fetches, Fetch{Peer: from, Slot: m.Slot, Upto: upto, Bytes: l.r.cfg.Limits.ChunkBytes})
	default:
		var records []*Record
		for size, s := 0, m.Slot; s <= l.delivered; s++ {
			rec := l.at(s)
			size += rec.Size()
			if len(records) > 0 && size > l.r.cfg.Limits.ChunkBytes {
				break
			}
			records = append(records, rec)
		}
		l.r.send(from, &Message{Kind: Learned, Records: records, Chosen: l.prefix})
	}
}

// onFetched passes on what the log had, or how far it is trimmed. Only slots that have been delivered were asked for, so the log's last record of each is the chosen one.
func (l *learner) onFetched(to NodeID, records []*Record, trimmed Slot) {
	if len(records) > 0 {
		trimmed = 0
	}
	l.r.send(to, &Message{Kind: Learned, Records: records, Chosen: l.prefix, Slot: trimmed})
}

// onLearned takes chosen values from a peer; they need no ballot. While there is more, it asks on.
func (l *learner) onLearned(i int, m *Message) {
	l.onPeerPrefix(i, m.Chosen)
	before := l.prefix
	for _, rec := range m.Records {
		l.choose(rec)
		l.advance()
	}
	if len(m.Records) == 0 {
		if m.Slot > l.prefix && l.tried.has(i) && !l.trimmed.has(i) {
			l.onTrimmed(i)
		}
		return // nothing to be had there: the next tick asks another
	}
	if l.prefix == before {
		return // repeated, or overtaken by another answer: were it to ask on, too, there would be ever more requests under way
	}
	l.asked = false
	if l.peerPrefix(i) > l.prefix && l.r.now-l.movedAt < int64(l.r.cfg.ResendTicks) {
		l.askNext = i
		l.ask()
	}
}
