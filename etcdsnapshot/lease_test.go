package etcdsnapshot

import (
	"testing"

	"synod.dev/synod/kv"
)

func TestLeaseIsReadAsEtcdWritesIt(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  kv.ExportedLease
	}{
		"one that etcd has noted the rest of": {"\x08\x07\x10\x3c\x18\x05", kv.ExportedLease{ID: 7, TTL: 60}},
		"one with a negative id":              {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x3c", kv.ExportedLease{ID: -1, TTL: 60}},
	} {
		if got, err := parseLease([]byte(c.value)); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzLease(f *testing.F) {
	f.Add([]byte("\x08\x07\x10\x3c\x18\x05"))
	f.Add([]byte("\x08"))
	f.Fuzz(func(t *testing.T, value []byte) {
		l, err := parseLease(value)
		if err != nil {
			return
		}
		if again, err := parseLease(leaseValue(l)); err != nil || again != l {
			t.Fatalf("%x is read as %v and then as %v, %v", value, l, again, err)
		}
	})
}
