// Package paxos is Multi-Paxos as a pure state machine: proposer, acceptor and learner, and Replica, which composes them.
//
// It follows Lamport, "Paxos Made Simple" (2001); docs/protocol.md says how, and what it adds. Nothing in it starts a goroutine, reads a clock, draws a random number, does I/O or
// depends on the order of a map: an event goes into Replica.Step, effects come out, and the same events give the same
// effects. The contract of whoever drives it:
//
//  1. Make the boot counter durable, higher than ever before on this disk, before New.
//  2. Call RestoreUnknown for each slot whose last record is damaged, then Restore for every sound record of the log above the applied slot, in order; then call Step, from one goroutine.
//  3. After each Step, append Effects.Records to the log, in order; send Effects.Messages; give Effects.Chosen to the state machine, in order; and so on with the rest.
//     These are independent of each other: nothing need wait for the disk, since whatever must wait is still inside.
//  4. Report Durable when a sync has returned, and never before. Report nothing after the disk has failed: stop.
//  5. When no more input is at hand, step with Idle: batches are cut then.
//
// A violated invariant is a panic with a ViolationError: stop the replica and say why; never go on.
package paxos

import (
	"errors"
	"fmt"
)

// Config says what a Replica is. Times are in ticks.
type Config struct {
	Self        NodeID
	Incarnation Incarnation
	Boot        uint32         // higher at each start, durable before New
	Founders    *Configuration // nil on a disk that has joined later: then Stable.Configurations says who the members are
	Seed        uint64         // for jitter in elections; nothing else depends on it

	NoMachine bool // what is chosen feeds nothing here, so it need not all be known

	HeartbeatTicks int // between two heartbeats
	SuspectTicks   int // a member not heard for this long is suspected; a disk that makes no progress for this long is stalled
	ResendTicks    int // an unanswered message is sent again after this long

	Limits Limits
}

// Limits bound what a Replica holds and sends. A zero stands for the default.
type Limits struct {
	InflightBytes   int // proposed and not yet chosen. Default 32 MiB
	BatchBytes      int // of one slot's value, unless a single command is larger. Default 1 MiB
	ChunkBytes      int // of reports or learned records in one message, at least one. Default 1 MiB
	CacheBytes      int // of chosen records kept for peers that lag a little. Default 16 MiB
	AdmissionBytes  int // queued at the leader. Default 64 MiB
	AdmissionCount  int // queued at the leader. Default 65,536
	QuantumBytes    int // of deficit round robin between sources. Default 16 KiB
	HopsMax         int // relays of a forwarded request. Default 3
	ReorderingSlots int // an acceptor votes only this far above its own chosen prefix: it must catch up first. Default 4 × the window
}

func (l Limits) withDefaults(window Slot) Limits {
	def := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	def(&l.InflightBytes, 32<<20)
	def(&l.BatchBytes, 1<<20)
	def(&l.ChunkBytes, 1<<20)
	def(&l.CacheBytes, 16<<20)
	def(&l.AdmissionBytes, 64<<20)
	def(&l.AdmissionCount, 65536)
	def(&l.QuantumBytes, 16<<10)
	def(&l.HopsMax, 3)
	def(&l.ReorderingSlots, 4*int(window))
	return l
}

// ViolationError is the value of the panic that ends a replica whose invariants do not hold.
type ViolationError struct{ msg string }

func (e ViolationError) Error() string { return "paxos: invariant violated: " + e.msg }

// Violation makes a ViolationError.
func Violation(format string, args ...any) ViolationError {
	return ViolationError{fmt.Sprintf(format, args...)}
}

// Event is one input of a Replica.
type Event struct {
	Kind        EventKind
	From        NodeID      // Received: the sender, as the transport has checked it
	Incarnation Incarnation // Received: of the sender
	Message     *Message    // Received, Unsent
	LSN         LSN         // Durable: everything up to this record is on disk
	Proposal    Proposal    // Propose
	Read        uint64      // Read: the caller's name for it, unique for this boot
	Peer        NodeID      // Connected, Disconnected, Fetched
	Records     []*Record   // Mended. Fetched: what the log has of the run asked for, ascending, possibly none
	Slot        Slot        // Fetched: without records, the slot up to which the log is trimmed, if that is why. Installed

	Change         *Change          // Reconfigure; its Origin is filled in
	Configurations []*Configuration // Installed: what a replica that had passed Slot knew of the membership, then or later
}

// EventKind says what happened.
type EventKind uint8

