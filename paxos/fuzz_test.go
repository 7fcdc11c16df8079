package paxos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"
)

// Whatever a peer sends and whatever a disk holds is read without a panic, and costs no more than it is long. The seeds are under testdata/fuzz.

func FuzzDecodeMessage(f *testing.F) {
	f.Fuzz(func(t *testing.T, wire []byte) {
		m, err := DecodeMessage(wire)
		if err != nil {
			if m != nil {
				t.Fatalf("a message and an error: %v", err)
			}
			return
		}
		if n := len(m.Records) + len(m.Reports) + len(m.Proposals) + len(m.Rejected); n > len(wire) {
			t.Fatalf("%d bytes hold %d elements", len(wire), n)
		}
		again, err := DecodeMessage(encode(m))
		if err != nil {
			t.Fatalf("%+v does not survive its encoding: %v", m, err)
		}
		if !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v\ncomes back as\n%+v", m, again)
		}
		if m.Stream() > Background || m.Kind.String() == "" {
			t.Fatalf("stream %d, kind %q", m.Stream(), m.Kind)
		}
	})
}

// FuzzDecodeRecord reads the bytes as they are, and once more with checksums that fit: sound nonsense is the harder case.
func FuzzDecodeRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		checkDecodeRecord(t, b)
		if len(b) < RecordHeaderSize {
			return
		}
		sound := slices.Clone(b)
		le := binary.LittleEndian
		if end := RecordHeaderSize + int(le.Uint32(b[8:])); end <= len(b) {
			le.PutUint32(sound[4:], crc32.Checksum(b[RecordHeaderSize:end], castagnoli))
		}
		le.PutUint32(sound, crc32.Checksum(sound[4:RecordHeaderSize], castagnoli))
		checkDecodeRecord(t, sound)
	})
}

func checkDecodeRecord(t *testing.T, b []byte) {
	t.Helper()
	rec, n, err := DecodeRecord(b)
	switch {
	case errors.Is(err, ErrShort), errors.Is(err, ErrHeader):
		if rec != nil || n != 0 {
			t.Fatalf("%v, and yet %+v of %d bytes", err, rec, n)
		}
		return
	case n < RecordHeaderSize || n > len(b):
		t.Fatalf("%d bytes of %d are read", n, len(b))
	case errors.Is(err, ErrPayload):
		if rec.Value != nil {
			t.Fatalf("a corrupt payload is handed out: %x", rec.Value)
		}
		return
	case err != nil:
		t.Fatalf("an error without a name: %v", err)
	}
	fresh := *rec
	fresh.bytes = nil
	if !bytes.Equal(fresh.Seal(), b[:n]) {
		t.Fatalf("%+v has two encodings:\n%x\n%x", rec, fresh.Seal(), b[:n])
	}
}

func FuzzValueCommands(f *testing.F) {
	f.Fuzz(func(t *testing.T, v []byte) {
		commands, err := commandsOf(v)
		size := 0
		for _, c := range commands {
			size += 1 + len(c)
		}
		if size > len(v) {
			t.Fatalf("%d bytes hold commands of %d", len(v), size)
		}
		if err != nil || len(commands) == 0 {
			return
		}
		var batch Value
		for _, c := range commands {
			batch = AppendCommand(batch, c)
		}
		again, err := commandsOf(batch)
		if err != nil || !reflect.DeepEqual(again, commands) {
			t.Fatalf("%x come back as %x: %v", commands, again, err)
		}
	})
}
