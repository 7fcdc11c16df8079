package paxos

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func commandsOf(v Value) (commands [][]byte, err error) {
	err = v.Commands(func(c []byte) { commands = append(commands, c) })
	return commands, err
}

func TestABatchSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 200), 1, 20).Draw(t, "commands")
		var batch Value
		for _, c := range want {
			batch = AppendCommand(batch, c)
		}
		got, err := commandsOf(batch)
		if err != nil || len(got) != len(want) || batch.IsNoop() {
			t.Fatalf("%d commands come back as %d: %v", len(want), len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("command %d is %x, was %x", i, got[i], want[i])
			}
		}
	})
}

// A batch cut anywhere is either refused or has the commands before the cut: never a made-up one.
func TestABatchCutShortHasNoMadeUpCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var batch Value
		for _, c := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 200), 1, 5).Draw(t, "commands") {
			batch = AppendCommand(batch, c)
		}
		whole, _ := commandsOf(batch)
		for n := 1; n < len(batch); n++ {
			got, _ := commandsOf(batch[:n])
			if len(got) > len(whole) {
				t.Fatalf("%d bytes of %d have %d commands, the whole has %d", n, len(batch), len(got), len(whole))
			}
			for i := range got {
				if !bytes.Equal(got[i], whole[i]) {
					t.Fatalf("%d bytes of %d: command %d is %x, was %x", n, len(batch), i, got[i], whole[i])
				}
			}
		}
	})
}

func TestANoopHasNoCommands(t *testing.T) {
	for _, v := range []Value{nil, {}} {
		if got, err := commandsOf(v); err != nil || len(got) != 0 || !v.IsNoop() {
			t.Errorf("the no-op has commands %x: %v", got, err)
		}
	}
}

func TestAValueThatNobodyCanHaveWrittenIsRefused(t *testing.T) {
	for name, v := range map[string]Value{
		"another kind":                     {ValueReconfigure + 1},
		"kind zero":                        {0, 1, 'x'},
		"a length without its command":     {ValueBatch, 1},
		"a length beyond the end":          {ValueBatch, 3, 'a', 'b'},
		"half a length":                    {ValueBatch, 0x80},
		"a length beyond 64 bits":          {ValueBatch, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a good command and half a second": {ValueBatch, 1, 'a', 2, 'b'},
	} {
		if _, err := commandsOf(v); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
