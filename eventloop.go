package synod

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
	"synod.dev/synod/wal"
)

// eventLoop drives the core: it takes what the inbox has, steps, and hands the effects to those who carry them out. It is the only goroutine that touches the core.
type eventLoop struct {
	n       *Node
	applied paxos.Slot // of the machine, when the node was opened
	tick    time.Duration

	foundMu  sync.Mutex // founding is asked by the transport, too
	founding *founding

	replica *paxos.Replica // nil until the node is active
	fx      paxos.Effects
	held    []*readWaiter            // reads that came before that
	reads   map[uint64][]*readWaiter // by the name the core knows them under
	read    uint64                   // the last such name
	waiting []uint64                 // numbers of commands that did not happen for want of a leader, and are to be tried again
	seen    LeaderChange             // as last told
	leaders leaderLog
	doubts  []doubt
	changes changes
	steward steward

	handedOver time.Time // since when those who were removed by the last change are needed no longer; zero while they are
	refused    error     // why this disk, which was never active, has been refused first; nil if it was not, or the refusal has turned out to be late
	refusedAt  time.Time
	met        map[paxos.NodeID]paxos.Incarnation // who is connected, and in which incarnation
}

// doubt is what a change of leader leaves: commands up to a number were handed to an earlier one. Those that survived are applied soon after; of the rest nobody will ever know more.
type doubt struct {
	upto uint64
	end  time.Time
}

const (
	ticksPerHeartbeat = 10
	cacheBytesMax     = 16 << 20 // of chosen records in memory, for peers that lag a little; never more than the log has
)

func newEventLoop(n *Node, applied paxos.Slot) (*eventLoop, error) {
	l := &eventLoop{n: n, applied: applied, tick: n.cfg.Heartbeat / ticksPerHeartbeat, reads: make(map[uint64][]*readWaiter), met: map[paxos.NodeID]paxos.Incarnation{}}
	l.leaders = leaderLog{logger: n.logger, self: n.cfg.ID, settle: 2 * n.cfg.Heartbeat, patience: 2 * n.cfg.ElectionTimeout}
	l.changes.l = l
	l.steward.l = l
	if n.vital.Founders == nil || slices.Equal(n.vital.Founders, []byte{joinedLater}) {
		n.pending.beginAnew() // before the first command comes: it may join yet
	}
	if slices.Equal(n.vital.Founders, []byte{joinedLater}) {
		if n.membership.configurations() == nil { // of format 1.0: the vital state knows no epoch
			return nil, fmt.Errorf("synod: %s has joined a cluster, and the file %s, which says who the members are, is gone: restore it, or replace this member", n.cfg.Dir, membershipName)
		}
		return l, l.activate(nil)
	}
	founders, list, err := n.founders()
	if err != nil {
		return nil, fmt.Errorf("synod: %s does not fit the configuration: %w", n.cfg.Dir, err)
	}
	l.founding = newFounding(founders, n.cfg.ID, n.vital.Incarnation, list, n.log.Durable() > 0)
	if len(n.cfg.Members) == 1 && list == nil && !n.cfg.Join {
		if err := l.agree([]paxos.Incarnation{n.vital.Incarnation}); err != nil {
			return nil, err
		}
	}
	if l.founding.ready() {
		return l, l.activateFounder()
	}
	l.join() // a crash may have cut that short: nobody may ever say anything newer
	return l, nil
}

// founders returns who founded the cluster, and in which incarnations, if that is decided. Config has to say the same, until the membership has changed.
func (n *Node) founders() (founders, []paxos.Incarnation, error) {
	told := founders{n.cfg.Members, n.cfg.Phase1, n.cfg.Phase2}
	switch {
	case n.vital.Founders == nil:
		return told, nil, nil
	case n.membership.configurations() == nil:
		list, err := told.decode(n.vital.Founders)
		return told, list, err
	}
	return decodeFounders(n.vital.Founders)
}

