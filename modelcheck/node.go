package modelcheck

import (
	"encoding/binary"
	"slices"

	"synod.dev/synod/paxos"
)

// local is one state of one node: a replica that is in it, its disk, and what it has used up of its world's bounds.
type local struct {
	node    int
	replica *paxos.Replica         // nil before it has come
	log     []*paxos.Record        // log[i] has LSN i+1
	durable int                    // of log
	lost    paxos.LSN              // a record that the disk has lost, or 0
	trimmed paxos.Slot             // the machine's durable state has everything up to here, and a restart does not read it in the log
	known   []*paxos.Configuration // what is durable of the membership; nil if nothing is

	commands, wishes, reads, crashes, losses uint8
	leads                                    bool
	promised                                 paxos.Ballot // on the disk

	born   bool // it has come of another state:
	before uint32
	how    cause

	own      []transition // by its own events; nil until they are asked for
	opened   bool
	deliver  []*transition       // by item delivered; nil if not yet tried, or inert
	gathered map[int]*transition // by sequence of items delivered together; nil until one is
	past     set                 // items that have become obsolete, of those up to sorted
	sorted   int
	inert    set // items whose delivery changes nothing, or leads beyond the world's bounds
}

// model is what is known of a world so far: the numbering of its nodes' states and of its items.
type model struct {
	world    *World
	config   *paxos.Configuration
	reads    bool // somebody is read from, so it matters what has been acknowledged
	changing bool // the membership is
	locals   []*local
	ids      map[string]uint32
	items    []item
	itemIDs  map[string]uint32
	lasting  []bool // by item
	bytes    []byte

	sequences   [][]uint32 // of items that are delivered together
	sequenceIDs map[string]int
}

// transition is what an event does to a node in one state.
type transition struct {
	cause cause
	to    uint32   // the node's next state
	items []uint32 // in the order in which they came to be
	said  []saying // that nobody needs to remember, to be judged after the items
	reads *readBegan
	crash bool
	goals goals
	wrong string // the core itself has noticed
	hash  uint64 // of items and said; 0 until it is needed
}

func newModel(w *World) *model {
	reads := slices.ContainsFunc(w.members, func(m member) bool { return m.reads > 0 })
	return &model{world: w, config: w.configuration(), reads: reads, changing: w.changing(), ids: map[string]uint32{}, itemIDs: map[string]uint32{}, sequenceIDs: map[string]int{}}
}

// boot makes the replica of a node from what its disk has kept.
func (m *model) boot(l *local) {
	cfg := paxos.Config{
		Self: m.world.nodeID(l.node), Incarnation: incarnation(l.node), Boot: uint32(l.crashes) + 1, Founders: m.config, Seed: 1,
		HeartbeatTicks: 1, SuspectTicks: 2, ResendTicks: 1,
		Limits: paxos.Limits{BatchBytes: 1}, // a batch is a command
	}
	stable := paxos.Stable{Applied: l.trimmed, Last: paxos.LSN(len(l.log)), Configurations: l.known}
	for _, rec := range l.log {
		if stable.Promised.Less(rec.Ballot) {
			stable.Promised = rec.Ballot
		}
	}
	r, err := paxos.New(cfg, stable)
	if err != nil {
		panic(err)
	}
	if l.lost != 0 && lastRecord(l.log, l.log[l.lost-1].Slot) == l.log[l.lost-1] {
		r.RestoreUnknown(l.log[l.lost-1].Slot, l.log[l.lost-1].Ballot)
	}
	for i, rec := range l.log {
		if lsn := paxos.LSN(i + 1); lsn != l.lost && (rec.Kind == paxos.RecordPromise || rec.Slot > l.trimmed) {
			r.Restore(lsn, rec)
		}
	}
	l.replica, l.durable = r, len(l.log)
}

// lastRecord is what a log says of a slot.
func lastRecord(log []*paxos.Record, slot paxos.Slot) *paxos.Record {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].Slot == slot && log[i].Kind != paxos.RecordPromise {
			return log[i]
		}
	}
	return nil
}

