package paxos

import (
	"encoding/binary"
	"errors"
)

// Value is what one slot decides: opaque bytes, immutable. An empty Value is the no-op. Otherwise the first
// byte is its kind.
type Value []byte

const (
	// ValueBatch is a sequence of commands, in the order in which they are applied.
	ValueBatch byte = 1
	// ValueReconfigure is a change of membership.
	ValueReconfigure byte = 2
)

// ErrValue means the bytes are no value that this version can have written.
var ErrValue = errors.New("paxos: malformed value")

// IsNoop reports whether v is the no-op that fills a gap ("Paxos Made Simple" §3).
func (v Value) IsNoop() bool { return len(v) == 0 }

// IsChange reports whether v is a change of membership.
func (v Value) IsChange() bool { return len(v) > 0 && v[0] == ValueReconfigure }

// AppendCommand adds one command to a batch; a nil batch begins a new one.
func AppendCommand(batch Value, command []byte) Value {
	if len(batch) == 0 {
		batch = append(batch, ValueBatch)
	}
	batch = binary.AppendUvarint(batch, uint64(len(command)))
	return append(batch, command...)
}

// Commands calls fn with each command of a batch, in order. The slices alias v. A no-op and a change have none.
func (v Value) Commands(fn func(command []byte)) error {
	if v.IsNoop() || v.IsChange() {
		return nil
	}
	if v[0] != ValueBatch {
		return ErrValue
	}
	for rest := []byte(v[1:]); len(rest) > 0; {
		n, w := binary.Uvarint(rest)
		if w <= 0 || n > uint64(len(rest)-w) {
			return ErrValue
		}
		fn(rest[w : w+int(n) : w+int(n)])
		rest = rest[w+int(n):]
	}
	return nil
}
