package paxos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Record is the unit of an acceptor's durable state. It has one encoding: the bytes that a leader sends
// in an Accept are the bytes that every acceptor appends to its log, checksums and all.
// A Record is immutable once it has been handed to anyone, and may then be read from any goroutine.
type Record struct {
	Kind   RecordKind
	Slot   Slot   // 0 for a Promise
	Ballot Ballot // of the promise or the vote; zero for RecordChosen
	Epoch  uint32 // configuration in force at Slot, for fast refusal and for people; safety does not rest on it
	Chosen Slot   // the author's chosen prefix when it made the record
	Value  Value

	bytes []byte // the encoding, once Seal has made it or DecodeRecord has read it
}

// RecordKind says what a Record makes durable. The numbers are part of the disk format.
type RecordKind uint8

const (
	RecordPromise RecordKind = 1 // the acceptor will answer nothing below Ballot, in any slot
	RecordAccept  RecordKind = 2 // the acceptor votes for Value in Slot at Ballot, and promises Ballot
	RecordChosen  RecordKind = 3 // Value is chosen in Slot: learned from a peer, not voted for here
)

func (k RecordKind) String() string {
	switch k {
	case RecordPromise:
		return "promise"
	case RecordAccept:
		return "accept"
	case RecordChosen:
		return "chosen"
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// RecordHeaderSize is the length of an encoded record's header in bytes. Layout, little endian:
//
//	 0  4  CRC-32C of bytes 4 to 56
//	 4  4  CRC-32C of the payload
//	 8  4  payload length in bytes
//	12  1  kind
//	13  3  zero
//	16  8  slot
//	24  8  ballot: round
//	32  8  ballot: node
//	40  4  ballot: boot
//	44  4  configuration epoch
//	48  8  chosen prefix
//	56  …  payload (the value), padded with zeros to a multiple of 8
//
// The header has a checksum of its own so that a record whose payload rots still tells which slot and
// ballot it was for: that slot is then unknown, and not "never voted".
const RecordHeaderSize = 56

// MaxValueBytes bounds the value of one slot: what a reader may allocate on the word of a header.
const MaxValueBytes = 64 << 20

var (
	// ErrShort means the bytes end before the record does.
	ErrShort = errors.New("paxos: record is cut short")
	// ErrHeader means the header's checksum or a field of it is wrong: nothing in the record can be believed.
	ErrHeader = errors.New("paxos: record header is corrupt")
	// ErrPayload means the header is sound and the payload's checksum is wrong.
	ErrPayload = errors.New("paxos: record payload is corrupt")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Size returns the length of the encoding in bytes, padding included: a multiple of 8.
func (r *Record) Size() int { return RecordHeaderSize + (len(r.Value)+7)&^7 }

// Seal computes the encoding, once, and returns it; the value is then a part of that. Only the goroutine that made the record may call it
// the first time; after that the bytes are shared and must not be changed.
func (r *Record) Seal() []byte {
	if r.bytes != nil {
		return r.bytes
	}
	b := make([]byte, r.Size())
	copy(b[RecordHeaderSize:], r.Value)
	le := binary.LittleEndian
	le.PutUint32(b[4:], crc32.Checksum(r.Value, castagnoli))
	le.PutUint32(b[8:], uint32(len(r.Value)))
	b[12] = byte(r.Kind)
	le.PutUint64(b[16:], uint64(r.Slot))
	le.PutUint64(b[24:], r.Ballot.Round)
	le.PutUint64(b[32:], uint64(r.Ballot.Node))
	le.PutUint32(b[40:], r.Ballot.Boot)
	le.PutUint32(b[44:], r.Epoch)
	le.PutUint64(b[48:], uint64(r.Chosen))
	le.PutUint32(b[0:], crc32.Checksum(b[4:RecordHeaderSize], castagnoli))
	r.bytes = b
	if len(r.Value) > 0 {
		r.Value = b[RecordHeaderSize : RecordHeaderSize+len(r.Value)] // so that the record holds its value once
	}
	return b
}

// DecodeHeader reads a record's header alone, without its value, and returns the size of the whole encoding.
// It returns ErrShort or ErrHeader.
func DecodeHeader(b []byte) (r Record, size int, err error) {
	if len(b) < RecordHeaderSize {
		return Record{}, 0, ErrShort
	}
	le := binary.LittleEndian
	if crc32.Checksum(b[4:RecordHeaderSize], castagnoli) != le.Uint32(b) {
		return Record{}, 0, ErrHeader
	}
	length := le.Uint32(b[8:])
	if length > MaxValueBytes || b[13]|b[14]|b[15] != 0 {
		return Record{}, 0, ErrHeader
	}
	r = Record{
		Kind:   RecordKind(b[12]),
		Slot:   Slot(le.Uint64(b[16:])),
		Ballot: Ballot{Round: le.Uint64(b[24:]), Node: NodeID(le.Uint64(b[32:])), Boot: le.Uint32(b[40:])},
		Epoch:  le.Uint32(b[44:]),
		Chosen: Slot(le.Uint64(b[48:])),
	}
	return r, RecordHeaderSize + (int(length)+7)&^7, nil
}

// DecodeRecord reads the record at the start of b and returns it with the length of its encoding. The record keeps a
// reference to b: the caller must not change those bytes afterwards. The error is ErrShort, ErrHeader or
// ErrPayload; with ErrPayload the record's header fields and the length are valid and its Value is nil.
func DecodeRecord(b []byte) (*Record, int, error) {
	r, size, err := DecodeHeader(b)
	if err != nil {
		return nil, 0, err
	}
	if len(b) < size {
		return nil, 0, ErrShort
	}
	le := binary.LittleEndian
	length := int(le.Uint32(b[8:]))
	value := b[RecordHeaderSize : RecordHeaderSize+length : RecordHeaderSize+length]
	for _, pad := range b[RecordHeaderSize+length : size] {
		if pad != 0 {
			return &r, size, ErrPayload
		}
	}
	if crc32.Checksum(value, castagnoli) != le.Uint32(b[4:]) {
		return &r, size, ErrPayload
	}
	if length > 0 {
		r.Value = value
	}
	r.bytes = b[:size:size]
	return &r, size, nil
}