const (
	Tick         EventKind = 1 + iota // one unit of time has passed
	Idle                              // no more input is at hand
	Received                          // a message has come
	Durable                           // a sync has returned
	Propose                           // a command is to be put into the log
	Read                              // a linearizable read is wanted
	Connected                         // a peer can be reached from now on; telling is a courtesy that spares a heartbeat
	Disconnected                      // the connection from a peer has broken
	Fetched                           // a Fetch has been carried out
	Unsent                            // a Forward has certainly not been sent to anyone; telling is a courtesy
	Installed                         // the machine holds the effects of everything up to Slot, durably, and the log is trimmed up to there
	Campaign                          // take over now, with a ballot above every one seen, whatever the election thinks; nothing to a member that is no proposer
	Reconfigure                       // a change of membership is wanted; its fate is told by Rejected under its ID, or by Reconfigured
	Mended                            // Records, of slots that have been delivered, were lost by the disk and are learned again from a peer: they are to be appended
)

// Effects is what a Step asks for. The caller empties it between steps (Reset) and may collect those of several.
type Effects struct {
	Records      []*Record      // to be appended to the log, in this order
	Messages     []Outgoing     // to be sent now; losing them is allowed
	Chosen       []*Record      // chosen and durable here, one for each slot, in slot order without a gap, but for what Installed skips: apply their values
	Reads        []ReadReady    // may be served once the slot is applied
	Rejected     []Rejection    // commands of this node's callers that did not happen
	Fetches      []Fetch        // to be read from the log, without haste
	Reconfigured []Reconfigured // changes of membership that are chosen; make what Configurations returns durable, unless newer ones are, before the machine is given Chosen of this Step
	Removed      bool           // this node was a member and is none any more
	Decided      []uint64       // commands of this node's callers that are chosen; told only where there is no machine to answer them, and not always
	Transfers    []Transfer     // snapshots to be fetched and installed; passed over while one is under way, and asked for again while they are needed
}

// Outgoing is a message and its receiver.
type Outgoing struct {
	To      NodeID
	Message *Message
}

// ReadReady says that a read sees every write acknowledged before it began, once Slot is applied.
type ReadReady struct {
	Read uint64
	Slot Slot
}

// Fetch asks the log for chosen records that are no longer in memory: from Slot up to Upto, at most Bytes, for a Fetched event.
type Fetch struct {
	Peer  NodeID
	Slot  Slot
	Upto  Slot
	Bytes int
}

// Transfer asks for a snapshot of a peer's machine, for an Installed event: what this member needs nobody has in the log any more, this peer for one.
//
// Without a machine it asks for no more than the configurations that go with a slot of at least Skip, and for the log to be trimmed up to Skip.
type Transfer struct {
	Peer NodeID
	Skip Slot
}

// Reset empties the effects and keeps their memory.
func (fx *Effects) Reset() {
	clear(fx.Records)
	clear(fx.Messages)
	clear(fx.Chosen)
	*fx = Effects{Records: fx.Records[:0], Messages: fx.Messages[:0], Chosen: fx.Chosen[:0], Reads: fx.Reads[:0], Rejected: fx.Rejected[:0],
		Fetches: fx.Fetches[:0], Decided: fx.Decided[:0], Transfers: fx.Transfers[:0]}
}

// Replica is one member's part in the protocol. It is not safe for concurrent use.
type Replica struct {
	cfg        Config
	boot       uint32 // as others see it, in ballots too: see bootOf
	membership Membership
	view       view

	acceptor  acceptor
	proposer  proposer
	learner   learner
	election  election
	admission admission
	forwarder forwarder
	reader    reader
	retention retention

	now      int64 // ticks since the start
	appended LSN   // the last record given out
	gate     gate
	stalled  int64 // the tick since which the disk has made no progress, while it owes some

	fx   *Effects
	self []*Message // from this node's roles to each other, in order
}

// Stable is what a replica knows after a restart, before its records.
type Stable struct {
	Promised Ballot // the highest that the vital state or any record shows
	Applied  Slot   // everything up to here is chosen, and applied or trimmed; what is not trimmed of it is durable in the log
	Last     LSN    // of the log's last record
	Lacking  Slot   // the machine has not applied everything up to here, and the log has trimmed it; 0 if nothing is amiss
	Released Slot   // what Status said of it, when it was last made durable

	Configurations []*Configuration // what Replica.Configurations returned when Applied was passed, or later; nil if the founders' is all there ever was
}

