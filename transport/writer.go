package transport

import (
	"net"
	"time"
)

const (
	// writeBytes bounds one write to the socket, and so what must get through within one write deadline.
	writeBytes = 1 << 20
	// copyBytes is the size up to which a slice is cheaper to copy than to pass to the kernel on its own.
	copyBytes = 2 << 10
	// gatherBytes is how much is copied before it must be written.
	gatherBytes = 64 << 10
)

// frameWriter gathers frames and writes them with few system calls: small slices are copied together, large ones
// are written from where they lie.
type frameWriter struct {
	to      net.Conn
	class   Class
	timeout time.Duration // for each write

	slices   [][]byte    // to be written, in order
	size     int         // their bytes
	gathered []byte      // the memory of the small ones; never grown beyond gatherBytes
	run      int         // where in gathered the last of slices begins, or -1 if it lies elsewhere
	pending  net.Buffers // slices, while they are being written
}

func newFrameWriter(to net.Conn, class Class, timeout time.Duration) *frameWriter {
	return &frameWriter{to: to, class: class, timeout: timeout, gathered: make([]byte, 0, gatherBytes), run: -1}
}

// frame adds a frame. Its slices may be referred to until the next flush.
func (w *frameWriter) frame(kind frameKind, payload [][]byte) error {
	var header [frameHeaderSize]byte
	if err := w.add(appendFrameHeader(header[:0], kind, w.class, payload)); err != nil {
		return err
	}
	for _, part := range payload {
		if err := w.add(part); err != nil {
			return err
		}
	}
	return nil
}

func (w *frameWriter) add(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), writeBytes-w.size)]
		small := len(part) <= copyBytes
		if len(part) == 0 || small && len(part) > gatherBytes-len(w.gathered) {
			if err := w.flush(); err != nil {
				return err
			}
			continue
		}
		if small {
			w.gather(part)
		} else {
			w.slices = append(w.slices, part)
			w.run = -1
		}
		w.size += len(part)
		b = b[len(part):]
	}
	return nil
}

// gather copies b to the end of what was gathered before.
func (w *frameWriter) gather(b []byte) {
	if w.run < 0 {
		w.run = len(w.gathered)
		w.slices = append(w.slices, nil)
	}
	w.gathered = append(w.gathered, b...)
	w.slices[len(w.slices)-1] = w.gathered[w.run:]
}

// flush writes all that was added, and fails if that takes longer than the timeout.
func (w *frameWriter) flush() error {
	if w.size == 0 {
		return nil
	}
	if err := w.to.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	w.pending = w.slices
	if _, err := w.pending.WriteTo(w.to); err != nil {
		return err
	}
	clear(w.slices)
	w.slices, w.gathered, w.size, w.run = w.slices[:0], w.gathered[:0], 0, -1
	return nil
}
