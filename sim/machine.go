package sim

import (
	"encoding/binary"
	"errors"

	"synod.dev/synod/paxos"
)

// machine is the state machine of a member: a few registers, small enough to be copied. Its digest depends on every command ever applied, and on their order.
type machine struct {
	applied   paxos.Slot
	registers [16]uint64
	digest    uint64
}

// command is what a client asks for: to put a value into a register, if it has an expected one there.
type command struct {
	attempt  uint64 // as the client named it to the member: dense, from 1
	register uint8
	expects  uint64 // 0: whatever is there
	value    uint64
}

// commandBytes is the least length of a command; zeros may follow.
const commandBytes = 25

var errCommand = errors.New("malformed command")

func (c *command) encode(padding int) []byte {
	b := make([]byte, commandBytes+padding)
	le := binary.LittleEndian
	le.PutUint64(b, c.attempt)
	b[8] = c.register
	le.PutUint64(b[9:], c.expects)
	le.PutUint64(b[17:], c.value)
	return b
}

func decodeCommand(b []byte) (c command, err error) {
	if len(b) < commandBytes {
		return c, errCommand
	}
	le := binary.LittleEndian
	return command{le.Uint64(b), b[8] % 16, le.Uint64(b[9:]), le.Uint64(b[17:])}, nil
}

// apply executes one command.
func (s *machine) apply(c command) {
	if c.expects == 0 || s.registers[c.register] == c.expects {
		s.registers[c.register] = c.value
		s.digest = splitmix(s.digest ^ c.value)
	}
	s.digest = splitmix(s.digest ^ c.attempt)
}
