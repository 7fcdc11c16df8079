package paxos

import "slices"

// election says who may try to lead: ballot leader election by quorum-connectivity (Ng et al., "Omni-Paxos", EuroSys 2023, in its newer form, where members tell each
// other whether they are happy with the leader). It decides nothing about safety: any number of members may believe that they lead.
type election struct {
	r     *Replica
	seen  Ballot // the highest ballot heard of, this node's own included: its node is the leader, if anybody is
	own   Ballot // the last ballot this node took over with in this boot
	happy bool
	peers []peer // the other members of all configurations that matter

	round     uint64
	roundAt   int64 // tick of the last round, 0 before the first
	unhappy   int   // rounds in a row in which this node could have taken over, less the patience for a new ballot
	attempts  int   // take-overs since a leader last lasted; the wait grows with them
	wait      int   // rounds to wait before the next take-over, on top of the rank
	settledAt int64 // tick since which the leader has been the same, and happy
	summoned  Slot  // a leader that is no member any more wants this node to take over once everything up to here is chosen; 0 if none does
	unfitTill int64 // resigned for want of progress: no take-over before this tick
	random    uint64
}

// peer is another member as last heard.
type peer struct {
	identity
	heardAt int64 // tick; replies older than the suspicion time do not count
	heard   bool
	round   uint64 // the last of this node's rounds that it has answered
	again   asked  // when it was last asked out of turn
	boot    uint32 // 0 from when the connection broke until it is heard again: it may be another one by then
	own     Ballot
	seen    Ballot
	happy   bool
}

// asked is when a member is asked out of turn at most once: in one of this node's rounds, at the ballot that it said it leads at, if it did.
type asked struct {
	round  uint64
	ballot Ballot
}

func newElection(r *Replica) election {
	e := election{r: r, seen: r.acceptor.promised, random: r.cfg.Seed, round: r.firstNumber()}
	e.onMembership()
	return e
}

// onMembership keeps what is known of those who are members still.
func (e *election) onMembership() {
	was := e.peers
	e.peers = nil
	for _, id := range e.r.others() {
		p := peer{identity: identity{id, e.r.incarnation(id)}}
		if i := slices.IndexFunc(was, func(old peer) bool { return old.identity == p.identity }); i >= 0 {
			p = was[i]
		}
		e.peers = append(e.peers, p)
	}
}

// peer returns what is known of another member, or nil.
func (e *election) peer(id NodeID) *peer {
	for i := range e.peers {
		if e.peers[i].node == id {
			return &e.peers[i]
		}
	}
	return nil
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
	e.r.retention.note()
	e.r.tellAll(e.question())
}

// question is what this node asks the others in its present round.
func (e *election) question() *Message {
	m := e.r.retention.sign(&Message{Kind: Heartbeat, Number: e.round, Chosen: e.r.learner.prefix})
	if e.r.proposer.phase == leading {
		m.Ballot = e.r.proposer.ballot
	}
	return m
}

