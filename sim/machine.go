package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

// machine is the state machine of a member: a few registers, small enough to be copied, and where there are sessions the table of these. Its digest depends on every command ever applied, and on their order.
type machine struct {
	applied   paxos.Slot
	registers [16]uint64
	digest    uint64
	table     *session.Table // nil without sessions, and in an image
	image     []byte         // of the table, in an image; never changed
}

// command is what a client asks for: to put a value into a register, if it has an expected one there.
type command struct {
	attempt  uint64 // as the client named it to the member: dense, from 1
	register uint8
	expects  uint64 // 0: whatever is there
	value    uint64
	time     int64           // where there are sessions: its proposer's clock
	session  *session.Header // nil if it is of no session
}

// outcome is what became of a command of a session.
type outcome struct {
	first  bool       // it was executed here
	id     session.ID // of the session that it has opened
	result uint64
	err    error
}

// commandBytes is the least length of a command; where there are sessions the time follows, and of a session's command its header; zeros may follow.
const (
	commandBytes = 25
	timeBytes    = 8
)

// Flags beside the register.
const (
	hasTime    = 0x40
	hasSession = 0x80
)

var errCommand = errors.New("malformed command")

func (c *command) encode(padding int) []byte {
	b := make([]byte, commandBytes, commandBytes+timeBytes+padding)
	le := binary.LittleEndian
	le.PutUint64(b, c.attempt)
	b[8] = c.register
	le.PutUint64(b[9:], c.expects)
	le.PutUint64(b[17:], c.value)
	if c.time != 0 {
		b[8] |= hasTime
		b = le.AppendUint64(b, uint64(c.time))
	}
	if c.session != nil {
		b[8] |= hasSession
		b = c.session.Append(b)
	}
	return append(b, make([]byte, padding)...)
}

func decodeCommand(b []byte) (c command, err error) {
	if len(b) < commandBytes {
		return c, errCommand
	}
	le := binary.LittleEndian
	c = command{attempt: le.Uint64(b), register: b[8] % 16, expects: le.Uint64(b[9:]), value: le.Uint64(b[17:])}
	flags, rest := b[8], b[commandBytes:]
	if flags&hasTime != 0 {
		if len(rest) < timeBytes {
			return c, errCommand
		}
		c.time, rest = int64(le.Uint64(rest)), rest[timeBytes:]
	}
	if flags&hasSession != 0 {
		h, _, err := session.Decode(rest)
		if err != nil {
			return c, err
		}
		c.session = &h
	}
	return c, nil
}

// apply takes one command: the machine executes it, unless it is a session's and the table says that it has been, or must not be.
func (s *machine) apply(c command) (o outcome) {
	if s.table != nil {
		s.table.Advance(c.time)
	}
	if c.session == nil {
		s.execute(c)
		return o
	}
	switch h := c.session; h.Kind {
	case session.Open:
		o.id = s.table.Open(h.TTL)
	case session.Close:
		o.err = s.table.Close(h.Session)
	default:
		var e *session.Entry
		if e, o.first, o.err = s.table.Begin(h); o.err != nil {
			return o
		}
		if o.first {
			s.execute(c)
			s.table.Finish(e, binary.LittleEndian.AppendUint64(nil, s.digest))
		}
		var result []byte
		if result, o.err = e.Result(); o.err == nil {
			o.result = binary.LittleEndian.Uint64(result)
		}
	}
	return o
}

func (s *machine) execute(c command) {
	if c.expects == 0 || s.registers[c.register] == c.expects {
		s.registers[c.register] = c.value
		s.digest = splitmix(s.digest ^ c.value)
	}
	s.digest = splitmix(s.digest ^ c.attempt)
}

// state is equal where everything is that machines must agree on.
func (s *machine) state() uint64 {
	if s.table == nil {
		return s.digest
	}
	return s.digest ^ s.table.Digest()
}

// save returns an image of the machine: what is on a disk, and in a snapshot.
func (s *machine) save() machine {
	saved := *s
	if s.table != nil {
		saved.table, saved.image = nil, s.table.Append(nil)
	}
	return saved
}

// load returns the machine of an image. An empty one has no sessions yet.
func (s *machine) load(sessions bool) machine {
	loaded := *s
	switch {
	case s.image != nil:
		table, err := session.Read(bytes.NewReader(s.image))
		if err != nil {
			panic(fmt.Errorf("a table of sessions is not what it was when it was saved: %w", err))
		}
		loaded.table, loaded.image = table, nil
	case sessions:
		loaded.table = session.NewTable()
	}
	return loaded
}