// run is the loop.
func (l *eventLoop) run() {
	defer func() {
		if r := recover(); r != nil {
			violation, ok := r.(paxos.ViolationError)
			if !ok {
				panic(r)
			}
			l.n.Fail(violation)
		}
	}()
	ticker := time.NewTicker(l.tick)
	defer ticker.Stop()
	var events []paxos.Event
	var reads []*readWaiter
	var calls []func()
	for {
		ticked := false
		select {
		case <-l.n.inbox.wake:
		case <-ticker.C:
			ticked = true
		case <-l.n.closing:
			return
		case <-l.n.done:
			return
		}
		events, reads, calls = l.n.inbox.take(events, reads)
		for _, fn := range calls {
			fn()
		}
		if ticked {
			l.onTick()
		}
		l.step(events, reads, ticked)
	}
}

// step gives the core everything at hand and carries out what comes of it.
func (l *eventLoop) step(events []paxos.Event, reads []*readWaiter, ticked bool) {
	if l.replica == nil {
		l.hold(events, reads)
		return
	}
	l.fx.Reset()
	if ticked {
		l.replica.Step(paxos.Event{Kind: paxos.Tick}, &l.fx)
	}
	for i := range events {
		l.replica.Step(events[i], &l.fx)
	}
	if len(reads)+len(l.held) > 0 {
		l.read++
		l.reads[l.read] = slices.Concat(l.held, reads)
		l.held = nil
		l.replica.Step(paxos.Event{Kind: paxos.Read, Read: l.read}, &l.fx)
	}
	l.replica.Step(paxos.Event{Kind: paxos.Idle}, &l.fx)
	l.perform()
	if ticked {
		l.publish()
	}
}

// perform carries out the effects. Nothing here has to wait for anything else: what must wait for the disk is still inside the core.
func (l *eventLoop) perform() {
	if len(l.fx.Records) > 0 {
		for _, rec := range l.fx.Records {
			rec.Seal()
		}
		l.n.disk.append(l.fx.Records)
	}
	if len(l.fx.Messages) > 0 {
		l.n.send(l.fx.Messages)
	}
	if len(l.fx.Reconfigured) > 0 {
		if err := l.n.membership.keep(l.replica.Configurations()); err != nil {
			l.n.Fail(err)
			return
		}
	}
	l.publishMembership()
	for _, rc := range l.fx.Reconfigured {
		l.changes.onReconfigured(rc)
	}
	l.changes.giveUp()
	if l.fx.Removed {
		l.n.logger.Warn("this member has been removed from the cluster: it does not vote any more, and stops when the others have what it has")
	}
	if len(l.fx.Chosen) > 0 && l.n.machine != nil {
		l.n.apply.deliver(l.fx.Chosen)
	}
	for _, ready := range l.fx.Reads {
		l.n.apply.when(ready.Slot, l.reads[ready.Read])
		delete(l.reads, ready.Read)
	}
	if len(l.fx.Rejected) > 0 {
		l.onRejected(l.fx.Rejected)
	}
	if len(l.fx.Decided) > 0 {
		l.n.pending.resolve(l.fx.Decided, make([]outcome, len(l.fx.Decided)))
	}
	for _, f := range l.fx.Fetches {
		l.fetch(f)
	}
	for _, tr := range l.fx.Transfers {
		l.n.receiver.begin(tr.Peer, tr.Skip)
	}
	if leader, ballot := l.replica.Leader(); leader != l.seen.Leader || ballot != l.seen.Ballot {
		l.onLeader(LeaderChange{Leader: leader, Ballot: ballot})
	}
}

// onRejected tells callers what did not happen; for want of a leader it will be tried again.
func (l *eventLoop) onRejected(rejected []paxos.Rejection) {
	var numbers []uint64
	var outcomes []outcome
	for _, rj := range rejected {
		if l.changes.onRejected(rj) {
			continue
		}
		if rj.Reason == paxos.NoLeader {
			l.n.pending.setHanded(rj.ID, false)
			l.waiting = append(l.waiting, rj.ID)
			continue
		}
		numbers = append(numbers, rj.ID)
		outcomes = append(outcomes, outcome{err: ErrOverloaded})
	}
	l.n.pending.resolve(numbers, outcomes)
}

