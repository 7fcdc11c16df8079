package session

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// ID names a session. It is never 0, and never used again in the same log.
type ID uint64

// Kind says what a session's command wants. The numbers are part of the log's format.
type Kind byte

const (
	Open    Kind = 1 // a new session
	Execute Kind = 2 // a command for the state machine
	Close   Kind = 3 // the session is done: forget it
)

// Header is what goes with a session's command in the log.
type Header struct {
	Kind         Kind
	TTL          time.Duration // of Open: how long the session lives unused; above 0
	Session      ID            // of Execute and Close
	Sequence     uint64        // of Execute: the command's own number in the session, from 1; the same for each attempt
	Acknowledged uint64        // of Execute: the client knows what became of all commands up to this one, and asks for none of them again
}

// ErrHeader means the bytes are no header that this version can have written.
var ErrHeader = errors.New("session: malformed or newer header of a command")

// Append appends the header's encoding: the kind, then as unsigned varints the TTL in nanoseconds, or the session and, to execute, sequence and acknowledged.
func (h *Header) Append(b []byte) []byte {
	b = append(b, byte(h.Kind))
	switch h.Kind {
	case Open:
		return binary.AppendUvarint(b, uint64(h.TTL))
	case Execute:
		b = binary.AppendUvarint(b, uint64(h.Session))
		b = binary.AppendUvarint(b, h.Sequence)
		return binary.AppendUvarint(b, h.Acknowledged)
	}
	return binary.AppendUvarint(b, uint64(h.Session))
}

// Decode reads a header off the front of b, and returns what follows it.
func Decode(b []byte) (h Header, rest []byte, err error) {
	if len(b) == 0 {
		return Header{}, nil, ErrHeader
	}
	h.Kind, b = Kind(b[0]), b[1:]
	var ttl uint64
	fields := []*uint64{(*uint64)(&h.Session)}
	switch h.Kind {
	case Open:
		fields = []*uint64{&ttl}
	case Execute:
		fields = append(fields, &h.Sequence, &h.Acknowledged)
	case Close:
	default:
		return Header{}, nil, ErrHeader
	}
	for _, field := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Header{}, nil, ErrHeader
		}
		*field, b = v, b[n:]
	}
	if ttl > math.MaxInt64 {
		return Header{}, nil, ErrHeader
	}
	h.TTL = time.Duration(ttl)
	return h, b, nil
}