// initial returns the number of a node's state before anything has happened.
func (m *model) initial(node int) uint32 {
	l := &local{node: node}
	s := stepper{m: m, l: l}
	if m.world.members[node].instead == 0 {
		s.start()
	}
	return m.number(l)
}

// number interns a state of a node.
func (m *model) number(l *local) uint32 {
	l.leads, l.promised = l.replica != nil && l.replica.Status().Leads, paxos.Ballot{}
	for _, rec := range l.log[:l.durable] {
		if l.promised.Less(rec.Ballot) {
			l.promised = rec.Ballot
		}
	}
	m.bytes = m.encode(m.bytes[:0], l)
	id, ok := m.ids[string(m.bytes)]
	if !ok {
		id = uint32(len(m.locals))
		m.ids[string(m.bytes)] = id
		m.locals = append(m.locals, l)
	}
	return id
}

// encode writes down all that can make a difference to what the node will ever do. Of the log that is what a restart makes of its durable part, and what is not durable yet; where the
// node cannot crash any more, it is nothing.
func (m *model) encode(b []byte, l *local) []byte {
	b = append(b, byte(l.node), l.commands, l.wishes, l.reads, l.crashes, l.losses, byte(l.trimmed))
	if l.replica == nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(l.log)-l.durable))
	b = m.appendReplica(b, l.replica)
	if !m.mayCrash(l) {
		return b
	}
	after := local{node: l.node, log: l.log[:l.durable], lost: l.lost, trimmed: l.trimmed, known: l.known, crashes: l.crashes + 1}
	m.boot(&after)
	b = m.appendReplica(b, after.replica)
	if l.known != nil {
		b = paxos.AppendConfigurations(b, l.known)
	}
	e := encoder{bytes: b}
	for _, rec := range l.log[l.durable:] {
		e.record(rec)
	}
	if int(l.losses) < m.world.members[l.node].losses { // which records there are to be lost makes a difference, too
		for _, rec := range l.log[:l.durable] {
			e.record(rec)
		}
	}
	return e.bytes
}

// mayCrash reports whether a crash may still come to a node in this state, for all that the node knows of it.
func (m *model) mayCrash(l *local) bool { return int(l.crashes) < m.world.members[l.node].crashes }

// clone returns a copy of a state for an event to change.
func (l *local) clone() *local {
	c := *l
	if l.replica != nil {
		c.replica = l.replica.Clone()
	}
	c.log = l.log[:len(l.log):len(l.log)]
	c.own, c.opened, c.deliver, c.gathered, c.inert, c.past, c.sorted = nil, false, nil, nil, set{}, set{}, 0
	return &c
}

// obsolete returns the items that have become so for a node in this state.
func (m *model) obsolete(l *local) *set {
	for ; l.sorted < len(m.items); l.sorted++ {
		it := &m.items[l.sorted]
		if !it.obsolete.IsZero() && it.at == l.node && m.isPast(l, it) {
			l.past.add(uint32(l.sorted))
		}
	}
	return &l.past
}

// isPast reports whether an item has become obsolete for the node that it concerns: answers to a ballot below the highest that it knows, since it has given that one up for good; and its promises below what is
// on its disk, which include them. In a gathered world so have answers that cannot matter to the ballot that it is at: promises to who leads, where no other configuration can follow, votes for what it knows to be chosen.
func (m *model) isPast(l *local, it *item) bool {
	if it.message == nil {
		return it.obsolete.Less(l.promised)
	}
	if m.world.late || l.replica == nil {
		return false
	}
	s := l.replica.Status()
	settled := it.message.Kind == paxos.Promise && s.Leads && !m.changing || it.message.Kind == paxos.Accepted && it.message.Upto <= s.Chosen
	return it.obsolete.Less(s.Ballot) || it.obsolete == s.Ballot && settled && m.gathers(l.node)
}
