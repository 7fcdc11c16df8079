package transport

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// frameHeaderSize is the length of a frame's header in bytes. Layout, little endian:
//
//	 0  4  CRC-32C of bytes 4 to 16
//	 4  4  payload length in bytes
//	 8  4  CRC-32C of the payload
//	12  1  kind
//	13  1  class
//	14  2  zero
//	16  …  payload
//
// The header has a checksum of its own so that a length is believed only when it is sound: with one checksum
// over both, a flipped bit in the length would make the reader wait for bytes that never come.
const frameHeaderSize = 16

type frameKind uint8

const (
	frameMessage frameKind = 1
	framePulse   frameKind = 2 // no payload: a sign of life
)

// trustedBytes is what is allocated on the word of a length alone. The rest of a larger frame is
// allocated as its bytes arrive, so that a peer cannot claim memory that it does not fill.
const trustedBytes = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrameHeader appends the header for a payload given in parts.
func appendFrameHeader(b []byte, kind frameKind, class Class, payload [][]byte) []byte {
	var length, sum uint32
	for _, part := range payload {
		length += uint32(len(part))
		sum = crc32.Update(sum, castagnoli, part)
	}
	var h [frameHeaderSize]byte
	le := binary.LittleEndian
	le.PutUint32(h[4:], length)
	le.PutUint32(h[8:], sum)
	h[12] = byte(kind)
	h[13] = byte(class)
	le.PutUint32(h[0:], crc32.Checksum(h[4:], castagnoli))
	return append(b, h[:]...)
}

// frameReader reads the frames of one class from a connection.
type frameReader struct {
	from  *bufio.Reader
	class Class
	max   int // payload bytes
}

// next returns the next frame: a message with its payload, or a pulse. The payload is allocated for the caller, exactly.
// The error is io.EOF only if the stream ends between two frames. After an error the stream cannot be read on.
func (r *frameReader) next() (frameKind, []byte, error) {
	h, err := r.from.Peek(frameHeaderSize)
	if err != nil {
		if err == io.EOF && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	le := binary.LittleEndian
	if crc32.Checksum(h[4:], castagnoli) != le.Uint32(h) {
		return 0, nil, errFrameHeader
	}
	length, sum, kind := le.Uint32(h[4:]), le.Uint32(h[8:]), frameKind(h[12])
	switch {
	case Class(h[13]) != r.class || h[14]|h[15] != 0,
		kind != frameMessage && kind != framePulse,
		kind == framePulse && length != 0:
		return 0, nil, fmt.Errorf("kind %d, class %d, %d bytes on a %v connection: %w", kind, h[13], length, r.class, errFrameStray)
	case uint64(length) > uint64(r.max):
		return 0, nil, fmt.Errorf("%d bytes where %d are allowed: %w", length, r.max, errFrameTooLong)
	}
	if _, err := r.from.Discard(frameHeaderSize); err != nil {
		return 0, nil, err
	}
	payload, err := readExactly(r.from, int(length))
	if err != nil {
		return 0, nil, err
	}
	if crc32.Checksum(payload, castagnoli) != sum {
		return 0, nil, errFramePayload
	}
	return kind, payload, nil
}

// readExactly reads n bytes into a slice of just that size; if they are many, it grows with what has arrived.
func readExactly(from io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, trustedBytes))
	for filled := 0; ; {
		if _, err := io.ReadFull(from, b[filled:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // n bytes were promised
			}
			return nil, err
		}
		if filled = len(b); filled == n {
			return b, nil
		}
		grown := make([]byte, min(n, 2*filled))
		copy(grown, b)
		b = grown
	}
}
