package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

// Where there are sessions, clients have commands executed exactly once: each asks for the same command, under the same number, at one member after the other until it is told what came of it. What
// they must be told a model works out, from the log alone, that keeps everything and forgets nothing: each place in the log has one outcome, whoever applies it, from whatever snapshot.

// client is one client with a session.
type client struct {
	session  session.ID // 0 before it is open
	sequence uint64     // the last one given out
	open     []*request // under way, ascending by sequence
}

// request is a command of a session, for as many attempts as it takes.
type request struct {
	client  *client
	after   place // of what had been answered when it began
	command command
	padding int
	attempt uint64  // the latest
	asked   *member // by that attempt
	life    uint32  // of the process that was asked
	at      int64   // when
	tries   int
}

// openMost is how many commands a client has under way at most.
const openMost = 3

// model is what sessions mean.
type model struct {
	last     place // up to where the log has been gone through
	now      int64
	sessions []modelSession // by id; 0 is none
	outcomes map[place]outcome
}

type modelSession struct {
	ttl      time.Duration
	used     int64
	acked    uint64
	closed   bool
	executed map[uint64]uint64 // results, by sequence
}

func newModel() *model {
	return &model{sessions: make([]modelSession, 1), outcomes: map[place]outcome{}}
}

// clock is a member's, from which commands have their time.
func (m *member) clock() int64 { return clockBase + m.w.now + m.ahead }

// clockBase keeps clocks that are behind above zero.
const clockBase = 1 << 40

// call lets a client do what is next: begin a command, or ask for one again that it has waited for too long.
func (l *workload) call(m *member, draw uint64) bool {
	if len(l.clients) == 0 || !m.serves() || m.bare {
		return false
	}
	r := rand.New(rand.NewPCG(draw, 1))
	c := l.clients[r.IntN(len(l.clients))]
	for _, rq := range c.open {
		if l.w.now-rq.at > l.w.cfg.SessionPatience {
			l.attempt(m, rq)
			return true
		}
	}
	switch {
	case len(c.open) == openMost || c.session == 0 && len(c.open) > 0:
		return false
	case c.session == 0:
		l.begin(m, r, c, session.Header{Kind: session.Open, TTL: time.Duration(l.w.cfg.SessionTTL)})
	case oneIn(r, 100):
		l.begin(m, r, c, session.Header{Kind: session.Close, Session: c.session})
	default:
		c.sequence++
		l.begin(m, r, c, session.Header{Kind: session.Execute, Session: c.session, Sequence: c.sequence})
	}
	if oneIn(r, 50) && len(c.open) > 0 { // it gives a command up, and says so with the next one
		c.open = c.open[1:]
	}
	return true
}

// begin asks for a new command.
func (l *workload) begin(m *member, r *rand.Rand, c *client, h session.Header) {
	rq := &request{client: c, after: l.answered, padding: r.IntN(l.w.cfg.ValueBytes)}
	rq.command = command{register: uint8(r.IntN(16)), value: r.Uint64() | 1, session: &h}
	c.open = append(c.open, rq)
	l.attempt(m, rq)
}

// attempt asks a member for a command, under a new number of its own and the same sequence.
func (l *workload) attempt(m *member, rq *request) {
	rq.tries++
	rq.asked, rq.life, rq.at, rq.attempt = m, m.life, l.w.now, uint64(len(l.attempts))
	h := *rq.command.session
	if h.Kind == session.Execute {
		h.Acknowledged = rq.client.acknowledged()
	}
	cmd := rq.command
	cmd.attempt, cmd.time, cmd.session = rq.attempt, m.clock(), &h
	l.attempts = append(l.attempts, attempt{request: rq})
	m.step(paxos.Event{Kind: paxos.Propose, Proposal: paxos.Proposal{Source: uint64(h.Session), ID: rq.attempt, Data: cmd.encode(rq.padding)}})
}

// acknowledged returns up to which sequence the client asks for nothing again.
func (c *client) acknowledged() uint64 {
	least := c.sequence + 1
	for _, rq := range c.open {
		if h := rq.command.session; h.Kind == session.Execute {
			least = min(least, h.Sequence)
		}
	}
	return least - 1
}

