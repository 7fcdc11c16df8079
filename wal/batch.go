package wal

import (
	"encoding/binary"

	"synod.dev/synod/paxos"
)

// batch is one group commit: a header, a table with an entry for each record, and the records as they were sealed,
// padded with zeros to whole sectors. Layout, little endian:
//
//	 0  4  CRC-32C of bytes 4 to 40+16·count: the header and the table
//	 4  4  magic "Sbat"
//	 8  8  incarnation of the member
//	16  8  LSN of the first record
//	24  4  segment
//	28  4  count of records, at least 1
//	32  4  bytes of records
//	36  4  zero
//	40  …  table, 16 bytes a record
//	 …  …  records
//
// Incarnation and segment bind the batch to its file: bytes of a recycled file's former life, or of another
// member's file, are never taken for it. Everything below the first LSN was durable before the batch was written, see Sync:
// the first LSN is a watermark, too.
type batch struct {
	incarnation paxos.Incarnation
	segment     segmentID
	first       paxos.LSN
	entries     []entry
	offset      int // of the batch in its segment
}

// entry is what a batch's table says of one record. Layout: CRC of the record's header (its first four bytes), size, slot.
//
// The CRC binds the record to the batch: a record of a recycled file's former life that happens to lie in the right place
// is sound in itself and still not ours. The slot is a second home for the one thing that must be known of a damaged record.
type entry struct {
	headerSum uint32
	size      uint32
	slot      paxos.Slot

	raw    []byte // the record's bytes
	offset int    // of the record in its segment
}

const (
	batchHeaderBytes = 40
	entryBytes       = 16
	batchMagic       = "Sbat"
)

func entryOf(r *paxos.Record) entry {
	raw := r.Seal()
	return entry{headerSum: binary.LittleEndian.Uint32(raw), size: uint32(len(raw)), slot: r.Slot, raw: raw}
}

// next returns the LSN after the batch's last.
func (b *batch) next() paxos.LSN { return b.first + paxos.LSN(len(b.entries)) }

// appendTo encodes the batch behind dst, whose length is its offset in the segment, or differs from that by whole sectors.
func (b *batch) appendTo(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	var size uint32
	for _, e := range b.entries {
		size += e.size
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, batchMagic...)
	dst = le.AppendUint64(dst, uint64(b.incarnation))
	dst = le.AppendUint64(dst, uint64(b.first))
	dst = le.AppendUint32(dst, uint32(b.segment))
	dst = le.AppendUint32(dst, uint32(len(b.entries)))
	dst = le.AppendUint32(dst, size)
	dst = le.AppendUint32(dst, 0)
	for _, e := range b.entries {
		dst = le.AppendUint32(dst, e.headerSum)
		dst = le.AppendUint32(dst, e.size)
		dst = le.AppendUint64(dst, uint64(e.slot))
	}
	le.PutUint32(dst[start:], checksum(dst[start+4:]))
	for _, e := range b.entries {
		dst = append(dst, e.raw...)
	}
	return append(dst, make([]byte, roundUp(len(dst)-start)-(len(dst)-start))...)
}

// ours reports whether the bytes at the start of b claim to be a batch of this segment. The zero incarnation stands for any.
func ours(b []byte, incarnation paxos.Incarnation, segment segmentID) bool {
	le := binary.LittleEndian
	return len(b) >= batchHeaderBytes && string(b[4:8]) == batchMagic && segmentID(le.Uint32(b[24:])) == segment &&
		(incarnation == 0 || paxos.Incarnation(le.Uint64(b[8:])) == incarnation)
}

// decodeBatch reads the batch at offset of a segment's content. It reports false unless header and table are sound;
// of the records it knows only where they lie. The entries alias content.
func decodeBatch(content []byte, offset int, incarnation paxos.Incarnation, segment segmentID) (batch, bool) {
	rest := content[offset:]
	if !ours(rest, incarnation, segment) {
		return batch{}, false
	}
	le := binary.LittleEndian
	count, size := int(le.Uint32(rest[28:])), int(le.Uint32(rest[32:]))
	if count == 0 || count > (len(rest)-batchHeaderBytes)/entryBytes || le.Uint32(rest[36:]) != 0 {
		return batch{}, false
	}
	head := batchHeaderBytes + count*entryBytes
	if size > len(rest)-head || checksum(rest[4:head]) != le.Uint32(rest) {
		return batch{}, false
	}
	b := batch{
		incarnation: paxos.Incarnation(le.Uint64(rest[8:])),
		segment:     segment,
		first:       paxos.LSN(le.Uint64(rest[16:])),
		entries:     make([]entry, count),
		offset:      offset,
	}
	at, end := head, head+size
	for i := range b.entries {
		row := rest[batchHeaderBytes+i*entryBytes:]
		e := entry{headerSum: le.Uint32(row), size: le.Uint32(row[4:]), slot: paxos.Slot(le.Uint64(row[8:]))}
		if int(e.size) < paxos.RecordHeaderSize || int(e.size) > end-at {
			return batch{}, false
		}
		e.raw = rest[at : at+int(e.size) : at+int(e.size)]
		b.entries[i] = e
		at += int(e.size)
	}
	if at != end || b.first == 0 {
		return batch{}, false
	}
	b.place(offset)
	return b, true
}

// end returns the offset in the segment where the next batch begins.
func (b *batch) end() int {
	last := b.entries[len(b.entries)-1]
	return roundUp(last.offset + int(last.size))
}

// position returns where record i lies.
func (b *batch) position(i int) position {
	e := &b.entries[i]
	return position{segment: b.segment, offset: uint32(e.offset / 8), size: e.size, headerSum: e.headerSum}
}

// place notes that the batch lies at offset of its segment.
func (b *batch) place(offset int) {
	b.offset = offset
	at := offset + batchHeaderBytes + len(b.entries)*entryBytes
	for i := range b.entries {
		b.entries[i].offset = at
		at += int(b.entries[i].size)
	}
}

// entryAt describes a record of the batch for those who walk the log.
func (b *batch) entryAt(i int, durable bool) Entry {
	e := &b.entries[i]
	r, sound := e.record()
	return Entry{
		Segment:  b.segment.fileName(),
		Offset:   int64(e.offset),
		Batch:    int64(b.offset),
		LSN:      b.first + paxos.LSN(i),
		Durable:  b.first - 1,
		State:    verdicts[evidence{batch: true, record: sound, durable: durable}],
		Record:   r,
		segment:  b.segment,
		position: b.position(i),
	}
}

// record decodes a record and reports whether it is sound and the batch's own. Otherwise it returns what is still
// known of it: its header, or, with Kind zero, its slot alone.
func (e *entry) record() (r *paxos.Record, sound bool) {
	r, size, err := paxos.DecodeRecord(e.raw)
	if r == nil || size != int(e.size) || r.Slot != e.slot || binary.LittleEndian.Uint32(e.raw) != e.headerSum {
		return &paxos.Record{Slot: e.slot}, false
	}
	return r, err == nil
}