// retry proposes again what did not happen.
func (l *eventLoop) retry() {
	waiting := l.waiting
	l.waiting = nil
	for _, number := range waiting {
		if w := l.n.pending.renumber(number); w != nil {
			l.n.inbox.put(paxos.Event{Kind: paxos.Propose, Proposal: l.n.proposal(w)})
		}
	}
}

func (l *eventLoop) onLeader(change LeaderChange) {
	l.seen = change
	l.publish()
	if change.Leader != 0 {
		l.doubts = append(l.doubts, doubt{upto: l.n.pending.last(), end: time.Now().Add(l.n.cfg.ElectionTimeout)})
	}
	if e := l.n.cfg.Events; e != nil && e.LeaderChanged != nil {
		e.LeaderChanged(change)
	}
}

func (l *eventLoop) publish() {
	if l.replica == nil {
		return
	}
	s := l.replica.Status()
	l.n.view.Store(&s)
	l.leaders.observe(time.Now(), &s)
}

// publishMembership shows what is known of the membership, and tells whoever wants to know, if it is something new.
func (l *eventLoop) publishMembership() {
	inForce, latest, removed := l.replica.Membership()
	now, was := Membership{InForce: inForce, Latest: latest, Removed: removed}, l.n.members.Load()
	if was != nil && *was == now {
		return
	}
	l.n.members.Store(&now)
	if was != nil && was.Latest.Epoch != latest.Epoch {
		l.n.logger.Info("the membership has changed", "epoch", latest.Epoch, "members", describe(latest))
	}
	if l.lacksMachine(latest) {
		l.n.Fail(errMachineMissing)
	}
	l.n.contacts.learn(l.replica.Configurations(), false)
	l.handedOver = time.Time{}
	if e := l.n.cfg.Events; was != nil && e != nil && e.MembershipChanged != nil {
		e.MembershipChanged(now)
	}
}

// errMachineMissing ends a node that a change of membership has made a learner: it would lead, or be counted on for what it has applied, and apply nothing.
var errMachineMissing = errors.New("a change of membership has made this member a learner, and it has no state machine: start it again with one, under its new roles, and it fetches the state; or change its roles back")

// lacksMachine reports whether a configuration has this node learn, and it cannot.
func (l *eventLoop) lacksMachine(c *paxos.Configuration) bool {
	if l.n.machine != nil || c == nil {
		return false
	}
	i := c.Index(l.n.cfg.ID)
	return i >= 0 && c.Members[i].Roles&paxos.Learner != 0
}

// fetch reads chosen records from the log for a lagging peer, beside the loop.
func (l *eventLoop) fetch(f paxos.Fetch) {
	l.n.run(func() {
		var records []*paxos.Record
		var trimmed paxos.Slot
		for slot, size := f.Slot, 0; slot <= f.Upto; slot++ {
			rec, err := l.n.log.Read(slot)
			if errors.Is(err, wal.ErrTrimmed) {
				trimmed = l.n.log.Vital().Trimmed
				break
			}
			if err != nil {
				if muted, ok := l.n.unserved.May(time.Now()); ok && !errors.Is(err, wal.ErrClosed) {
					l.n.logger.Warn("cannot serve a lagging peer from the log", "slot", slot, "peer", hexID(f.Peer), "error", err, "muted", muted)
				}
				break
			}
			if size += rec.Size(); size > f.Bytes && len(records) > 0 {
				break
			}
			records = append(records, rec)
		}
		l.n.inbox.put(paxos.Event{Kind: paxos.Fetched, Peer: f.Peer, Records: records, Slot: trimmed})
	})
}

func (l *eventLoop) onTick() {
	if l.replica == nil {
		l.announceFounding()
		l.judgeRefusal()
		return
	}
	if l.n.apply.lacks() > 0 {
		l.n.receiver.beginAnywhere()
	}
	l.n.receiver.tidy()
	if len(l.waiting) > 0 && l.replica.KnowsWay() {
		l.retry()
	}
	l.changes.tick()
	l.steward.tick()
	l.retire()
	for len(l.doubts) > 0 && time.Now().After(l.doubts[0].end) {
		l.n.pending.giveUp(l.doubts[0].upto)
		l.doubts = l.doubts[1:]
	}
}

