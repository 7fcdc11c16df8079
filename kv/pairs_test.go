package kv

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestPairsOfOneAnswerDoNotShareBytes makes pairs of any sizes, lets go of what they were made of, writes over each, beyond its end as well, and finds all others as they were.
func TestPairsOfOneAnswerDoNotShareBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(60<<10, 70<<10)), 1, 40).Draw(t, "sizes")
		var made pairs
		var keys, values [][]byte
		for i, size := range sizes {
			v := version{key: bytes.Repeat([]byte{'k'}, 1+i%7), value: bytes.Repeat([]byte{byte(i)}, size), at: revision{main: int64(i + 10)}, created: int64(i + 1), count: int64(i + 2), lease: int64(i + 3)}
			kv := made.of(&v)
			clear(v.key)
			clear(v.value)
			if kv.ModRevision != int64(i+10) || kv.CreateRevision != int64(i+1) || kv.Version != int64(i+2) || kv.Lease != int64(i+3) || size == 0 && kv.Value != nil {
				t.Fatalf("pair %d: %v", i, kv)
			}
			keys, values = append(keys, kv.Key), append(values, kv.Value)
		}
		for i, size := range sizes {
			if !bytes.Equal(keys[i], bytes.Repeat([]byte{'k'}, 1+i%7)) || !bytes.Equal(values[i], bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("pair %d is %q, %x", i, keys[i], values[i])
			}
			clear(append(keys[i], 0)[:len(keys[i])+1])
			clear(append(values[i], 0)[:len(values[i])+1])
		}
	})
}
