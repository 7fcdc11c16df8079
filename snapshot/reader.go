package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Source gives the chunk of an index. The indices ascend from 0; one is asked for again if what came was damaged. The chunk is the Reader's until the next call.
type Source func(index uint32) ([]byte, error)

// Reader reads a stream of chunks and believes none that does not follow, by its hash, from those before. It is used by one goroutine and holds one chunk in memory.
type Reader struct {
	source   Source
	tries    int
	header   Header
	sections []byte // those that have not ended
	index    uint32 // of the next chunk
	sum      [hashBytes]byte
	current  chunk // the last one read, its payload as far as it has not been read
	section  byte  // the one that Read is in, once begun
	begun    bool
	err      error
}

// NewReader reads the header. A chunk that comes damaged is asked for tries times in all.
func NewReader(source Source, tries int) (*Reader, error) {
	r := &Reader{source: source, tries: tries}
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	r.sections = r.header.Sections
	return r, r.piece()
}

// ReadHeader reads the header alone: no chunk but the first is asked for.
func ReadHeader(source Source, tries int) (Header, error) {
	r := &Reader{source: source, tries: tries}
	err := r.readHeader()
	return r.header, err
}

func (r *Reader) readHeader() (err error) {
	if err := r.advance(); err != nil {
		return err
	}
	if r.current.kind != kindHeader {
		return fmt.Errorf("%w: its first chunk is no header", ErrDamaged)
	}
	r.header, err = decodeHeader(r.current.payload)
	return err
}

// Header returns what the snapshot is of.
func (r *Reader) Header() Header { return r.header }

// Next begins the next section, passing over what has not been read of the one before. The error is io.EOF after the last one, and not before the end of
// the stream has been seen: then, and only then, is the snapshot whole.
func (r *Reader) Next() (section byte, err error) {
	for r.begun && r.err == nil && r.current.kind == kindPiece && r.current.section == r.section {
		r.piece()
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(r.sections) == 0 {
		return 0, io.EOF
	}
	r.section, r.begun = r.sections[0], true
	r.sections = r.sections[1:]
	return r.section, nil
}

// Read reads the section that has begun, to io.EOF at its end.
func (r *Reader) Read(p []byte) (n int, err error) {
	for r.err == nil && r.begun && r.current.kind == kindPiece && r.current.section == r.section {
		if len(r.current.payload) > 0 {
			n = copy(p, r.current.payload)
			r.current.payload = r.current.payload[n:]
			return n, nil
		}
		r.piece()
	}
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}

// piece reads the next chunk, which must be a piece that is in order, or the end.
func (r *Reader) piece() error {
	before := r.current
	if r.err = r.advance(); r.err != nil {
		return r.err
	}
	switch c := &r.current; {
	case c.kind == kindEnd && len(c.payload) == 0:
	case c.kind == kindPiece && len(c.payload) > 0 && slices.Contains(r.header.Sections, c.section) && (before.kind == kindHeader || c.section >= before.section):
	default:
		r.err = fmt.Errorf("%w: chunk %d does not belong where it is", ErrDamaged, c.index)
	}
	return r.err
}

// advance gets and verifies the next chunk.
func (r *Reader) advance() (err error) {
	for range r.tries {
		var b []byte
		if b, err = r.source(r.index); err != nil {
			return err
		}
		var c chunk
		var sum [hashBytes]byte
		if c, sum, err = open(b, r.index, r.sum); err == nil {
			r.current, r.sum = c, sum
			r.index++
			return nil
		}
	}
	return err
}

// FileSource gives the chunks that lie one behind the other in a file.
func FileSource(file io.ReaderAt) Source {
	var offset int64
	var buffer []byte
	return func(index uint32) ([]byte, error) {
		var head [headBytes]byte
		if err := readFull(file, head[:], offset); err != nil {
			return nil, err
		}
		length := binary.LittleEndian.Uint32(head[:])
		if length > PayloadBytesMax {
			return nil, fmt.Errorf("%w: chunk %d says it has %d bytes", ErrDamaged, index, length)
		}
		size := headBytes + int(length) + hashBytes
		if cap(buffer) < size {
			buffer = make([]byte, size)
		}
		if err := readFull(file, buffer[:size], offset); err != nil {
			return nil, err
		}
		offset += int64(size)
		return buffer[:size], nil
	}
}

// Count returns how many chunks lie one behind the other in a file, up to its end or to one without a payload, and how many bytes they have. It goes by their lengths alone: what they hold may be damaged.
func Count(file io.ReaderAt) (chunks uint32, bytes int64, err error) {
	var head [headBytes]byte
	var last [1]byte
	for {
		err := readFull(file, head[:], bytes)
		length := binary.LittleEndian.Uint32(head[:])
		size := headBytes + int64(length) + hashBytes
		if err == nil && length <= PayloadBytesMax {
			err = readFull(file, last[:], bytes+size-1)
		}
		switch {
		case errors.Is(err, ErrDamaged), length == 0, length > PayloadBytesMax:
			return chunks, bytes, nil
		case err != nil:
			return chunks, bytes, err
		}
		chunks++
		bytes += size
	}
}

func readFull(file io.ReaderAt, p []byte, offset int64) error {
	n, err := file.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at byte %d", ErrDamaged, offset+int64(n))
	}
	return err
}