// outcome takes note of what a machine has made of a command, and holds it against the model.
func (l *workload) outcome(m *member, at place, c command, o outcome) {
	if l.model == nil {
		return
	}
	if at > l.model.last {
		l.model.last = at
		l.judgeFirst(m, at, c, o)
	} else if was, ok := l.model.outcomes[at]; ok && !was.equals(o) {
		l.w.violate("sessions mean the same everywhere", "member %d makes %+v of the command at slot %d, another has made %+v", m.id, o, at.slot(), was)
	}
	if rq := l.attempts[c.attempt].request; rq != nil && rq.attempt == c.attempt && rq.asked == m && rq.life == m.life {
		l.answerSession(rq, at, o)
	}
}

func (o outcome) equals(other outcome) bool {
	return o.first == other.first && o.id == other.id && o.result == other.result && errors.Is(o.err, other.err)
}

// judgeFirst judges the first machine that comes to a place in the log.
func (l *workload) judgeFirst(m *member, at place, c command, o outcome) {
	l.model.now = max(l.model.now, c.time)
	if c.session == nil {
		return
	}
	l.model.outcomes[at] = o
	want := l.model.take(c, o, l.w)
	if !want.equals(o) {
		l.w.violate("sessions are as their model says", "member %d makes %+v of %+v at slot %d, want %+v", m.id, o, *c.session, at.slot(), want)
	}
	if rq := l.attempts[c.attempt].request; o.first && at <= rq.after {
		l.w.violate("linearizable writes", "attempt %d is executed in slot %d, and slot %d had been answered when it began", c.attempt, at.slot(), rq.after.slot())
	}
}

// take returns what a command comes to. The result of one that is executed, and whether a session that has expired is gone already when it is closed, is for the machine to say.
func (s *model) take(c command, said outcome, w *world) outcome {
	h := c.session
	if h.Kind == session.Open {
		s.sessions = append(s.sessions, modelSession{ttl: h.TTL, used: s.now, executed: map[uint64]uint64{}})
		return outcome{id: session.ID(len(s.sessions) - 1)}
	}
	if h.Session == 0 || h.Session >= session.ID(len(s.sessions)) {
		return outcome{err: session.ErrExpired}
	}
	of := &s.sessions[h.Session]
	expired := s.now-of.used >= int64(of.ttl)
	switch {
	case of.closed:
		return outcome{err: session.ErrExpired}
	case h.Kind == session.Close:
		of.closed = true
		if expired {
			return said
		}
		return outcome{}
	case expired:
		of.closed = true
		w.reach(sessionExpired)
		return outcome{err: session.ErrExpired}
	}
	of.used, of.acked = s.now, max(of.acked, h.Acknowledged)
	if h.Sequence <= of.acked {
		return outcome{err: session.ErrForgotten}
	}
	if result, ok := of.executed[h.Sequence]; ok {
		w.reach(retryAnswered)
		return outcome{result: result}
	}
	of.executed[h.Sequence] = said.result
	return outcome{first: true, result: said.result}
}

// answerSession tells a client what came of its command.
func (l *workload) answerSession(rq *request, at place, o outcome) {
	c := rq.client
	i := slices.Index(c.open, rq)
	if i < 0 {
		return // given up
	}
	c.open = slices.Delete(c.open, i, i+1)
	h := rq.command.session
	switch {
	case o.err == nil && h.Kind == session.Open:
		c.session, c.sequence = o.id, 0
	case o.err == nil && h.Kind == session.Execute:
		l.answered = max(l.answered, at)
		l.acked++
	case errors.Is(o.err, session.ErrForgotten):
		l.w.violate("a result is remembered until it is acknowledged", "the client of session %d asks for command %d and its result is forgotten", h.Session, h.Sequence)
	default: // closed or expired: the client begins anew, and never learns what became of what is in doubt
		if rq.tries > 1 && h.Kind == session.Execute {
			l.w.reach(retryRefused)
		}
		if c.session == h.Session {
			c.session, c.open = 0, nil
		}
	}
}
