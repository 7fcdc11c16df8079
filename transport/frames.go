package transport

import (
	"bufio"
	"bytes"
)

// AppendFrame appends to b the frame in which a payload, given in parts, travels on a connection of the class.
func AppendFrame(b []byte, class Class, payload ...[]byte) []byte {
	b = appendFrameHeader(b, frameMessage, class, payload)
	for _, part := range payload {
		b = append(b, part...)
	}
	return b
}

// FrameDecoder takes frames apart that came by other means than a connection, with the checks of one. The zero value is ready.
// It is not safe for concurrent use.
type FrameDecoder struct {
	bytes  bytes.Reader
	frames frameReader
}

// Decode returns a copy of the payload of one whole frame. An error means what it means on a connection: nothing after it can be believed.
func (d *FrameDecoder) Decode(frame []byte, class Class) ([]byte, error) {
	d.bytes.Reset(frame)
	if d.frames.from == nil {
		d.frames.from = bufio.NewReader(&d.bytes)
	} else {
		d.frames.from.Reset(&d.bytes)
	}
	d.frames.class, d.frames.max = class, len(frame)
	_, payload, err := d.frames.next()
	return payload, err
}
