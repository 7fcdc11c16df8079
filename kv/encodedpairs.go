package kv

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// encodedPairs encodes pairs as fields of a RangeResponse, into buffers of gRPC's pool. The first one is as large as the first pair, as an answer may be of one.
type encodedPairs struct {
	full mem.BufferSlice
	room *[]byte // the buffer that is being filled; its length is what it has
	last []byte  // key of the last pair
}

// pairsRoomMax is how large a buffer is, in bytes, unless a single pair needs more.
const pairsRoomMax = 32 << 10

// Numbers of the fields of RangeResponse and mvccpb.KeyValue.
const (
	kvsField protowire.Number = 2

	keyField     protowire.Number = 1
	createdField protowire.Number = 2
	modField     protowire.Number = 3
	versionField protowire.Number = 4
	valueField   protowire.Number = 5
	leaseField   protowire.Number = 6
)

// add encodes a version.
func (p *encodedPairs) add(v *version) {
	size := pairSize(v)
	whole := protowire.SizeTag(kvsField) + protowire.SizeBytes(size)
	switch {
	case p.room == nil:
		p.room = newRoom(whole)
	case cap(*p.room)-len(*p.room) < whole:
		next := newRoom(max(whole, min(2*cap(*p.room), pairsRoomMax)))
		p.fill()
		p.room = next
	}
	b := protowire.AppendTag(*p.room, kvsField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	*p.room = appendPair(b, v)
	p.last = append(p.last[:0], v.key...)
}

// newRoom returns an empty buffer.
func newRoom(bytes int) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(bytes) {
		b := make([]byte, 0, bytes)
		return &b
	}
	b := mem.DefaultBufferPool().Get(bytes)
	*b = (*b)[:0]
	return b
}

func (p *encodedPairs) fill() {
	p.full = append(p.full, mem.NewBuffer(p.room, mem.DefaultBufferPool()))
	p.room = nil
}

// all returns what has been encoded, not nil even if that is nothing. Nothing may be added any more.
func (p *encodedPairs) all() mem.BufferSlice {
	if p.room != nil {
		p.fill()
	}
	if p.full == nil {
		return mem.BufferSlice{}
	}
	return p.full
}

// pairSize is how long a version is as an mvccpb.KeyValue.
func pairSize(v *version) int {
	return bytesSize(keyField, v.key) + numberSize(createdField, v.created) + numberSize(modField, v.at.main) +
		numberSize(versionField, v.count) + bytesSize(valueField, v.value) + numberSize(leaseField, v.lease)
}

// appendPair appends a version as an mvccpb.KeyValue. What is nothing takes no room, as ever in protobuf.
func appendPair(b []byte, v *version) []byte {
	b = appendBytes(b, keyField, v.key)
	b = appendNumber(b, createdField, v.created)
	b = appendNumber(b, modField, v.at.main)
	b = appendNumber(b, versionField, v.count)
	b = appendBytes(b, valueField, v.value)
	return appendNumber(b, leaseField, v.lease)
}

func bytesSize(field protowire.Number, value []byte) int {
	if len(value) == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(value))
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func numberSize(field protowire.Number, n int64) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(uint64(n))
}

func appendNumber(b []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n))
}
