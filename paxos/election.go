package paxos

// election says who may try to lead: ballot leader election by quorum-connectivity (Ng et al., "Omni-Paxos", EuroSys 2023, in its newer form, where members tell each
// other whether they are happy with the leader). It decides nothing about safety: any number of members may believe that they lead.
type election struct {
	r     *Replica
	seen  Ballot // the highest ballot heard of, this node's own included: its node is the leader, if anybody is
	own   Ballot // the last ballot this node took over with in this boot
	happy bool
	peers []peer // by index in the configuration

	round     uint64
	roundAt   int64 // tick of the last round, 0 before the first
	unhappy   int   // rounds in a row in which this node could have taken over, less the patience for a new ballot
	attempts  int   // take-overs since a leader last lasted; the wait grows with them
	wait      int   // rounds to wait before the next take-over, on top of the rank
	settledAt int64 // tick since which the leader has been the same, and happy
	unfitTill int64 // resigned for want of progress: no take-over before this tick
	random    uint64
}

// peer is another member as last heard.
type peer struct {
	heardAt int64 // tick; replies older than the suspicion time do not count
	heard   bool
	boot    uint32 // 0 from when the connection broke until it is heard again: it may be another one by then
	own     Ballot
	seen    Ballot
	happy   bool
}

func newElection(r *Replica) election {
	return election{r: r, seen: r.acceptor.promised, random: r.cfg.Seed, round: r.firstNumber(), peers: make([]peer, len(r.cfg.Founders.Members))}
}

// attemptsMax bounds the back-off: a take-over waits at most 2^attemptsMax rounds for luck.
const attemptsMax = 4

// tick holds a round every heartbeat: judge what the last ones have brought, then ask again.
func (e *election) tick() {
	if e.roundAt > 0 && e.r.now-e.roundAt < int64(e.r.cfg.HeartbeatTicks) {
		return
	}
	e.roundAt = e.r.now
	e.observe(e.r.acceptor.promised)
	e.judge()
	e.round++
	m := &Message{Kind: Heartbeat, Number: e.round, Chosen: e.r.learner.prefix}
	if e.r.proposer.phase == leading {
		m.Ballot = e.r.proposer.ballot
	}
	for _, member := range e.r.config().Members {
		if member.ID != e.r.cfg.Self {
			e.r.send(member.ID, m)
		}
	}
}

// judge makes up this node's mind about the leader, and takes over if it should.
func (e *election) judge() {
	alive, following, content := single(e.r.selfIndex()), single(e.r.selfIndex()), false
	leaderHappy := false
	for i := range e.peers {
		p := &e.peers[i]
		if !e.alive(i) {
			continue
		}
		alive = alive.with(i)
		if p.seen.Compare(e.own) <= 0 {
			following = following.with(i)
		}
		content = content || p.happy
		leaderHappy = leaderHappy || p.happy && p.own == e.seen
	}
	fit := e.fit()
	if e.leads() {
		e.happy = fit && e.followed(following)
	} else {
		e.happy = leaderHappy && !e.seen.IsZero()
	}
	e.settle()
	if e.leads() && !e.happy {
		e.r.proposer.rest()
	}
	if e.happy || content || !fit || e.r.roles()&Proposer == 0 || !e.r.config().IsPhase1Quorum(alive) {
		e.unhappy = 0
		return
	}
	e.unhappy++
	if e.unhappy > e.rank()+e.wait {
		e.takeOver()
	}
}

// followed reports whether these members are enough for the phase that this node's proposer is in.
func (e *election) followed(members Set) bool {
	if e.r.proposer.phase == preparing {
		return e.r.config().IsPhase1Quorum(members)
	}
	return e.r.config().IsPhase2Quorum(members)
}

// leads reports whether the highest ballot known is this node's own and it has not resigned.
func (e *election) leads() bool {
	return e.own == e.seen && !e.own.IsZero() && e.r.proposer.phase != resting
}

// fit reports whether this node's disk and links get work done. An unfit leader resigns: its heartbeats alone are worth nothing.
func (e *election) fit() bool {
	if e.r.diskStalled() || e.r.proposer.stuck() {
		e.unfitTill = e.r.now + int64(e.r.cfg.SuspectTicks)
	}
	return e.r.now >= e.unfitTill
}

// settle lets the back-off end once a leader has lasted.
func (e *election) settle() {
	if !e.happy {
		e.settledAt = e.r.now
	} else if e.r.now-e.settledAt > int64(e.r.cfg.SuspectTicks) {
		e.attempts, e.wait = 0, 0
	}
}

// rank is how many members that can be heard should rather lead: those with a longer chosen prefix, then those with a higher id. It is a priority, never a condition.
func (e *election) rank() int {
	rank := 0
	for i, member := range e.r.config().Members {
		if !e.alive(i) || member.Roles&Proposer == 0 {
			continue
		}
		theirs, ours := e.r.learner.peerPrefix(i), e.r.learner.prefix
		if theirs > ours || theirs == ours && member.ID > e.r.cfg.Self {
			rank++
		}
	}
	return rank
}

