package synod

import (
	"bytes"
	"context"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

// SessionCommand is a command of a session, for any member and for as many attempts as it takes. It is plain, to be sent to a member over whatever a service's clients speak.
type SessionCommand struct {
	session.Header
	Data []byte
}

// ProposeInSession puts a session's command into the log, and returns what the state machine made of it, now or when it was executed: for session.Open the new session's ID, 8 bytes, little endian.
// However often a command is proposed under the same session and sequence, through whichever members, it is executed at most once.
//
// The errors are those of Propose, and ErrSessionExpired, ErrResultForgotten, ErrSessionFull, ErrNoSessions. After ErrUnknown the same command may be proposed again, and that is what it is for. Commands of one session share their turn in a
// cluster that is saturated. Any goroutine may call it.
func (n *Node) ProposeInSession(ctx context.Context, c SessionCommand) ([]byte, error) {
	if !n.cfg.Sessions {
		return nil, ErrNoSessions
	}
	if c.Kind == session.Open && c.TTL <= 0 || c.Kind == session.Execute && c.Sequence == 0 || c.Kind < session.Open || c.Kind > session.Close {
		return nil, fmt.Errorf("synod: malformed command of a session, it did not happen: %+v", c.Header)
	}
	result, err := n.propose(ctx, uint64(c.Session), &c.Header, c.Data)
	if err != nil {
		return nil, err
	}
	outcome := result.(sessionOutcome)
	return bytes.Clone(outcome.result), outcome.err // the table keeps its own
}

// sessionOutcome is what the apply loop answers to a session's command.
type sessionOutcome struct {
	result []byte
	err    error
}

// sessions is a state machine with a table of sessions before it: of a session's commands the machine sees those that it has not seen before.
type sessions struct {
	machine StateMachine
	table   *session.Table

	restored paxos.Slot // that the table is of, if it was restored
	held     paxos.Slot // up to here a machine that is not one of several is not shown anything: it was ahead of the table after a restart
}

func newSessions(machine StateMachine) *sessions {
	return &sessions{machine: machine, table: session.NewTable(), held: machine.Applied()}
}

// sessionsSection is the table's section in snapshots, after those of the machines.
const sessionsSection = 255

func (s *sessions) sections() []*section {
	all := sectionsOf(s.machine)
	if _, several := s.machine.(*Machines); !several {
		all[0].skipTo = func(slot paxos.Slot) { s.held = slot }
	}
	return append(all, &section{id: sessionsSection, memory: s, skipTo: func(slot paxos.Slot) { s.restored = slot }})
}

func (s *sessions) Applied() paxos.Slot { return 0 }

// Advance tells the machine if it wants to know.
func (s *sessions) Advance(slot paxos.Slot) {
	if marker, ok := s.machine.(SlotMarker); ok && slot > s.held {
		marker.Advance(slot)
	}
}

// Digest is that of the table, and of the machine if it keeps one.
func (s *sessions) Digest() (digest uint64, ok bool) {
	if _, keeps := s.machine.(Digester); !keeps {
		return s.table.Digest(), true
	}
	own, known := digestOf(s.machine)
	return joinDigests(s.table.Digest(), own), known
}

// executed is a command that has its result from the machine, or from its first execution.
type executed struct {
	at    int            // in the call of Apply
	entry *session.Entry // nil if it is of no session
}

// Apply shows the machine what it is to execute. All that the table decides depends on the log alone, and not on results: so it is decided alike by a member whose machine was ahead after a restart, and whose results are lost.
func (s *sessions) Apply(commands []Command) []any {
	results := make([]any, len(commands))
	var batch []Command
	var places, repeated []executed
	for at, c := range commands {
		if c.Slot <= s.restored {
			panic(fmt.Sprintf("slot %d comes to a table of sessions that is of slot %d", c.Slot, s.restored))
		}
		s.table.Advance(c.Time)
		var entry *session.Entry
		if c.session != nil {
			var first bool
			if entry, first, results[at] = s.judge(&c); !first {
				if entry != nil {
					repeated = append(repeated, executed{at, entry})
				}
				continue
			}
		}
		if !s.holds(c) {
			batch = append(batch, c)
			places = append(places, executed{at, entry})
		} else if entry != nil {
			repeated = append(repeated, executed{at, entry}) // executed before a restart: its result is lost
		}
	}
	s.execute(batch, places, results)
	for _, r := range repeated {
		results[r.at] = outcomeOf(r.entry)
	}
	return results
}

// judge asks the table about a session's command. What is not to be executed has an entry, or an outcome already.
func (s *sessions) judge(c *Command) (entry *session.Entry, first bool, outcome any) {
	switch h := c.session; h.Kind {
	case session.Open:
		return nil, false, sessionOutcome{result: binary.LittleEndian.AppendUint64(nil, uint64(s.table.Open(h.TTL)))}
	case session.Close:
		return nil, false, sessionOutcome{err: sessionError(s.table.Close(h.Session))}
	default:
		entry, first, err := s.table.Begin(h)
		return entry, first, sessionOutcome{err: sessionError(err)}
	}
}

// holds reports whether the machine has executed a command before a restart.
func (s *sessions) holds(c Command) bool {
	if several, ok := s.machine.(*Machines); ok {
		return several.holds(c)
	}
	return c.Slot <= s.held
}

// execute has the machine execute a batch, and puts the results where they belong.
func (s *sessions) execute(batch []Command, places []executed, results []any) {
	if len(batch) == 0 {
		return
	}
	got := s.machine.Apply(batch)
	if len(got) != len(batch) {
		panic(fmt.Sprintf("the state machine returned %d results for %d commands", len(got), len(batch)))
	}
	for i, p := range places {
		results[p.at] = got[i]
		if p.entry != nil {
			result := encodeResult(got[i])
			s.table.Finish(p.entry, result)
			results[p.at] = sessionOutcome{result: result}
		}
	}
}

// encodeResult makes bytes of a result, which must be remembered, and sent to other members.
func encodeResult(result any) []byte {
	switch r := result.(type) {
	case nil:
		return nil
	case []byte:
		return r
	case string:
		return []byte(r)
	case encoding.BinaryMarshaler:
		b, err := r.MarshalBinary()
		if err != nil {
			panic(fmt.Sprintf("the result of a session's command cannot be encoded: %v", err))
		}
		return b
	}
	panic(fmt.Sprintf("the result of a session's command is a %T: it must be nil, a []byte, a string or an encoding.BinaryMarshaler", result))
}

func outcomeOf(e *session.Entry) sessionOutcome {
	result, err := e.Result()
	return sessionOutcome{result, sessionError(err)}
}

// sessionError puts the table's errors into this package's words.
func sessionError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrExpired):
		return ErrSessionExpired
	case errors.Is(err, session.ErrForgotten):
		return ErrResultForgotten
	}
	return ErrSessionFull
}

// Snapshot returns an image of the table. It copies all that is remembered, at most some session.ResultBytesMax.
func (s *sessions) Snapshot() (Image, error) {
	return tableImage{bytes.NewReader(s.table.Append(nil))}, nil
}

// Restore takes over a table.
func (s *sessions) Restore(r io.Reader) error {
	table, err := session.Read(r)
	if err != nil {
		return err
	}
	s.table = table
	return nil
}

// tableImage is a table as it was.
type tableImage struct{ *bytes.Reader }

func (tableImage) Close() error { return nil }
