package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"synod.dev/synod/paxos"
)

// write makes the chunks of a snapshot.
func write(t interface{ Fatal(...any) }, h Header, content map[byte][]byte) (chunks [][]byte) {
	w, err := NewWriter(h, func(chunk []byte) error {
		chunks = append(chunks, bytes.Clone(chunk))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range h.Sections {
		if err := w.Section(id); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[id]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// from gives chunks, and io.ErrUnexpectedEOF beyond the last.
func from(chunks [][]byte) Source {
	return func(index uint32) ([]byte, error) {
		if int(index) >= len(chunks) {
			return nil, io.ErrUnexpectedEOF
		}
		return bytes.Clone(chunks[index]), nil
	}
}

// read reads a whole snapshot.
func read(source Source, tries int) (h Header, content map[byte][]byte, err error) {
	r, err := NewReader(source, tries)
	if err != nil {
		return h, nil, err
	}
	content = map[byte][]byte{}
	for {
		id, err := r.Next()
		if err == io.EOF {
			return r.Header(), content, nil
		}
		if err != nil {
			return h, nil, err
		}
		if content[id], err = io.ReadAll(r); err != nil {
			return h, nil, err
		}
	}
}

func sample() (Header, map[byte][]byte) {
	h := Header{Cluster: 0x1122334455667788, Slot: 4711, Bytes: 12, Sections: []byte{0, 1, 7}, Configuration: []byte("members")}
	return h, map[byte][]byte{0: []byte("green"), 1: {}, 7: []byte("quorum!")}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := map[byte][]byte{}
		for _, id := range rapid.SliceOfNDistinct(rapid.Byte(), 1, 5, rapid.ID).Draw(t, "sections") {
			size := rapid.SampledFrom([]int{0, 1, 1000, PayloadBytesMax - 1, PayloadBytesMax, PayloadBytesMax + 1, 2*PayloadBytesMax + 5}).Draw(t, "size")
			content[id] = bytes.Repeat([]byte{id, 1, 2}, size/3+1)[:size]
		}
		h := Header{Cluster: rapid.Uint64().Draw(t, "cluster"), Slot: paxos.Slot(rapid.Uint64().Draw(t, "slot")), Bytes: rapid.Uint64().Draw(t, "bytes"),
			Sections: slices.Sorted(maps.Keys(content)), Configuration: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "configuration")}
		chunks := write(t, h, content)
		for i, c := range chunks {
			if len(c) > ChunkBytesMax {
				t.Fatalf("chunk %d has %d bytes", i, len(c))
			}
		}
		gotHeader, got, err := read(FileSource(bytes.NewReader(slices.Concat(chunks...))), 1)
		if err != nil {
			t.Fatal(err)
		}
		if gotHeader.Cluster != h.Cluster || gotHeader.Slot != h.Slot || gotHeader.Bytes != h.Bytes || !bytes.Equal(gotHeader.Configuration, h.Configuration) {
			t.Fatalf("read %+v, wrote %+v", gotHeader, h)
		}
		if !maps.EqualFunc(got, content, bytes.Equal) {
			t.Fatal("the sections differ")
		}
	})
}

func TestSectionsMayBePassedOver(t *testing.T) {
	h, content := sample()
	r, err := NewReader(from(write(t, h, content)), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range h.Sections {
		if id, err := r.Next(); id != want || err != nil {
			t.Fatalf("section %d, %v; want %d", id, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// The bytes are what other members and later versions will read.
func TestTheFormatIsWhatItWas(t *testing.T) {
	h, content := sample()
	const want = "2f000000000000000100000053736e700100000088776655443322116712000000000000" +
		"0c00000000000000030001070700" + "00006d656d62657273"
	chunks := write(t, h, content)
	if got := hex.EncodeToString(chunks[0][:len(chunks[0])-hashBytes]); got != want {
		t.Errorf("the header is\n%s, want\n%s", got, want)
	}
	if len(chunks) != 4 {
		t.Fatalf("%d chunks: the header, two pieces and the end make 4", len(chunks))
	}
	if got := hex.EncodeToString(chunks[1][:headBytes+5]); got != "050000000100000002000000677265656e" {
		t.Errorf("the first piece is %s", got)
	}
	if got := hex.EncodeToString(chunks[3][:headBytes]); got != "000000000300000003000000" {
		t.Errorf("the end is %s", got)
	}
	sum := sha256.Sum256(append(make([]byte, 32), chunks[0][:len(chunks[0])-hashBytes]...))
	if !bytes.Equal(chunks[0][len(chunks[0])-hashBytes:], sum[:]) {
		t.Error("the header's hash is not that of 32 zeros and the header")
	}
	sum = sha256.Sum256(append(sum[:], chunks[1][:headBytes+5]...))
	if !bytes.Equal(chunks[1][headBytes+5:], sum[:]) {
		t.Error("the first piece's hash is not that of the hash before and the piece")
	}
}

func TestNoByteCanChangeUnnoticed(t *testing.T) {
	h, content := sample()
	whole := slices.Concat(write(t, h, content)...)
	for i := range whole {
		bent := bytes.Clone(whole)
		bent[i] ^= 0x10
		if _, _, err := read(FileSource(bytes.NewReader(bent)), 1); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d of %d: %v", i, len(whole), err)
		}
	}
}

func TestAStreamWithoutItsEndIsNoSnapshot(t *testing.T) {
	h, content := sample()
	whole := slices.Concat(write(t, h, content)...)
	for n := range whole {
		if _, _, err := read(FileSource(bytes.NewReader(whole[:n])), 1); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestChunksOfAnotherStreamOrPlaceAreRefused(t *testing.T) {
	h, content := sample()
	chunks := write(t, h, content)
	other := h
	other.Slot++
	strange := write(t, other, content)
	for name, stream := range map[string][][]byte{
		"another header":        {strange[0], chunks[1], chunks[2], chunks[3]},
		"a piece of another":    {chunks[0], strange[1], chunks[2], chunks[3]},
		"the end of another":    {chunks[0], chunks[1], chunks[2], strange[3]},
		"a piece missing":       {chunks[0], chunks[2], chunks[3]},
		"pieces exchanged":      {chunks[0], chunks[2], chunks[1], chunks[3]},
		"a piece twice":         {chunks[0], chunks[1], chunks[1], chunks[2], chunks[3]},
		"no header":             {chunks[1], chunks[2], chunks[3]},
		"a chunk that is empty": {chunks[0], {}},
	} {
		if _, _, err := read(from(stream), 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Hashes that are right do not make an order right that nobody writes.
func TestAWellHashedStreamMustAlsoMakeSense(t *testing.T) {
	h, _ := sample()
	head := chunk{kind: kindHeader, payload: h.append(nil)}
	piece := func(section byte, payload string) chunk {
		return chunk{kind: kindPiece, section: section, payload: []byte(payload)}
	}
	end := chunk{kind: kindEnd}
	for name, stream := range map[string][]chunk{
		"begins with a piece":      {piece(0, "x"), end},
		"two headers":              {head, head, end},
		"a section nobody named":   {head, piece(3, "x"), end},
		"sections that go back":    {head, piece(7, "x"), piece(0, "x"), end},
		"a piece that is empty":    {head, piece(0, ""), end},
		"an end that is not empty": {head, {kind: kindEnd, payload: []byte("x")}},
		"a kind nobody knows":      {head, {kind: 9, payload: []byte("x")}, end},
		"a header that is garbage": {{kind: kindHeader, payload: []byte("Ssnp")}, end},
		"a header that is cut":     {{kind: kindHeader, payload: head.payload[:len(head.payload)-1]}, end},
	} {
		var chunks [][]byte
		var sum [hashBytes]byte
		for i, c := range stream {
			c.index = uint32(i)
			var b []byte
			b, sum = c.seal(append(make([]byte, headBytes), c.payload...), sum)
			chunks = append(chunks, b)
		}
		if _, _, err := read(from(chunks), 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestANewerFormatIsNamedAsSuch(t *testing.T) {
	h, _ := sample()
	payload := h.append(nil)
	payload[4] = 2
	if _, err := decodeHeader(payload); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "run a newer one") {
		t.Errorf("format 2: %v", err)
	}
}

func TestADamagedChunkIsAskedForAgain(t *testing.T) {
	h, content := sample()
	chunks := write(t, h, content)
	asked := map[uint32]int{}
	flaky := func(index uint32) ([]byte, error) {
		asked[index]++
		b := bytes.Clone(chunks[index])
		if asked[index] < 3 {
			b[len(b)/2] ^= 1
		}
		return b, nil
	}
	if _, got, err := read(flaky, 3); err != nil || !maps.EqualFunc(got, content, bytes.Equal) {
		t.Errorf("sound at the third try: %v", err)
	}
	clear(asked)
	if _, _, err := read(flaky, 2); !errors.Is(err, ErrDamaged) || asked[0] != 2 {
		t.Errorf("after %d tries: %v", asked[0], err)
	}
}

func TestTheSourcesErrorIsTheReaders(t *testing.T) {
	h, content := sample()
	chunks := write(t, h, content)
	for n := range chunks {
		if _, _, err := read(from(chunks[:n]), 3); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the source fails at chunk %d: %v", n, err)
		}
	}
}

func TestTheWriterRefusesWhatWouldNotBeRead(t *testing.T) {
	ok := func([]byte) error { return nil }
	for name, h := range map[string]Header{
		"no section":            {},
		"sections out of order": {Sections: []byte{2, 1}},
		"a section twice":       {Sections: []byte{1, 1}},
		"a long configuration":  {Sections: []byte{1}, Configuration: make([]byte, ConfigurationBytesMax+1)},
	} {
		if _, err := NewWriter(h, ok); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	w, err := NewWriter(Header{Sections: []byte{1, 2}}, ok)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write outside of a section is accepted")
	}
	if err := w.Section(2); err == nil {
		t.Error("a section out of turn is accepted")
	}
	if err := w.Section(1); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("an end before the last section is accepted")
	}
}

func TestAFullDiskEndsTheWriter(t *testing.T) {
	full := errors.New("no space left")
	n := 0
	w, err := NewWriter(Header{Sections: []byte{1}}, func([]byte) error {
		if n++; n > 2 {
			return full
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Section(1); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write(make([]byte, 5*PayloadBytesMax)); !errors.Is(err, full) || n != 2*PayloadBytesMax {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("the close after it: %v", err)
	}
}

// Whatever bytes come, raw or hashed as they should be, the reader ends with a snapshot or with an error of its own kinds. script is kind, section, length and payload of each chunk.
func FuzzReader(f *testing.F) {
	h, content := sample()
	f.Add(slices.Concat(write(f, h, content)...), []byte{})
	header := h.append(nil)
	script := append([]byte{1, 0, byte(len(header))}, header...)
	f.Add([]byte{}, append(script, 2, 0, 1, 'x', 2, 7, 2, 'y', 'z', 3, 0, 0))
	f.Fuzz(func(t *testing.T, raw, script []byte) {
		for _, stream := range [][]byte{raw, perform(script)} {
			_, _, err := read(FileSource(bytes.NewReader(stream)), 1)
			if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("an error of another kind: %v", err)
			}
		}
	})
}

// perform makes a stream of chunks that are hashed as they should be.
func perform(script []byte) (stream []byte) {
	var sum [hashBytes]byte
	for index := uint32(0); len(script) >= 3; index++ {
		c := chunk{index: index, kind: kind(script[0]), section: script[1]}
		n := min(int(script[2]), len(script)-3)
		var b []byte
		b, sum = c.seal(append(make([]byte, headBytes), script[3:3+n]...), sum)
		stream, script = append(stream, b...), script[3+n:]
	}
	return stream
}