// campaign takes over because somebody wants it. Safety does not care who leads, or how many.
func (e *election) campaign() {
	if e.r.roles()&Proposer != 0 {
		e.observe(e.r.acceptor.promised)
		e.takeOver()
	}
}

// takeOver begins to lead with a ballot above every one seen. The boot counter makes it new even after a restart that forgot the last one.
func (e *election) takeOver() {
	e.own = Ballot{Round: e.seen.Round + 1, Node: e.r.cfg.Self, Boot: e.r.cfg.Boot}
	e.seen = e.own
	e.happy, e.unhappy = true, 0
	e.settledAt = e.r.now
	e.attempts = min(e.attempts+1, attemptsMax)
	e.wait = int(e.next() % (1 << (e.attempts - 1)))
	e.r.proposer.prepare(e.own)
}

// next draws from a fixed sequence that the seed begins (SplitMix64): jitter that replays.
func (e *election) next() uint64 {
	e.random += 0x9e3779b97f4a7c15
	z := e.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// observe takes note of a ballot. A proposer with a lower one has been superseded.
func (e *election) observe(ballot Ballot) {
	if !e.seen.Less(ballot) {
		return
	}
	e.seen = ballot
	e.unhappy = -1 // it has just begun: whether its owner is happy is not yet known
	e.r.proposer.rest()
}

func (e *election) onHeartbeat(from NodeID, m *Message) {
	if i := e.r.config().Index(from); i >= 0 {
		e.r.learner.onPeerPrefix(i, m.Chosen)
	}
	if !m.Ballot.IsZero() {
		e.r.learner.onAnnounced(m.Ballot, m.Chosen)
	}
	e.r.send(from, &Message{Kind: HeartbeatReply, Number: m.Number, Ballot: e.own, Seen: e.seen, Flag: e.happy, Chosen: e.r.learner.prefix, Boot: e.r.cfg.Boot})
}

// onReply takes an answer to one of the rounds that still count; an older one proves nothing about now.
func (e *election) onReply(i int, m *Message) {
	lately := uint64(e.r.cfg.SuspectTicks/e.r.cfg.HeartbeatTicks) + 1
	if m.Number > e.round || m.Number+lately <= e.round {
		return
	}
	e.peers[i] = peer{heardAt: e.r.now, heard: true, boot: m.Boot, own: m.Ballot, seen: m.Seen, happy: m.Flag}
	e.r.learner.onPeerPrefix(i, m.Chosen)
	e.observe(maxBallot(m.Ballot, m.Seen))
}

// onDisconnected shortens the time in which a peer must be heard again: a process that died has broken its connections.
func (e *election) onDisconnected(id NodeID) {
	if i := e.r.config().Index(id); i >= 0 {
		e.peers[i].boot = 0
		e.peers[i].heardAt = min(e.peers[i].heardAt, e.r.now-int64(e.r.cfg.SuspectTicks)+int64(2*e.r.cfg.HeartbeatTicks))
	}
}

// alive reports whether the member at index i, another than this one, has answered lately.
func (e *election) alive(i int) bool {
	return e.peers[i].heard && e.r.now-e.peers[i].heardAt < int64(e.r.cfg.SuspectTicks)
}

func (e *election) connected(id NodeID) bool {
	i := e.r.config().Index(id)
	return i >= 0 && id != e.r.cfg.Self && e.alive(i)
}

// bootOf returns the boot in which a member was last heard.
func (e *election) bootOf(id NodeID) uint32 { return e.peers[e.r.config().Index(id)].boot }

// route returns the member to whom what is meant for the leader should be sent: the leader, or else someone who is happy with it; 0 if there is nobody.
func (e *election) route() NodeID {
	if e.connected(e.seen.Node) && e.bootOf(e.seen.Node) == e.seen.Boot {
		return e.seen.Node
	}
	for i, member := range e.r.config().Members {
		if p := &e.peers[i]; e.alive(i) && p.boot != 0 && p.happy && p.seen == e.seen && member.ID != e.seen.Node {
			return member.ID
		}
	}
	return 0
}

// sendTowards sends a message to its origin, or through everybody who may reach it.
func (e *election) sendTowards(origin NodeID, m *Message) {
	if e.connected(origin) || m.Hops >= uint8(e.r.cfg.Limits.HopsMax) {
		e.r.send(origin, m)
		return
	}
	on := *m
	on.Hops = uint8(e.r.cfg.Limits.HopsMax)
	for i, member := range e.r.config().Members {
		if e.alive(i) {
			e.r.send(member.ID, &on)
		}
	}
}

// passOn relays an answer that is on its way to its origin, if this node can reach it.
func (e *election) passOn(m *Message) {
	if e.connected(m.Origin) {
		e.r.send(m.Origin, m)
	}
}

// Leader returns the leader that this node follows, or 0 while it knows of none.
func (e *election) leader() NodeID {
	if !e.happy {
		return 0
	}
	return e.seen.Node
}
