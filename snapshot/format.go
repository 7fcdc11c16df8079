// Package snapshot is the one format in which a state machine's state is kept in a file and sent to another member: a stream of chunks, each bound to all before it by a hash. What is in
// it is the machines' own; docs/snapshots.md has the whole picture.
package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// ErrDamaged means that bytes are not the next chunk of the stream that was begun: they are cut, altered, or of another stream.
var ErrDamaged = errors.New("snapshot: damaged")

// ErrVersion means that the stream was written by a program whose format this one does not know.
var ErrVersion = errors.New("snapshot: of a newer format")

// A chunk, little endian:
//
//	 0  4  length of the payload in bytes
//	 4  4  index of the chunk, from 0
//	 8  1  kind: 1 header, 2 piece of a section, 3 end
//	 9  1  section, of a piece
//	10  2  zero
//	12  …  payload
//	 …  32 SHA-256 of the hash that ends the chunk before (zeros before the first) and of all of this chunk up to here
//
// Chunk 0 is the header. Pieces follow, by section in the order of the header. The last chunk is the end, without payload: its index is the number of chunks before it.
const (
	headBytes = 12
	hashBytes = sha256.Size

	// PayloadBytesMax bounds the payload of a chunk, and ChunkBytesMax all of it.
	PayloadBytesMax = 1 << 20
	ChunkBytesMax   = headBytes + PayloadBytesMax + hashBytes

	// ConfigurationBytesMax bounds Header.Configuration.
	ConfigurationBytesMax = 64 << 10
)

type kind byte

const (
	kindHeader kind = 1
	kindPiece  kind = 2
	kindEnd    kind = 3
)

// Header says what a snapshot is of.
type Header struct {
	Cluster       uint64
	Slot          paxos.Slot // the state is that after every slot up to here
	Bytes         uint64     // about how many bytes the sections have together; 0 if nobody knows. For people, not to be relied on
	Sections      []byte     // one for each machine, ascending
	Configuration []byte     // opaque: the members in force at Slot, and those already chosen to follow
}

// The header's payload, little endian: magic, format version 4, cluster 8, slot 8, bytes 8, number of sections 1, the sections, length of the configuration 4, the configuration.
const (
	headerMagic    = "Ssnp"
	headerVersion  = 1
	headerMinBytes = 4 + 4 + 8 + 8 + 8 + 1 + 4
)

func (h *Header) check() error {
	switch {
	case len(h.Sections) == 0 || len(h.Sections) > 255:
		return fmt.Errorf("snapshot: %d sections: there must be 1 to 255", len(h.Sections))
	case !ascending(h.Sections):
		return fmt.Errorf("snapshot: sections %v are not in ascending order", h.Sections)
	case len(h.Configuration) > ConfigurationBytesMax:
		return fmt.Errorf("snapshot: a configuration of %d bytes: at most %d fit", len(h.Configuration), ConfigurationBytesMax)
	}
	return nil
}

func ascending(ids []byte) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}

func (h *Header) append(b []byte) []byte {
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, headerVersion)
	b = binary.LittleEndian.AppendUint64(b, h.Cluster)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Slot))
	b = binary.LittleEndian.AppendUint64(b, h.Bytes)
	b = append(b, byte(len(h.Sections)))
	b = append(b, h.Sections...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.Configuration)))
	return append(b, h.Configuration...)
}

func decodeHeader(b []byte) (h Header, err error) {
	if len(b) < headerMinBytes || string(b[:4]) != headerMagic {
		return h, fmt.Errorf("%w: it does not begin as a snapshot does", ErrDamaged)
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[4:]); v != headerVersion {
		return h, fmt.Errorf("%w: format %d, this program knows %d: run a newer one", ErrVersion, v, headerVersion)
	}
	h = Header{Cluster: le.Uint64(b[8:]), Slot: paxos.Slot(le.Uint64(b[16:])), Bytes: le.Uint64(b[24:])}
	n := int(b[32])
	b = b[33:]
	if len(b) < n+4 {
		return Header{}, fmt.Errorf("%w: its header is cut", ErrDamaged)
	}
	h.Sections, b = slices.Clone(b[:n]), b[n:]
	if length := le.Uint32(b); uint64(length) != uint64(len(b)-4) {
		return Header{}, fmt.Errorf("%w: its header is cut", ErrDamaged)
	}
	h.Configuration = slices.Clone(b[4:])
	if err := h.check(); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, nil
}

// chunk is one chunk apart from its hash.
type chunk struct {
	index   uint32
	kind    kind
	section byte
	payload []byte
}

// seal writes c's head and hash around the payload, which lies in b at headBytes, and returns the hash, for the chunk after it.
func (c *chunk) seal(b []byte, before [hashBytes]byte) ([]byte, [hashBytes]byte) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-headBytes))
	binary.LittleEndian.PutUint32(b[4:], c.index)
	b[8], b[9], b[10], b[11] = byte(c.kind), c.section, 0, 0
	sum := chain(before, b)
	return append(b, sum[:]...), sum
}

// open reads a chunk that must follow the one that ended with the hash before.
func open(b []byte, index uint32, before [hashBytes]byte) (c chunk, sum [hashBytes]byte, err error) {
	if len(b) < headBytes+hashBytes || len(b) > ChunkBytesMax {
		return c, sum, fmt.Errorf("%w: chunk %d has %d bytes", ErrDamaged, index, len(b))
	}
	body := b[:len(b)-hashBytes]
	sum = chain(before, body)
	if [hashBytes]byte(b[len(body):]) != sum {
		return c, sum, fmt.Errorf("%w: chunk %d has another hash", ErrDamaged, index)
	}
	c = chunk{index: binary.LittleEndian.Uint32(b[4:]), kind: kind(b[8]), section: b[9], payload: body[headBytes:]}
	if uint64(binary.LittleEndian.Uint32(b)) != uint64(len(c.payload)) || c.index != index {
		return c, sum, fmt.Errorf("%w: chunk %d says it is chunk %d of %d bytes", ErrDamaged, index, c.index, binary.LittleEndian.Uint32(b))
	}
	return c, sum, nil
}

func chain(before [hashBytes]byte, b []byte) (sum [hashBytes]byte) {
	h := sha256.New()
	h.Write(before[:])
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}