// hold keeps what callers want until the node is active. Messages of others are dropped: nothing has been promised yet.
func (l *eventLoop) hold(events []paxos.Event, reads []*readWaiter) {
	for _, ev := range events {
		if ev.Kind == paxos.Propose {
			l.n.pending.setHanded(ev.Proposal.ID, false)
			l.waiting = append(l.waiting, ev.Proposal.ID)
		}
	}
	l.held = append(l.held, reads...)
}

// admit is asked by the transport, on its own goroutines.
func (l *eventLoop) admit(id paxos.NodeID, incarnation paxos.Incarnation) error {
	l.foundMu.Lock()
	defer l.foundMu.Unlock()
	return l.founding.admit(id, incarnation)
}

func (l *eventLoop) onConnected(id paxos.NodeID, incarnation paxos.Incarnation) {
	l.met[id] = incarnation
	if !l.founds() {
		return
	}
	l.foundMu.Lock()
	list := l.founding.meet(id, incarnation)
	l.foundMu.Unlock()
	l.found(list)
	l.announceFounding()
}

// refusalPatience is for how many election timeouts a new disk that is refused in a founder's place waits for an invitation: those who refuse it may be the last to hear of it.
const refusalPatience = 10

// doubtRefusal takes note that this disk is refused because the cluster knows the member on another one.
func (l *eventLoop) doubtRefusal(refusal error) {
	if l.replica != nil || l.refused != nil || l.n.cfg.ReplaceWiped {
		return
	}
	l.refused, l.refusedAt = refusal, time.Now()
	l.n.logger.Warn("this member is refused: it waits a while for an invitation", "for", refusalPatience*l.n.cfg.ElectionTimeout, "error", refusal)
}

// judgeRefusal ends this node if it has been refused, and nobody has invited it since.
func (l *eventLoop) judgeRefusal() {
	if l.refused == nil || time.Since(l.refusedAt) < refusalPatience*l.n.cfg.ElectionTimeout {
		return
	}
	if !l.n.contacts.isLate(l.refused.Error()) {
		l.n.Fail(l.refused)
	}
	l.refused = nil
}

// founds reports whether this node was, or is to be, one of the founders, and the membership is theirs still.
func (l *eventLoop) founds() bool {
	return l.founding != nil && !l.n.cfg.Join && (l.replica == nil || l.n.Membership().Latest.Epoch == 0)
}

func (l *eventLoop) onNotice(from paxos.NodeID, b []byte) {
	if !l.founds() {
		return
	}
	l.foundMu.Lock()
	n, err := l.founding.decodeNotice(b)
	var adopt []paxos.Incarnation
	if err == nil {
		adopt, err = l.founding.hear(from, n)
	}
	l.foundMu.Unlock()
	switch {
	case err == nil:
		l.found(adopt)
	case l.replica != nil:
		l.n.Fail(err)
	default:
		l.doubtRefusal(err)
	}
}

// found makes a list of founders durable, if there is one to be, and activates the node once everybody has the same.
func (l *eventLoop) found(list []paxos.Incarnation) {
	if list != nil {
		if err := l.agree(list); err != nil {
			l.n.Fail(err)
			return
		}
		l.announceFounding()
	}
	l.foundMu.Lock()
	ready := l.founding.ready()
	l.foundMu.Unlock()
	if ready && l.replica == nil {
		l.n.logger.Info("the cluster is founded", "members", len(l.n.cfg.Members))
		if err := l.activateFounder(); err != nil {
			l.n.Fail(err)
		}
		l.announceFounding()
	}
}

// agree makes the list durable before anybody is told of it.
func (l *eventLoop) agree(list []paxos.Incarnation) error {
	if err := l.n.log.SetFounders(l.founding.encode(list)); err != nil {
		return fmt.Errorf("cannot store the list of founders: %w", err)
	}
	l.foundMu.Lock()
	l.founding.settle(list)
	l.foundMu.Unlock()
	return nil
}

// isFounder reports whether this disk has agreed to a list of founders, whether or not it knows that all have. Any goroutine may ask.
func (l *eventLoop) isFounder() bool {
	l.foundMu.Lock()
	defer l.foundMu.Unlock()
	return l.founding != nil && l.founding.list != nil
}

