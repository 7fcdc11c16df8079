package paxos

// admission is the leader's queue of commands: deficit round robin over their sources (Shreedhar and Varghese, 1995). Each source
// that has something queued is admitted its quantum of bytes a round, whatever the others ask for, and its own commands stay in order.
// The queue is bounded; when it is full the longest source gives way, so that a greedy one crowds out only itself.
type admission struct {
	limits  Limits
	sources map[uint64]*sourceQueue // those with something queued; only ever looked up
	ring    []*sourceQueue          // the same, in the order in which they are served
	turn    int                     // index in ring
	bytes   int
	count   int
}

type sourceQueue struct {
	source  uint64
	queue   []admitted
	bytes   int
	deficit int
}

// admitted is a queued command and the member to be told if it is dropped.
type admitted struct {
	Proposal
	origin NodeID
}

// commandOverhead is charged for each command on top of its bytes, so that empty ones are not free.
const commandOverhead = 64

func (a *admitted) cost() int { return len(a.Data) + commandOverhead }

func newAdmission(limits Limits) admission {
	return admission{limits: limits, sources: make(map[uint64]*sourceQueue)}
}

// add queues a command and calls drop for each that has to give way for it, which may be this one.
func (q *admission) add(a admitted, drop func(admitted)) {
	s := q.sources[a.Source]
	if s == nil {
		s = &sourceQueue{source: a.Source}
		q.sources[a.Source] = s
		q.ring = append(q.ring, s)
	}
	s.queue = append(s.queue, a)
	q.charge(s, a.cost(), 1)
	for q.bytes > q.limits.AdmissionBytes || q.count > q.limits.AdmissionCount {
		longest := q.longest()
		last := len(longest.queue) - 1
		dropped := longest.queue[last]
		longest.queue[last] = admitted{}
		longest.queue = longest.queue[:last]
		q.charge(longest, -dropped.cost(), -1)
		if last == 0 {
			q.retire(longest)
		}
		drop(dropped)
	}
}

func (q *admission) charge(s *sourceQueue, bytes, count int) {
	s.bytes += bytes
	q.bytes += bytes
	q.count += count
}

// longest returns the source with the most bytes queued; of several the one that was served longest ago.
func (q *admission) longest() *sourceQueue {
	var longest *sourceQueue
	for _, s := range q.ring {
		if longest == nil || s.bytes > longest.bytes {
			longest = s
		}
	}
	return longest
}

// retire forgets a source that has nothing queued, and with it its deficit.
func (q *admission) retire(s *sourceQueue) {
	delete(q.sources, s.source)
	for i := range q.ring {
		if q.ring[i] == s {
			q.ring = append(q.ring[:i], q.ring[i+1:]...)
			if i < q.turn {
				q.turn--
			}
			return
		}
	}
}

// take removes commands, fairly, and returns them as one batch of at most limit bytes, but at least one command. It calls taken with each. The queue must not be empty.
func (q *admission) take(limit int, taken func(*admitted)) Value {
	var batch Value
	if q.bytes < limit {
		batch = make(Value, 0, q.bytes+1)
	}
	for q.count > 0 {
		if q.turn >= len(q.ring) {
			q.turn = 0
		}
		s := q.ring[q.turn]
		s.deficit += q.limits.QuantumBytes
		n := 0
		for n < len(s.queue) && s.queue[n].cost() <= s.deficit {
			if len(batch) > 0 && len(batch)+s.queue[n].cost() > limit {
				s.serve(q, n)
				s.deficit -= q.limits.QuantumBytes // it goes first in the next batch, with what it has left
				return batch
			}
			s.deficit -= s.queue[n].cost()
			batch = AppendCommand(batch, s.queue[n].Data)
			taken(&s.queue[n])
			n++
		}
		s.serve(q, n)
		if len(s.queue) == 0 {
			q.retire(s)
		} else {
			q.turn++
		}
	}
	return batch
}

// serve drops the first n commands of a source from the queue.
func (s *sourceQueue) serve(q *admission, n int) {
	for i := range s.queue[:n] {
		q.charge(s, -s.queue[i].cost(), -1)
		s.queue[i] = admitted{}
	}
	s.queue = s.queue[n:]
}

// drain empties the queue and calls drop for each command.
func (q *admission) drain(drop func(admitted)) {
	for _, s := range q.ring {
		for _, a := range s.queue {
			drop(a)
		}
	}
	*q = newAdmission(q.limits)
}
