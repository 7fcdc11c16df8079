package transport

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestFramesOfOneClassArriveInOrder(t *testing.T) {
	a, b := pair(t)
	const frames = 5000
	for class := range Class(classes) {
		for i := range uint64(frames) {
			a.mustSend(t, 2, class, binary.LittleEndian.AppendUint64(nil, i), make([]byte, i%3000))
		}
	}
	var next [classes]uint64
	for range classes * frames {
		f := await(t, b.frames, "frame")
		if want := (Identity{testCluster, 1, 101}); f.from != want {
			t.Fatalf("frame from %v, want %v", f.from, want)
		}
		if got := binary.LittleEndian.Uint64(f.payload); got != next[f.class] || uint64(len(f.payload)) != 8+got%3000 {
			t.Fatalf("%v frame %d of %d bytes, want %d", f.class, got, len(f.payload), next[f.class])
		}
		next[f.class]++
	}
}

func TestLargeFrameInPartsArrivesWhole(t *testing.T) {
	a, b := pair(t)
	var whole []byte
	var parts [][]byte
	for i := range 9 {
		part := bytes.Repeat([]byte{byte(i), byte(i + 1), 7}, i*i*i*i*i*10+i)
		parts = append(parts, part)
		whole = append(whole, part...)
	}
	a.mustSend(t, 2, Background, parts...)
	a.mustSend(t, 2, Background)
	if f := await(t, b.frames, "large frame"); !bytes.Equal(f.payload, whole) {
		t.Fatalf("%d bytes arrived, not the %d sent", len(f.payload), len(whole))
	}
	if f := await(t, b.frames, "empty frame"); len(f.payload) != 0 {
		t.Fatalf("an empty frame arrived as %q", f.payload)
	}
}