func (l *eventLoop) announceFounding() {
	if l.n.transport == nil || !l.founds() {
		return
	}
	l.foundMu.Lock()
	b := append([]byte{frameNotice}, l.founding.encodeNotice()...)
	l.foundMu.Unlock()
	for _, m := range l.n.cfg.Members {
		if m.ID != l.n.cfg.ID {
			l.n.transport.Send(uint64(m.ID), transport.Control, b)
		}
	}
}

func (l *eventLoop) activateFounder() error {
	config, err := l.founding.configuration(l.founding.list)
	if err != nil {
		return err
	}
	l.n.membership.found(config)
	return l.activate(config)
}

// join makes this node a member of a cluster that exists, once a peer has shown that it is invited: this disk is new, and promises that an earlier one has made are not expected of it. From then on it goes by its own log.
// A founder that was away since it agreed to the list is active as soon as it hears of a change: only active members make one.
func (l *eventLoop) join() {
	known := l.n.contacts.invitation()
	switch {
	case l.replica != nil || known == nil:
		return
	case l.isFounder():
		l.n.logger.Info("the cluster was founded, and has changed since", "epoch", latestOf(known).Epoch)
		if err := l.activateFounder(); err != nil {
			l.n.Fail(err)
		}
		return
	case l.n.log.Vital().Founders != nil:
		return
	}
	err := l.n.membership.keep(known)
	if err == nil {
		err = l.n.log.SetFounders([]byte{joinedLater})
	}
	if err == nil {
		l.n.logger.Info("this member is invited: it learns what the others hold", "epoch", latestOf(known).Epoch)
		err = l.activate(nil)
	}
	if err != nil {
		l.n.Fail(err)
	}
}

// activate brings the core to life from what the log holds. A disk that has joined later has no founders.
func (l *eventLoop) activate(founders *paxos.Configuration) error {
	released, err := releasedFile.read(l.n.cfg.fs, l.n.cfg.Dir, l.n.vital.Incarnation)
	if err != nil {
		return fmt.Errorf("cannot read what the log may be trimmed by: %w", err)
	}
	c, known := &l.n.cfg, l.n.membership.configurations()
	suspect := int(c.ElectionTimeout / 2 / l.tick)
	replica, err := paxos.New(paxos.Config{
		Self: c.ID, Incarnation: l.n.vital.Incarnation, Boot: l.n.vital.Boot, Founders: founders, Seed: uint64(l.n.vital.Incarnation) + uint64(l.n.vital.Boot),
		NoMachine: l.n.machine == nil, HeartbeatTicks: ticksPerHeartbeat, SuspectTicks: suspect, ResendTicks: 2 * ticksPerHeartbeat,
		Limits: paxos.Limits{AdmissionBytes: c.MaxPendingBytes, AdmissionCount: c.MaxPending, CacheBytes: int(min(c.LogBytes, cacheBytesMax))},
	}, paxos.Stable{Promised: l.n.vital.Promised, Applied: max(l.applied, l.n.log.Vital().Trimmed), Last: l.n.log.Durable(),
		Lacking: l.n.apply.lacks(), Released: released, Configurations: known})
	if err != nil {
		return err
	}
	for _, u := range l.n.log.Unknown() {
		l.n.logger.Warn("a record of this member's log is damaged: its vote there is unknown until it is repaired", "slot", u.Slot, "ballot", u.Ballot.String())
		replica.RestoreUnknown(u.Slot, u.Ballot)
	}
	if err := l.n.log.Replay(l.applied+1, func(lsn paxos.LSN, rec *paxos.Record) error {
		replica.Restore(lsn, rec)
		return nil
	}); err != nil {
		return fmt.Errorf("cannot read the log: %w", err)
	}
	if err := l.n.membership.keep(replica.Configurations()); err != nil {
		return err
	}
	if _, latest, _ := replica.Membership(); l.lacksMachine(latest) {
		return errMachineMissing
	}
	if l.n.machine != nil {
		l.n.apply.deliverLogged(replica.Delivered())
	}
	l.replica = replica
	l.publish()
	l.publishMembership()
	return nil
}
