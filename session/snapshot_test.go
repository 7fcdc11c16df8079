package session

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/iotest"
	"time"
)

// full returns a table with something of everything.
func full() *Table {
	table, executed := NewTable(), 0
	table.Advance(1_700_000_000_000_000_000)
	table.Close(table.Open(time.Minute))
	a, b := table.Open(time.Minute), table.Open(time.Hour)
	table.Open(time.Second)
	for sequence := range uint64(5) {
		execute(table, a, sequence+1, 2, &executed)
	}
	table.Begin(&Header{Kind: Execute, Session: b, Sequence: 3}) // executed, and its result not known
	return table
}

func TestATableComesBackAsItWas(t *testing.T) {
	for name, table := range map[string]*Table{"empty": NewTable(), "full": full()} {
		b := table.Append(nil)
		again, err := Read(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(again.Append(nil), b) || again.bytes != table.bytes || again.holders.Len() != table.holders.Len() {
			t.Errorf("%s: it has become another", name)
		}
	}
}

// What was executed must stay so in whoever restores the table.
func TestARestoredTableExecutesNothingAgain(t *testing.T) {
	table, executed := full(), 0
	again, err := Read(bytes.NewReader(table.Append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{1, 2, 3, 4, 5} {
		execute(again, 2, sequence, 0, &executed)
	}
	if _, err := execute(again, 3, 3, 0, &executed); !errors.Is(err, ErrForgotten) || executed != 0 {
		t.Errorf("%v, after %d executions", err, executed)
	}
	if next := again.Open(time.Minute); next != 5 {
		t.Errorf("the next session is %d: it was given out before", next)
	}
}

func TestAMalformedTableIsRefused(t *testing.T) {
	whole := full().Append(nil)
	for cut := range whole {
		if _, err := Read(bytes.NewReader(whole[:cut])); !errors.Is(err, ErrTable) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	newer := append([]byte{tableVersion + 1}, whole[1:]...)
	for name, b := range map[string][]byte{
		"newer":                    newer,
		"longer":                   append(bytes.Clone(whole), 0),
		"too many sessions":        appendUvarints([]byte{tableVersion}, 0, 0, SessionsMax+1, SessionsMax+1),
		"a session twice":          appendUvarints([]byte{tableVersion}, 0, 0, 1, 2, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0),
		"a session never given":    appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 2, 0, 0, 0, 0),
		"used in the future":       appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 1, 0, 1, 0, 0),
		"entries that descend":     appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 1, 0, 0, 0, 2, 2, 0, 1, 0),
		"an acknowledged entry":    appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 1, 0, 0, 5, 1, 5, 0),
		"nothing can follow":       appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 1, 0, 0, math.MaxUint64, 1, 1, 0),
		"a result beyond all size": appendUvarints([]byte{tableVersion}, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, ResultBytesMax+2),
	} {
		if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("no such luck")
	if _, err := Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// FuzzRead feeds the reader of tables: what it accepts has a form that reads as the same table.
func FuzzRead(f *testing.F) {
	f.Add(NewTable().Append(nil))
	f.Add(full().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		form := table.Append(nil)
		again, err := Read(bytes.NewReader(form))
		if err != nil || !bytes.Equal(again.Append(nil), form) {
			t.Fatalf("%x became %x, %v", b, form, err)
		}
	})
}

// FuzzDecode feeds the decoder of headers: what it accepts encodes to a header that decodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add((&Header{Kind: Open, TTL: time.Minute}).Append(nil))
	f.Add((&Header{Kind: Execute, Session: 1, Sequence: 2, Acknowledged: 1}).Append(nil))
	f.Add((&Header{Kind: Close, Session: 1}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := Decode(b)
		if err != nil {
			return
		}
		again, restAgain, err := Decode(append(h.Append(nil), rest...))
		if err != nil || again != h || !bytes.Equal(restAgain, rest) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