// judge makes up this node's mind about the leader, and takes over if it should.
func (e *election) judge() {
	var alive, following Set // of the configuration in force
	if i := e.r.config().place(e.r.identity()); i >= 0 {
		alive, following = single(i), single(i)
	}
	content, leaderHappy := false, false
	for k := range e.peers {
		p := &e.peers[k]
		if !e.alive(p) {
			continue
		}
		if i := e.r.config().place(p.identity); i >= 0 {
			alive = alive.with(i)
			if p.seen.Compare(e.own) <= 0 {
				following = following.with(i)
			}
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
	if e.happy || content || !fit || !e.r.config().nominates(e.r.identity()) || !e.r.config().IsPhase1Quorum(alive) {
		e.unhappy = 0
		return
	}
	e.unhappy++
	if e.unhappy > e.rank()+e.wait {
		e.takeOver()
	}
}

// vacant reports whether all others have answered the present round, none of them has a leader, and this node comes before them all: the next tick would tell no more.
func (e *election) vacant() bool {
	for i := range e.peers {
		if p := &e.peers[i]; !e.alive(p) || p.round != e.round || p.happy {
			return false
		}
	}
	return e.roundAt > 0 && !e.happy && e.unhappy >= 0 && e.rank()+e.wait == 0 && e.fit() && e.r.config().nominates(e.r.identity())
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
	for i := range e.peers {
		p := &e.peers[i]
		if !e.alive(p) || !e.r.config().nominates(p.identity) {
			continue
		}
		theirs, ours := e.r.learner.peerPrefix(p.node), e.r.learner.prefix
		if theirs > ours || theirs == ours && p.node > e.r.cfg.Self {
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

// successor returns the proposer of the configuration in force that can best take over from this node, which is none any more: of those that can be heard the one that knows most; 0 if there is none.
func (e *election) successor() NodeID {
	var best *peer
	for i := range e.peers {
		p := &e.peers[i]
		if !e.r.config().nominates(p.identity) || !e.alive(p) {
			continue
		}
		if best == nil || e.r.learner.peerPrefix(p.node) > e.r.learner.peerPrefix(best.node) {
			best = p
		}
	}
	if best == nil {
		return 0
	}
	return best.node
}

// onTakeOver takes note that the leader cannot go on. Nobody else is believed.
func (e *election) onTakeOver(from NodeID, m *Message) {
	if m.Ballot != e.seen || m.Ballot.Node != from {
		return
	}
	e.summoned = m.Chosen
	e.r.learner.onPeerPrefix(from, m.Chosen)
	if e.r.learner.prefix < m.Chosen {
		e.r.learner.ask()
	}
}

// succeed takes over from a leader that has asked for it, once this node knows what that one knew.
func (e *election) succeed() {
	if e.summoned > 0 && e.summoned <= e.r.learner.prefix && e.r.config().nominates(e.r.identity()) {
		e.takeOver()
	}
}

// takeOver begins to lead with a ballot above every one seen. The boot counter makes it new even after a restart that forgot the last one.
func (e *election) takeOver() {
	e.own = Ballot{Round: e.seen.Round + 1, Node: e.r.cfg.Self, Boot: e.r.boot}
	e.seen = e.own
	e.happy, e.unhappy, e.summoned = true, 0, 0
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
	e.summoned = 0
	e.unhappy = -1 // it has just begun: whether its owner is happy is not yet known
	e.r.proposer.rest()
}

func (e *election) onHeartbeat(from identity, m *Message) {
	e.r.learner.onPeerPrefix(from.node, m.Chosen)
	e.r.retention.hear(from, m)
	if !m.Ballot.IsZero() {
		e.r.learner.onAnnounced(m.Ballot, m.Chosen)
	}
	e.r.send(from.node, e.r.retention.sign(&Message{Kind: HeartbeatReply, Number: m.Number, Ballot: e.own, Seen: e.seen, Flag: e.happy, Chosen: e.r.learner.prefix, Boot: e.r.boot}))
	now := asked{e.round, m.Ballot}
	if p := e.peer(from.node); p != nil && p.identity == from && p.again != now && (!e.alive(p) || e.beginsToLead(p, m.Ballot)) {
		p.again = now
		e.r.send(from.node, e.question()) // not at every word: where answers are lost, question would follow upon question
	}
}

// beginsToLead reports whether a member that says at which ballot it leads, if at any, is the leader, for all this node knows, and has not yet answered as one.
func (e *election) beginsToLead(p *peer, ballot Ballot) bool {
	return !ballot.IsZero() && !ballot.Less(e.seen) && !(p.happy && p.own == ballot)
}

// onConnected asks a peer that can be reached again at once.
func (e *election) onConnected(id NodeID) {
	if e.peer(id) != nil {
		e.r.send(id, e.question())
	}
}

// onReply takes an answer to one of the rounds that still count; an older one proves nothing about now.
func (e *election) onReply(from identity, m *Message) {
	e.r.learner.onPeerPrefix(from.node, m.Chosen)
	e.r.retention.hear(from, m)
	p := e.peer(from.node)
	if p == nil || p.identity != from {
		return
	}
	lately := uint64(e.r.cfg.SuspectTicks/e.r.cfg.HeartbeatTicks) + 1
	if m.Number > e.round || m.Number+lately <= e.round {
		return
	}
	*p = peer{identity: p.identity, heardAt: e.r.now, heard: true, round: m.Number, again: p.again, boot: m.Boot, own: m.Ballot, seen: m.Seen, happy: m.Flag}
	e.observe(maxBallot(m.Ballot, m.Seen))
	switch {
	case p.happy && p.own == e.seen:
		e.happy = true
	case e.vacant():
		e.takeOver()
	}
}

// onDisconnected shortens the time in which a peer must be heard again: a process that died has broken its connections.
func (e *election) onDisconnected(id NodeID) {
	if p := e.peer(id); p != nil {
		p.boot = 0
		p.heardAt = min(p.heardAt, e.r.now-int64(e.r.cfg.SuspectTicks)+int64(2*e.r.cfg.HeartbeatTicks))
	}
}

// alive reports whether a member has answered lately.
func (e *election) alive(p *peer) bool {
	return p.heard && e.r.now-p.heardAt < int64(e.r.cfg.SuspectTicks)
}

func (e *election) connected(id NodeID) bool {
	p := e.peer(id)
	return p != nil && e.alive(p)
}

// bootOf returns the boot in which a member was last heard.
func (e *election) bootOf(id NodeID) uint32 { return e.peer(id).boot }

// route returns the member to whom what is meant for the leader should be sent: the leader, or else someone who is happy with it; 0 if there is nobody.
func (e *election) route() NodeID {
	if !e.r.view.member {
		return 0 // nobody would listen
	}
	if e.connected(e.seen.Node) && e.bootOf(e.seen.Node) == e.seen.Boot {
		return e.seen.Node
	}
	for i := range e.peers {
		if p := &e.peers[i]; e.alive(p) && p.boot != 0 && p.happy && p.seen == e.seen && p.node != e.seen.Node {
			return p.node
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
	for i := range e.peers {
		if p := &e.peers[i]; e.alive(p) {
			e.r.send(p.node, &on)
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