// New returns a replica that has not heard of anyone yet. Call Restore for the records above Stable.Applied before the first Step.
func New(cfg Config, stable Stable) (*Replica, error) {
	membership, err := firstMembership(cfg.Founders, stable.Configurations)
	if err != nil {
		return nil, err
	}
	if cfg.Self == 0 || cfg.Incarnation == 0 {
		return nil, errors.New("paxos: a replica needs a node and an incarnation")
	}
	if i := membership.latest().Index(cfg.Self); i >= 0 {
		if got := membership.latest().Members[i].Incarnation; got != 0 && got != cfg.Incarnation {
			return nil, fmt.Errorf("paxos: node %x is a member in incarnation %x, not %x: its disk was replaced", uint64(cfg.Self), uint64(got), uint64(cfg.Incarnation))
		}
	}
	if cfg.HeartbeatTicks < 1 || cfg.SuspectTicks < 2*cfg.HeartbeatTicks || cfg.ResendTicks < 1 {
		return nil, fmt.Errorf("paxos: %d heartbeat, %d suspect and %d resend ticks do not fit together", cfg.HeartbeatTicks, cfg.SuspectTicks, cfg.ResendTicks)
	}
	cfg.Limits = cfg.Limits.withDefaults(membership.latest().Window)
	r := &Replica{cfg: cfg, boot: bootOf(&cfg), membership: membership, appended: stable.Last}
	r.gate.durable = stable.Last
	r.acceptor = acceptor{r: r, promised: stable.Promised}
	r.acceptor.votes.reset(stable.Applied + 1)
	r.learner = learner{r: r, prefix: stable.Applied, delivered: stable.Applied}
	r.learner.chosen.reset(stable.Applied + 1)
	r.beginView()
	r.proposer = proposer{r: r}
	r.election = newElection(r)
	r.admission = newAdmission(cfg.Limits)
	r.forwarder = newForwarder(r)
	r.retention = retention{r: r, lacking: stable.Lacking, released: stable.Released, secured: stable.Applied, noted: stable.Applied}
	r.reader = reader{r: r, number: r.firstNumber()}
	r.learner.onMembership()
	return r, nil
}

// firstMembership is what a replica knows at its start.
func firstMembership(founders *Configuration, known []*Configuration) (Membership, error) {
	if founders == nil && len(known) == 0 {
		return Membership{}, errors.New("paxos: a replica needs founders, or to know who the members are")
	}
	m := Membership{known: known}
	if founders != nil {
		m.known = []*Configuration{founders}
		m.adopt(known)
	}
	if w := m.latest().Window; w < 1 || w > WindowMax {
		return Membership{}, fmt.Errorf("paxos: a window of %d slots: 1 to %d are possible", w, WindowMax)
	}
	return m, nil
}

// bootOf returns what tells this boot from all others of the node, in any of its incarnations; it rises with every boot of one. Those of a founder's incarnation count from 1. A later incarnation's begin above
// all of these, at a number drawn with it: its ballots must not be those of an earlier one, of which it has forgotten everything, and others have not.
func bootOf(cfg *Config) uint32 {
	if cfg.Founders != nil && cfg.Founders.place(identity{cfg.Self, cfg.Incarnation}) >= 0 {
		return cfg.Boot
	}
	return 1<<31 + uint32(cfg.Incarnation>>34) + cfg.Boot // the second has 30 bits, and nobody boots 2^30 times: no overflow
}

// restoring reports whether no Step has begun: nothing may be appended.
func (r *Replica) restoring() bool { return r.fx == nil }

// firstNumber is where this boot begins to number its requests: above all of earlier boots, so that an answer to one of theirs, or a trace that a peer has kept of it, is never
// taken for one of ours.
func (r *Replica) firstNumber() uint64 { return uint64(r.boot) << 32 }

// Restore takes one record of the log, in log order, before the first Step.
func (r *Replica) Restore(lsn LSN, rec *Record) {
	r.acceptor.restore(lsn, rec)
	r.learner.restore(lsn, rec)
}

// RestoreUnknown says that the log's last record of a slot is lost, and that no vote in it was above ballot; zero if that is not known. It must come before the first Restore: an older record
// of the slot is then neither taken for the vote nor for the choice, and the value is learned again from a peer, so that the log becomes whole.
func (r *Replica) RestoreUnknown(slot Slot, ballot Ballot) { r.acceptor.restoreUnknown(slot, ballot) }

