package paxos

// reader confirms that reads see every write acknowledged before they began: ReadIndex (Ongaro, "Consensus: Bridging Theory and Practice", 2014, §6.4),
// batched. Every round and every request has a fresh number; an answer to an older one counts for nothing.
type reader struct {
	r       *Replica
	waiting []uint64 // this node's reads that are neither asked for nor in a round

	number uint64   // the last one used, for requests and rounds alike
	asked  uint64   // the request that is under way, or 0
	reads  []uint64 // what it asks for
	sentAt int64

	foreign []foreignRead // requests of other members that are not in a round
	round   readRound
}

type foreignRead struct {
	origin NodeID
	number uint64
}

// readRound asks the acceptors once whether anybody leads above us. The zero round is none.
type readRound struct {
	number  uint64
	slot    Slot           // the chosen prefix when it began
	config  *Configuration // of the slot after
	acks    Set
	reads   []uint64
	foreign []foreignRead
	sentAt  int64
}

// foreignReadsMax bounds the requests that wait at a leader: each member has at most one under way, the rest are old ones of the same members.
const foreignReadsMax = 4 * MembersMax

// add takes a read of this node's callers.
func (rd *reader) add(read uint64) { rd.waiting = append(rd.waiting, read) }

// flush begins a round, or asks the leader to, unless one is under way: what comes meanwhile goes together in the next.
func (rd *reader) flush() {
	if rd.r.proposer.phase == leading {
		rd.begin()
		return
	}
	to := rd.r.election.route()
	if rd.asked != 0 || len(rd.waiting) == 0 || to == 0 || to == rd.r.cfg.Self {
		return
	}
	rd.number++
	rd.asked, rd.sentAt = rd.number, rd.r.now
	rd.reads, rd.waiting = rd.waiting, rd.reads[:0]
	rd.r.send(to, &Message{Kind: ReadRequest, Ballot: rd.r.election.seen, Number: rd.asked, Origin: rd.r.cfg.Self})
}

// begin starts a round for everything that waits. The slot is read now, after all of it has arrived; and not before every slot that a predecessor may have
// had chosen is known to be.
func (rd *reader) begin() {
	if rd.round.number != 0 || len(rd.waiting)+len(rd.foreign) == 0 || !rd.r.proposer.mayServeReads() {
		return
	}
	rd.number++
	rd.round = readRound{number: rd.number, slot: rd.r.learner.prefix, config: rd.r.config(), sentAt: rd.r.now, reads: rd.waiting, foreign: rd.foreign}
	rd.waiting, rd.foreign = nil, nil
	rd.r.broadcast(rd.round.config, Acceptor, &Message{Kind: ReadProbe, Ballot: rd.r.proposer.ballot, Number: rd.round.number})
}

// onAck counts confirmations of this very round. A phase-2 quorum meets every phase-1 quorum: had a higher ballot finished phase 1 before the round began, one
// of these acceptors would have promised it.
//
// It is a quorum of the configuration that was in force when the round began. A leader of the next one cannot have begun without knowing everything that this one governs: what was chosen there this leader
// has had chosen itself, or a higher ballot has, with promises of a quorum of this very configuration.
func (rd *reader) onAck(from identity, m *Message) {
	if rd.r.proposer.phase != leading || m.Ballot != rd.r.proposer.ballot || rd.round.number == 0 || m.Number != rd.round.number {
		return
	}
	i := rd.round.config.place(from)
	if i < 0 {
		return
	}
	rd.round.acks = rd.round.acks.with(i)
	if !rd.round.config.IsPhase2Quorum(rd.round.acks) {
		return
	}
	done := rd.round
	rd.round = readRound{}
	rd.release(done.reads, done.slot)
	for _, f := range done.foreign {
		rd.r.election.sendTowards(f.origin, &Message{Kind: ReadReply, Origin: f.origin, Number: f.number, Slot: done.slot})
	}
}

func (rd *reader) release(reads []uint64, slot Slot) {
	for _, read := range reads {
		rd.r.fx.Reads = append(rd.r.fx.Reads, ReadReady{read, slot})
	}
}

// onRequest answers another member, takes its reads into the next round, which of a candidate is the first once it leads, or passes the request on.
func (rd *reader) onRequest(from identity, m *Message) {
	switch {
	case rd.r.proposer.phase != resting && rd.r.proposer.ballot == m.Ballot:
		if rd.confirms(from, m) {
			rd.r.send(from.node, &Message{Kind: ReadReply, Origin: m.Origin, Number: m.Number, Slot: rd.r.learner.prefix})
		} else if len(rd.foreign) < foreignReadsMax {
			rd.foreign = append(rd.foreign, foreignRead{m.Origin, m.Number})
		}
	case m.Ballot.Node != rd.r.cfg.Self && m.Hops < uint8(rd.r.cfg.Limits.HopsMax) && rd.r.election.connected(m.Ballot.Node):
		on := *m
		on.Hops++
		rd.r.send(m.Ballot.Node, &on)
	}
}

// confirms reports whether a request is as good as a round for the reads that it is about. A member asks at the highest ballot that it has seen, and its promise is not above that: so a request at this
// leader's ballot, from the reader itself, acknowledges that ballot at a time after the reads began. This node has promised nothing above it either, or it would not lead. In a cluster of three the two are a quorum.
func (rd *reader) confirms(from identity, m *Message) bool {
	config := rd.r.config()
	i, self := config.place(from), config.place(rd.r.identity())
	return m.Origin == from.node && i >= 0 && self >= 0 && config.IsPhase2Quorum(Set(0).with(i).with(self)) && rd.r.proposer.mayServeReads()
}

// onReply releases the reads of the request under way.
func (rd *reader) onReply(m *Message) {
	if m.Origin != rd.r.cfg.Self {
		rd.r.election.passOn(m)
		return
	}
	if rd.asked == 0 || m.Number != rd.asked {
		return
	}
	rd.asked = 0
	rd.release(rd.reads, m.Slot)
	rd.reads = rd.reads[:0]
}

// onRest takes back the reads of a round that this node, which has given up its ballot, cannot finish.
func (rd *reader) onRest() {
	rd.waiting = append(rd.waiting, rd.round.reads...)
	rd.round = readRound{}
	rd.foreign = nil
}

// tick repeats what was not answered, under a new number.
func (rd *reader) tick() {
	resend := int64(rd.r.cfg.ResendTicks)
	if rd.asked != 0 && rd.r.now-rd.sentAt >= resend {
		rd.asked = 0
		rd.waiting = append(rd.waiting, rd.reads...)
		rd.reads = rd.reads[:0]
	}
	if rd.round.number != 0 && rd.r.now-rd.round.sentAt >= resend {
		again := rd.round
		rd.round = readRound{}
		rd.waiting = append(rd.waiting, again.reads...)
		rd.foreign = append(rd.foreign, again.foreign...)
	}
}
