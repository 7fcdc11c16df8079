package synod

import (
	"encoding/binary"
	"errors"

	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

// Envelope is what the log holds around a command. Its encoding is part of the log's format: a version byte, then as unsigned varints
// the origin, the number, the time and the source; in version 2 the header of a session's command; the rest is the command.
type Envelope struct {
	Origin  paxos.NodeID // the node whose caller proposed it
	Number  uint64       // unique for the origin, over all its boots
	Time    int64        // the origin's clock, nanoseconds since the Unix epoch
	Source  uint64
	Session *session.Header // nil if the command is of no session
	Data    []byte
}

const (
	envelopeVersion        = 1
	envelopeSessionVersion = 2
)

// ErrEnvelope means the bytes are no envelope that this version can have written.
var ErrEnvelope = errors.New("synod: malformed or newer command envelope")

func (e *Envelope) encode() []byte {
	b := make([]byte, 1, 1+4*binary.MaxVarintLen64+len(e.Data))
	b[0] = envelopeVersion
	if e.Session != nil {
		b[0] = envelopeSessionVersion
	}
	for _, v := range [...]uint64{uint64(e.Origin), e.Number, uint64(e.Time), e.Source} {
		b = binary.AppendUvarint(b, v)
	}
	if e.Session != nil {
		b = e.Session.Append(b)
	}
	return append(b, e.Data...)
}

// DecodeEnvelope reads an envelope; its Data aliases b.
func DecodeEnvelope(b []byte) (Envelope, error) {
	if len(b) == 0 || b[0] != envelopeVersion && b[0] != envelopeSessionVersion {
		return Envelope{}, ErrEnvelope
	}
	version, b := b[0], b[1:]
	var fields [4]uint64
	for i := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Envelope{}, ErrEnvelope
		}
		fields[i], b = v, b[n:]
	}
	e := Envelope{Origin: paxos.NodeID(fields[0]), Number: fields[1], Time: int64(fields[2]), Source: fields[3], Data: b}
	if version == envelopeSessionVersion {
		h, rest, err := session.Decode(b)
		if err != nil {
			return Envelope{}, ErrEnvelope
		}
		e.Session, e.Data = &h, rest
	}
	return e, nil
}
