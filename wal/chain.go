package wal

import "synod.dev/synod/paxos"

// chain is an unbroken run of batches in a segment, each beginning where the one before it ends, in position and in LSN.
type chain struct {
	segment segmentID
	content []byte // of the whole segment
	batches []batch
	start   int
	end     int    // where the batch after the last would begin
	stray   *batch // another sound batch at or beyond end: with one, what should be at end is not torn but corrupt
}

// readChain reads the chain that begins at offset start of a segment's content. Whatever the content, it does not fail:
// what is no batch ends the chain.
func readChain(content []byte, start int, incarnation paxos.Incarnation, segment segmentID) *chain {
	c := &chain{segment: segment, content: content, start: start, end: start}
	for c.end < len(content) {
		b, ok := decodeBatch(content, c.end, incarnation, segment)
		if !ok || len(c.batches) > 0 && b.first != c.batches[len(c.batches)-1].next() {
			break
		}
		c.batches = append(c.batches, b)
		c.end = b.end()
	}
	for offset := c.end; offset < len(content); offset += sectorBytes {
		if b, ok := decodeBatch(content, offset, incarnation, segment); ok {
			c.stray = &b
			break
		}
	}
	return c
}

// blank reports whether there is no batch at all: the segment was prepared and never written to, or its first batch was torn.
func (c *chain) blank() bool { return len(c.batches) == 0 && c.stray == nil }

// cut drops what comes from record i of the last batch on.
func (c *chain) cut(i int) {
	last := &c.batches[len(c.batches)-1]
	if i == 0 {
		c.end = last.offset
		c.batches = c.batches[:len(c.batches)-1]
		return
	}
	last.entries = last.entries[:i]
}
