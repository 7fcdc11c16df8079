package sim

// event is something that happens at a time. It has no pointers, so that the queue costs the garbage collector nothing.
type event struct {
	at     int64 // microseconds
	order  uint64
	kind   eventKind
	member uint8
	life   uint32 // of the process it is for: a later one does not see it
	arg    int32  // deliver: packet; act: action; install, broken, connected: member
}

type eventKind uint8

const (
	evAct       eventKind = iota // an action of the schedule
	evDraw                       // the generators draw the next action
	evTick                       // a member's ticker
	evDeliver                    // a packet arrives
	evSynced                     // a member's disk has finished
	evIdle                       // a member's inbox is empty
	evApply                      // a member's state machine gets to work
	evFetch                      // a member's log is read for a peer
	evInstall                    // a member has fetched a snapshot
	evBroken                     // a member learns that a connection has broken
	evConnected                  // a member learns that it can reach another
)

// queue is a 4-ary heap of events by time, then by the order in which they were pushed. Actions come before everything else of the same instant, so that it does not matter whether
// they were drawn or read.
type queue struct {
	events []event
	pushed uint64
}

func (q *queue) push(e event) {
	q.pushed++
	e.order = q.pushed
	if e.kind > evDraw {
		e.order |= 1 << 63
	}
	q.events = append(q.events, e)
	i := len(q.events) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !before(&e, &q.events[parent]) {
			break
		}
		q.events[i] = q.events[parent]
		i = parent
	}
	q.events[i] = e
}

// pop removes the first event. There must be one.
func (q *queue) pop() event {
	first := q.events[0]
	last := q.events[len(q.events)-1]
	q.events = q.events[:len(q.events)-1]
	n := len(q.events)
	if n == 0 {
		return first
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= n {
			break
		}
		for c := least + 1; c < min(4*i+5, n); c++ {
			if before(&q.events[c], &q.events[least]) {
				least = c
			}
		}
		if !before(&q.events[least], &last) {
			break
		}
		q.events[i] = q.events[least]
		i = least
	}
	q.events[i] = last
	return first
}

func before(a, b *event) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}