// Step takes one event and adds what is to be done to fx.
func (r *Replica) Step(ev Event, fx *Effects) {
	r.fx = fx
	switch ev.Kind {
	case Tick:
		r.tick()
	case Idle:
		r.forwarder.flush()
		r.proposer.cut()
		r.reader.flush()
		r.runSelf()
		r.proposer.announce()
		r.proposer.handOver()
		r.election.succeed()
	case Received:
		r.receive(identity{ev.From, ev.Incarnation}, ev.Message)
	case Durable:
		r.onDurable(ev.LSN)
	case Propose:
		r.forwarder.propose(ev.Proposal)
	case Read:
		r.reader.add(ev.Read)
	case Connected:
		r.election.onConnected(ev.Peer)
	case Disconnected:
		r.election.onDisconnected(ev.Peer)
	case Unsent:
		r.forwarder.onUnsent(ev.Message)
	case Fetched:
		r.learner.onFetched(ev.Peer, ev.Records, ev.Slot)
	case Installed:
		r.learner.onInstalled(ev.Slot, ev.Configurations)
	case Mended:
		r.learner.onMended(ev.Records)
	case Campaign:
		r.election.campaign()
	case Reconfigure:
		r.forwarder.reconfigure(ev.Change)
	default:
		panic(Violation("event of unknown kind %d", ev.Kind))
	}
	r.runSelf()
	r.fx = nil
}

func (r *Replica) tick() {
	r.now++
	r.election.tick()
	r.proposer.tick()
	r.learner.tick()
	r.reader.tick()
}

func (r *Replica) onDurable(lsn LSN) {
	if lsn > r.appended {
		panic(Violation("record %d is said to be durable, the last one is %d", lsn, r.appended))
	}
	r.stalled = r.now
	r.gate.open(lsn, r.emit)
	r.runSelf()
	r.learner.deliver()
}

// diskStalled reports whether records have waited for the disk for the suspicion time without any progress.
func (r *Replica) diskStalled() bool {
	return r.appended > r.gate.durable && r.now-r.stalled > int64(r.cfg.SuspectTicks)
}

// receive handles a message from another node.
func (r *Replica) receive(from identity, m *Message) {
	if from.node != r.cfg.Self && r.hears(from, m) {
		r.dispatch(from, m)
	}
}

// dispatch gives a message to the role that it is for.
func (r *Replica) dispatch(from identity, m *Message) {
	switch m.Kind {
	case Prepare:
		r.acceptor.onPrepare(from.node, m)
	case Accept:
		r.acceptor.onAccept(from.node, m)
	case ReadProbe:
		r.acceptor.onReadProbe(from.node, m)
	case Promise:
		r.proposer.onPromise(from, m)
	case Accepted:
		r.proposer.onAccepted(from, m)
	case Nack:
		r.proposer.onNack(m)
	case Commit:
		r.learner.onAnnounced(m.Ballot, m.Chosen)
	case Learn:
		r.learner.onLearn(from.node, m)
	case Learned:
		r.learner.onLearned(from.node, m)
	case Heartbeat:
		r.election.onHeartbeat(from, m)
	case HeartbeatReply:
		r.election.onReply(from, m)
	case Forward:
		r.forwarder.onForward(from.node, m)
	case Reject:
		r.forwarder.onReject(m)
	case Decided:
		r.forwarder.onDecided(m)
	case ReadRequest:
		r.reader.onRequest(from, m)
	case ReadReply:
		r.reader.onReply(m)
	case ReadAck:
		r.reader.onAck(from, m)
	case TakeOver:
		r.election.onTakeOver(from.node, m)
	}
}

// append gives a record to the log and returns its position.
func (r *Replica) append(rec *Record) LSN {
	if r.appended == r.gate.durable {
		r.stalled = r.now
	}
	r.appended++
	r.fx.Records = append(r.fx.Records, rec)
	return r.appended
}

// send sends a message at once.
func (r *Replica) send(to NodeID, m *Message) { r.emit(to, m) }

// sendAfter sends a message once the record is durable.
func (r *Replica) sendAfter(after LSN, to NodeID, m *Message) {
	if r.gate.pass(after, to, m) {
		r.emit(to, m)
	}
}

func (r *Replica) emit(to NodeID, m *Message) {
	if to == r.cfg.Self {
		r.self = append(r.self, m)
		return
	}
	r.fx.Messages = append(r.fx.Messages, Outgoing{to, m})
}

// broadcast sends a message to every member of a configuration that has one of the roles; to this node itself as well, if it has.
func (r *Replica) broadcast(config *Configuration, roles Role, m *Message) {
	for _, member := range config.Members {
		if member.Roles&roles != 0 {
			r.send(member.ID, m)
		}
	}
}

// tellAll sends a message to every other member there is, or is about to be.
func (r *Replica) tellAll(m *Message) {
	for _, id := range r.others() {
		r.send(id, m)
	}
}

// runSelf delivers what this node's roles have said to each other.
func (r *Replica) runSelf() {
	for len(r.self) > 0 {
		batch := r.self
		r.self = nil
		for _, m := range batch {
			r.dispatch(r.identity(), m)
		}
	}
}
