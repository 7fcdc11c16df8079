package synod

import (
	"bytes"
	"testing"

	"synod.dev/synod/session"
)

// FuzzDecodeEnvelope feeds the decoder of envelopes: what it accepts encodes to an envelope that decodes to the same.
func FuzzDecodeEnvelope(f *testing.F) {
	whole := Envelope{Origin: 0xa, Number: 7 << 32, Time: 1_700_000_000_000_000_000, Source: 3, Data: []byte("command")}
	f.Add(whole.encode())
	f.Add((&Envelope{Time: -1}).encode())
	f.Add((&Envelope{Session: &session.Header{Kind: session.Execute, Session: 9, Sequence: 4, Acknowledged: 3}, Data: []byte("once")}).encode())
	f.Add(whole.encode()[:4])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := DecodeEnvelope(e.encode())
		if err != nil || again.Origin != e.Origin || again.Number != e.Number || again.Time != e.Time || again.Source != e.Source || (again.Session == nil) != (e.Session == nil) || e.Session != nil && *again.Session != *e.Session || !bytes.Equal(again.Data, e.Data) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
