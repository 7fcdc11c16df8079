package paxos

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func someChange() *Change {
	return &Change{Replaces: 300, Phase1: 2, Phase2: 1, Origin: 5, ID: 1 << 32, Members: []Member{
		{ID: 5, Incarnation: 105, Roles: FullMember, Address: "a:1"},
		{ID: 0x1234, Incarnation: 7, Roles: Acceptor},
		{ID: 9, Address: "b"},
	}}
}

func someConfigurations(t testing.TB) []*Configuration {
	t.Helper()
	founders, err := NewConfiguration(0, []Member{{ID: 1, Incarnation: 101, Roles: FullMember, Address: "a:1"}}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := Membership{known: []*Configuration{founders.WithWindow(8)}}
	m.pass(3, &Change{Members: append(founders.Members, Member{ID: 2, Incarnation: 102, Roles: FullMember})})
	return m.known
}

// The bytes are part of the disk format and of the protocol.
func TestAChangeHasItsGoldenForm(t *testing.T) {
	const golden = "02" + "ac02" + "02" + "01" + "05" + "8080808010" + "03" +
		"05" + "69" + "07" + "03" + "613a31" +
		"b424" + "07" + "02" + "00" +
		"09" + "00" + "00" + "01" + "62"
	v := someChange().Value()
	if got := hex.EncodeToString(v); got != golden {
		t.Errorf("the change is %s, and was %s", got, golden)
	}
	got, err := DecodeChange(v)
	if err != nil || !reflect.DeepEqual(got, someChange()) {
		t.Errorf("it is read as %+v, %v", got, err)
	}
}

func TestConfigurationsHaveTheirGoldenForm(t *testing.T) {
	const golden = "02" + "08" + "02" +
		"00" + "01" + "01" + "01" + "01" + "01" + "65" + "07" + "03" + "613a31" +
		"01" + "0b" + "02" + "02" + "02" + "01" + "65" + "07" + "03" + "613a31" + "02" + "66" + "07" + "00"
	known := someConfigurations(t)
	b := AppendConfigurations(nil, known)
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("the configurations are %s, and were %s", got, golden)
	}
	got, err := DecodeConfigurations(b)
	if err != nil || !reflect.DeepEqual(got, known) {
		t.Errorf("they are read as %+v, %v", got, err)
	}
}

func TestAnyCutOrExtraByteOfAChangeIsRefused(t *testing.T) {
	v, known := someChange().Value(), AppendConfigurations(nil, someConfigurations(t))
	for n := range v {
		if _, err := DecodeChange(v[:n]); !errors.Is(err, ErrValue) {
			t.Errorf("a change cut to %d bytes: %v", n, err)
		}
	}
	for n := range known {
		if _, err := DecodeConfigurations(known[:n]); !errors.Is(err, ErrValue) {
			t.Errorf("configurations cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeChange(append(v, 0)); !errors.Is(err, ErrValue) {
		t.Errorf("a byte more in a change: %v", err)
	}
	if _, err := DecodeConfigurations(append(known, 0)); !errors.Is(err, ErrValue) {
		t.Errorf("a byte more in configurations: %v", err)
	}
}

func TestAChangeThatMakesNoConfigurationIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Change){
		"no members":         func(c *Change) { c.Members = nil },
		"no acceptor":        func(c *Change) { c.Members = c.Members[2:] },
		"quorums that miss":  func(c *Change) { c.Phase1 = 1 },
		"the same one twice": func(c *Change) { c.Members = append(c.Members, c.Members[0]) },
		"a long address":     func(c *Change) { c.Members[0].Address = strings.Repeat("a", AddressBytesMax+1) },
		"too many": func(c *Change) {
			for i := range MembersMax {
				c.Members = append(c.Members, Member{ID: NodeID(100 + i)})
			}
		},
		"no epoch after it": func(c *Change) { c.Replaces = 1<<32 - 1 },
	} {
		c := someChange()
		spoil(c)
		if got, err := DecodeChange(c.Value()); err == nil {
			t.Errorf("%s: it is read as %+v", name, got)
		}
	}
}

func TestConfigurationsThatCannotFollowEachOtherAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(known []*Configuration) []*Configuration{
		"none":                   func(known []*Configuration) []*Configuration { return known[:0] },
		"three":                  func(known []*Configuration) []*Configuration { return append(known, known[1]) },
		"one that is no founder": func(known []*Configuration) []*Configuration { return known[1:] },
		"the other way round":    func(known []*Configuration) []*Configuration { return []*Configuration{known[1], known[0]} },
		"one that was not in force": func(known []*Configuration) []*Configuration {
			early := *known[0]
			early.First = 4 // the change was chosen in slot 3
			return []*Configuration{&early, known[1]}
		},
		"no window": func(known []*Configuration) []*Configuration { return []*Configuration{known[0].WithWindow(0)} },
	} {
		b := []byte{configurationsVersion}
		if known := spoil(someConfigurations(t)); len(known) > 0 {
			b = AppendConfigurations(nil, known)
		}
		if got, err := DecodeConfigurations(b); err == nil {
			t.Errorf("%s: they are read as %+v", name, got)
		}
	}
}

func FuzzDecodeChange(f *testing.F) {
	f.Add([]byte(someChange().Value()))
	f.Add(AppendConfigurations(nil, someConfigurations(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeChange(b); err == nil {
			again, err := DecodeChange(c.Value())
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Fatalf("%+v is written and read as %+v, %v", c, again, err)
			}
			if next := c.configuration(); next.Epoch != c.Replaces+1 {
				t.Fatalf("epoch %d replaces %d", next.Epoch, c.Replaces)
			}
		}
		if known, err := DecodeConfigurations(b); err == nil {
			again, err := DecodeConfigurations(AppendConfigurations(nil, known))
			if err != nil || !reflect.DeepEqual(again, known) {
				t.Fatalf("%+v are written and read as %+v, %v", known, again, err)
			}
		}
	})
}
