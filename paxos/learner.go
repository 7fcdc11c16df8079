package paxos

import "slices"

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

	peers     []supplier // whoever may have what is missing: the members, and others that were heard
	movedAt   int64      // tick at which prefix last moved
	asked     bool       // a Learn is under way
	askedAt   int64
	askNext   int // index in peers of the one to ask next
	donorNext int // index in peers of the one to ask for a transfer next
}

// supplier is somebody who can be asked for what is chosen.
type supplier struct {
	node    NodeID
	chosen  Slot // its chosen prefix as last heard
	tried   bool // asked since the prefix last moved, or a round of asking ended
	trimmed bool // and it has trimmed what was asked for
}

// suppliersMax bounds those who are remembered: members, and others that were heard.
const suppliersMax = 4 * MembersMax

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
		if l.at(next).Value.IsChange() {
			l.reconfigure(next)
		}
	}
	if l.prefix == before {
		return
	}
	l.moved()
	l.r.acceptor.votes.dropBelow(l.prefix + 1)
	l.r.refresh()
	l.r.proposer.onPrefix()
	l.deliver()
}

// reconfigure passes a change of membership. The note in the log that everything up to there is chosen is durable before the change is delivered: whoever keeps what it has led to, and restarts,
// knows its prefix at least as well.
func (l *learner) reconfigure(slot Slot) {
	change, err := DecodeChange(l.at(slot).Value)
	if err != nil {
		panic(Violation("slot %d holds a change of membership that this version cannot read: %v; run the version that wrote it", slot, err))
	}
	l.r.membership.pass(slot, change)
	if !l.r.restoring() {
		l.chosen.get(slot).lsn = l.r.acceptor.note()
	}
}

// tellChange says what has become of a change that is delivered.
func (l *learner) tellChange(rec *Record) {
	if !rec.Value.IsChange() {
		return
	}
	change, err := DecodeChange(rec.Value)
	if err != nil {
		panic(Violation("slot %d held a change of membership when the prefix passed it: %v", rec.Slot, err))
	}
	l.r.fx.Reconfigured = append(l.r.fx.Reconfigured, Reconfigured{rec.Slot, change, l.r.membership.made(rec.Slot, change)})
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
			l.tellChange(d.record)
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

// known returns the highest chosen prefix this node has heard of, or knows to be there from the membership.
func (l *learner) known() Slot {
	known := max(l.announced, l.r.membership.settled())
	for _, p := range l.peers {
		known = max(known, p.chosen)
	}
	return known
}

// onMembership forgets those who are no members any more. They are remembered again when they are heard.
func (l *learner) onMembership() {
	was := l.peers
	l.peers = nil
	for _, id := range l.r.others() {
		p := supplier{node: id}
		if i := slices.IndexFunc(was, func(old supplier) bool { return old.node == id }); i >= 0 {
			p = was[i]
		}
		l.peers = append(l.peers, p)
	}
}

// peer returns what is known of a node, or nil.
func (l *learner) peer(id NodeID) *supplier {
	for i := range l.peers {
		if l.peers[i].node == id {
			return &l.peers[i]
		}
	}
	return nil
}

// onPeerPrefix takes note of how far a node is. It may be no member that is known here: who was away for long knows nobody else.
func (l *learner) onPeerPrefix(id NodeID, chosen Slot) {
	p := l.peer(id)
	if p == nil && id != l.r.cfg.Self && chosen > l.prefix && len(l.peers) < suppliersMax {
		l.peers = append(l.peers, supplier{node: id})
		p = &l.peers[len(l.peers)-1]
	}
	if p != nil {
		p.chosen = max(p.chosen, chosen)
	}
}

func (l *learner) peerPrefix(id NodeID) Slot {
	if p := l.peer(id); p != nil {
		return p.chosen
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
	switch {
	case l.known() <= l.prefix || l.r.now-l.movedAt < patience:
	case l.r.cfg.NoMachine && !l.r.votes():
		l.keepUp()
	default:
		l.ask()
	}
}

// keepUp lets a member that neither votes nor has a machine skip what is chosen, once that is a window or more: all that it needs of it is who the members are.
func (l *learner) keepUp() {
	for i := range l.peers {
		p := &l.peers[(l.donorNext+i)%len(l.peers)]
		if p.chosen >= l.prefix+l.r.membership.latest().Window {
			l.donorNext = (l.donorNext + i + 1) % len(l.peers)
			l.transferFrom(p.node)
			l.asked, l.askedAt = true, l.r.now
			return
		}
	}
}

// moved takes note that the prefix has moved: whoever could not help before may now.
func (l *learner) moved() {
	l.movedAt = l.r.now
	l.forgetTried()
}

func (l *learner) forgetTried() {
	for i := range l.peers {
		l.peers[i].tried, l.peers[i].trimmed = false, false
	}
}

// ask sends a Learn to the next node that is ahead and has not been asked in this round. When all have been, and some have trimmed what is missing, the round ends with
// a transfer from one of those.
func (l *learner) ask() {
	p := l.nextToAsk()
	if p == nil && slices.ContainsFunc(l.peers, func(p supplier) bool { return p.trimmed }) {
		l.transfer()
		return
	}
	if p == nil {
		l.forgetTried()
		if p = l.nextToAsk(); p == nil {
			return
		}
	}
	p.tried = true
	l.asked, l.askedAt = true, l.r.now
	l.r.send(p.node, &Message{Kind: Learn, Slot: l.prefix + 1})
}

func (l *learner) nextToAsk() *supplier {
	for range l.peers {
		i := l.askNext % len(l.peers)
		l.askNext = i + 1
		if p := &l.peers[i]; p.chosen > l.prefix && !p.tried {
			return p
		}
	}
	return nil
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
func (l *learner) onLearned(from NodeID, m *Message) {
	l.onPeerPrefix(from, m.Chosen)
	before := l.prefix
	for _, rec := range m.Records {
		l.choose(rec)
		l.advance()
	}
	if m.Flag {
		return
	}
	if len(m.Records) == 0 {
		if p := l.peer(from); p != nil && m.Slot > l.prefix && p.tried && !p.trimmed {
			l.onTrimmed(p)
		}
		return // nothing to be had there: the next tick asks another
	}
	if l.prefix == before {
		return // repeated, or overtaken by another answer: were it to ask on, too, there would be ever more requests under way
	}
	l.asked = false
	if l.peerPrefix(from) > l.prefix && l.r.now-l.movedAt < int64(l.r.cfg.ResendTicks) {
		l.askNext = slices.IndexFunc(l.peers, func(p supplier) bool { return p.node == from })
		l.ask()
	}
}
