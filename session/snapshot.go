package session

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// The form of a table: a version byte, then as unsigned varints the digest, the time, the last session and the number of sessions; for each of them, the one unused for longest first, its id, TTL, time of its last use,
// what is acknowledged, and the number of its entries; for each of these, ascending, its sequence and the length of the result plus one, 0 if the result is not known; and the result.
const tableVersion = 1

// ErrTable means the bytes are no table that this version can have written.
var ErrTable = errors.New("session: malformed or newer table of sessions")

// Append appends the table's form. No command may be between Begin and Finish.
func (t *Table) Append(b []byte) []byte {
	b = append(b, tableVersion)
	b = appendUvarints(b, t.digest, uint64(t.now), uint64(t.last), uint64(len(t.sessions)))
	for place := t.used.Front(); place != nil; place = place.Next() {
		r := place.Value.(*record)
		b = appendUvarints(b, uint64(r.id), uint64(r.ttl), uint64(r.lastUsed), r.acked, uint64(len(r.entries)))
		for _, e := range r.entries {
			if !e.known {
				b = appendUvarints(b, e.sequence, 0)
				continue
			}
			b = appendUvarints(b, e.sequence, uint64(len(e.result))+1)
			b = append(b, e.result...)
		}
	}
	return b
}

func appendUvarints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// Read reads a table that Append has written, to its end. The error is ErrTable, or the reader's. It takes no more memory than a table may.
func Read(from io.Reader) (*Table, error) {
	p := &tableReader{from: bufio.NewReader(from), t: NewTable()}
	p.read()
	if p.err == nil {
		if _, err := p.from.ReadByte(); !errors.Is(err, io.EOF) {
			p.fail(err)
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.t, nil
}

// tableReader reads on until the first error, which it keeps.
type tableReader struct {
	from *bufio.Reader
	t    *Table
	err  error
}

func (p *tableReader) fail(err error) {
	switch {
	case p.err != nil:
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		p.err = ErrTable
	default:
		p.err = fmt.Errorf("session: cannot read the table of sessions: %w", err)
	}
}

// uvarint reads a number from least to most.
func (p *tableReader) uvarint(least, most uint64) uint64 {
	if p.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(p.from)
	if err != nil || v < least || v > most {
		p.fail(err)
		return 0
	}
	return v
}

func (p *tableReader) read() {
	version, err := p.from.ReadByte()
	if err != nil || version != tableVersion {
		p.fail(err)
		return
	}
	p.t.digest = p.uvarint(0, math.MaxUint64)
	p.t.now = int64(p.uvarint(0, math.MaxInt64))
	p.t.last = ID(p.uvarint(0, math.MaxInt64))
	for n := p.uvarint(0, SessionsMax); n > 0 && p.err == nil; n-- {
		p.record()
	}
}

func (p *tableReader) record() {
	r := &record{id: ID(p.uvarint(1, uint64(p.t.last)))}
	r.ttl = time.Duration(p.uvarint(0, math.MaxInt64))
	r.lastUsed = int64(p.uvarint(0, math.MaxInt64))
	r.acked = p.uvarint(0, math.MaxUint64)
	if p.t.sessions[r.id] != nil || r.lastUsed > p.t.now {
		p.fail(nil)
	}
	if p.err != nil {
		return
	}
	r.place = p.t.used.PushBack(r)
	p.t.sessions[r.id] = r
	before := r.acked
	for n := p.uvarint(0, OutstandingMax); n > 0 && p.err == nil; n-- {
		if before == math.MaxUint64 {
			p.fail(nil)
			return
		}
		e := &Entry{owner: r, sequence: p.uvarint(before+1, math.MaxUint64)}
		before = e.sequence
		if size := p.uvarint(0, ResultBytesMax+1); size > 0 {
			e.known, e.result = true, p.bytes(int(size)-1)
		}
		r.entries = append(r.entries, e)
	}
}

// bytes reads a result of the session that came last.
func (p *tableReader) bytes(size int) []byte {
	if p.err != nil || size == 0 {
		return nil
	}
	if p.t.bytes+size > ResultBytesMax {
		p.fail(nil)
		return nil
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(p.from, b); err != nil {
		p.fail(err)
		return nil
	}
	p.t.hold(p.t.used.Back().Value.(*record), size)
	return b
}
