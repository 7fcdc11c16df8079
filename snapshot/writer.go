package snapshot

import (
	"fmt"
	"slices"
)

// Writer makes a stream of chunks. It is used by one goroutine and holds one chunk in memory.
type Writer struct {
	emit     func(chunk []byte) error
	sections []byte // those still to come
	buffer   []byte // the chunk that is being filled: room for the head, then payload
	next     chunk
	sum      [hashBytes]byte
	err      error
}

// NewWriter begins a stream: the header goes to emit at once. What emit is given is its own only until it returns; its error ends the stream.
func NewWriter(h Header, emit func(chunk []byte) error) (*Writer, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	w := &Writer{emit: emit, sections: slices.Clone(h.Sections), buffer: make([]byte, headBytes, 64<<10), next: chunk{kind: kindHeader}}
	w.buffer = h.append(w.buffer)
	return w, w.flush()
}

// Section begins the next section of the header; what is written from now on is its.
func (w *Writer) Section(id byte) error {
	if len(w.sections) == 0 || w.sections[0] != id {
		return fmt.Errorf("snapshot: section %d out of turn: %v are to come", id, w.sections)
	}
	if err := w.flushPiece(); err != nil {
		return err
	}
	w.sections = w.sections[1:]
	w.next.kind, w.next.section = kindPiece, id
	return nil
}

// Write adds to the section that has begun.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.next.kind != kindPiece {
		return 0, fmt.Errorf("snapshot: a write before the first section")
	}
	for n < len(p) && w.err == nil {
		room := headBytes + PayloadBytesMax - len(w.buffer)
		part := p[n:min(len(p), n+room)]
		w.buffer = append(w.buffer, part...)
		n += len(part)
		if len(part) == room {
			w.flush()
		}
	}
	return n, w.err
}

// Close ends the stream. Every section must have begun.
func (w *Writer) Close() error {
	if len(w.sections) > 0 {
		return fmt.Errorf("snapshot: closed before sections %v", w.sections)
	}
	if err := w.flushPiece(); err != nil {
		return err
	}
	w.next.kind, w.next.section = kindEnd, 0
	return w.flush()
}

func (w *Writer) flushPiece() error {
	if len(w.buffer) == headBytes {
		return w.err
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if w.err != nil {
		return w.err
	}
	w.buffer, w.sum = w.next.seal(w.buffer, w.sum)
	w.err = w.emit(w.buffer)
	w.buffer = w.buffer[:headBytes]
	w.next.index++
	return w.err
}
