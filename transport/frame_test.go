package transport

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// encodeFrames is a stream of message frames, one for each payload.
func encodeFrames(class Class, payloads ...[]byte) []byte {
	var stream []byte
	for _, p := range payloads {
		stream = append(appendFrameHeader(stream, frameMessage, class, [][]byte{p}), p...)
	}
	return stream
}

// decodeFrames returns the payloads before the first error.
func decodeFrames(stream []byte, class Class, max int) ([][]byte, error) {
	r := frameReader{from: bufio.NewReader(bytes.NewReader(stream)), class: class, max: max}
	var payloads [][]byte
	for {
		_, payload, err := r.next()
		if err != nil {
			return payloads, err
		}
		payloads = append(payloads, payload)
	}
}

func TestFrameBytesAreAsDocumented(t *testing.T) {
	got := hex.EncodeToString(encodeFrames(Replication, []byte("promise")))
	if want := "2cc38d10070000006c8c09f90101000070726f6d697365"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = hex.EncodeToString(appendFrameHeader(nil, framePulse, Control, nil))
	if want := "dc960794000000000000000002000000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNoFlippedBitIsDelivered(t *testing.T) {
	sent := [][]byte{[]byte("prepare"), {}, bytes.Repeat([]byte("accept"), 30)}
	stream := encodeFrames(Control, sent...)
	for bit := range len(stream) * 8 {
		stream[bit/8] ^= 1 << (bit % 8)
		got, err := decodeFrames(stream, Control, 1<<30)
		stream[bit/8] ^= 1 << (bit % 8)
		if !errors.Is(err, errFrameHeader) && !errors.Is(err, errFramePayload) {
			t.Fatalf("bit %d flipped: the stream ended with %v", bit, err)
		}
		for i := range got {
			if !bytes.Equal(got[i], sent[i]) {
				t.Fatalf("bit %d flipped: frame %d was delivered as %q", bit, i, got[i])
			}
		}
	}
}

func TestStreamCutAnywhereDeliversOnlyWholeFrames(t *testing.T) {
	sent := [][]byte{[]byte("prepare"), {}, []byte("accept")}
	stream := encodeFrames(Control, sent...)
	boundaries := map[int]int{0: 0} // length of the stream to frames in it
	for i := range sent {
		boundaries[len(encodeFrames(Control, sent[:i+1]...))] = i + 1
	}
	whole := 0
	for cut := range len(stream) + 1 {
		want := io.ErrUnexpectedEOF
		if frames, ok := boundaries[cut]; ok {
			whole, want = frames, io.EOF
		}
		got, err := decodeFrames(stream[:cut], Control, 100)
		if err != want || len(got) != whole {
			t.Errorf("cut after %d bytes: %d frames and %v, want %d and %v", cut, len(got), err, whole, want)
		}
	}
}

func TestFrameThatDoesNotBelongIsRefused(t *testing.T) {
	seven := [][]byte{make([]byte, 7)}
	for name, tc := range map[string]struct {
		header []byte
		want   error
	}{
		"of another class":        {appendFrameHeader(nil, frameMessage, Background, seven), errFrameStray},
		"of an unknown kind":      {appendFrameHeader(nil, 9, Control, seven), errFrameStray},
		"a pulse with a payload":  {appendFrameHeader(nil, framePulse, Control, seven), errFrameStray},
		"longer than the maximum": {appendFrameHeader(nil, frameMessage, Control, [][]byte{make([]byte, 8)}), errFrameTooLong},
	} {
		if _, err := decodeFrames(append(tc.header, make([]byte, 8)...), Control, 7); !errors.Is(err, tc.want) {
			t.Errorf("a frame %s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestLengthAloneClaimsNoMemory(t *testing.T) {
	const promised = 512 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := readExactly(bytes.NewReader(make([]byte, trustedBytes+1)), promised)
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Errorf("%d bytes and %v from a stream that ends early", len(b), err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8*trustedBytes {
		t.Errorf("%d bytes were allocated for %d that arrived", allocated, trustedBytes+1)
	}
}

func TestReadIsExactForAnySize(t *testing.T) {
	source := make([]byte, 5*trustedBytes)
	for i := range source {
		source[i] = byte(i * i >> 7)
	}
	for _, n := range []int{0, 1, trustedBytes - 1, trustedBytes, trustedBytes + 1, 2*trustedBytes + 1, 5 * trustedBytes} {
		b, err := readExactly(bytes.NewReader(source), n)
		if err != nil || len(b) != n || cap(b) > n+n/8+64 || !bytes.Equal(b, source[:n]) {
			t.Errorf("reading %d bytes gave %d (capacity %d) and %v", n, len(b), cap(b), err)
		}
	}
}

// memory is a net.Conn that keeps what is written, and in how many pieces.
type memory struct {
	net.Conn
	written bytes.Buffer
	writes  int
}

func (m *memory) SetWriteDeadline(time.Time) error { return nil }
func (m *memory) Write(b []byte) (int, error) {
	m.writes++
	return m.written.Write(b)
}

func TestWriterGathersSmallFramesAndKeepsOrder(t *testing.T) {
	var to memory
	w := newFrameWriter(&to, Control, time.Second)
	var want []byte
	for i := range 200 {
		payload := [][]byte{bytes.Repeat([]byte{byte(i)}, i), nil, bytes.Repeat([]byte{1}, i*37%5000)}
		want = append(want, encodeFrames(Control, bytes.Join(payload, nil))...)
		if err := w.frame(frameMessage, payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(to.written.Bytes(), want) {
		t.Fatal("what was written differs from the frames, one after the other")
	}

	to = memory{}
	for range 100 {
		if err := w.frame(frameMessage, [][]byte{{1}, {2}, {3}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if to.writes != 1 {
		t.Errorf("100 small frames took %d writes", to.writes)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(encodeFrames(Control, []byte("promise"), nil))
	f.Add(appendFrameHeader(nil, framePulse, Control, nil))
	f.Fuzz(func(t *testing.T, stream []byte) {
		payloads, err := decodeFrames(stream, Control, 1<<16)
		if err == nil {
			t.Fatal("a finite stream did not end")
		}
		// What was read is what a writer would have written, so it is found again in the stream, pulses aside.
		for _, p := range payloads {
			if !bytes.Contains(stream, p) {
				t.Fatalf("%q was delivered and never sent", p)
			}
		}
		if again, err := decodeFrames(encodeFrames(Control, payloads...), Control, 1<<16); err != io.EOF || len(again) != len(payloads) {
			t.Fatalf("%d frames encoded again were read as %d and %v", len(payloads), len(again), err)
		}
	})
}
