package kv

import (
	"slices"
	"sync"
)

// newestBytes bounds what the newest versions that a database keeps at hand count for, keys, values and overhead together.
const newestBytes = 8 << 20

// newest holds the newest versions of the keys that were written last, so that to write or read such a key again needs no search in the database. Writing puts
// every version in, so one that is here has none above it. It forgets whole generations: half of what it may hold is younger than the
// rest, and when that half is full the older one goes. It is safe for concurrent use.
type newest struct {
	max int // bytes

	mu         sync.Mutex
	young, old map[string]version
	bytes      int // of the young
}

func newNewest(max int) *newest { return &newest{max: max, young: map[string]version{}} }

// newestOverhead is about what an entry takes beside key and value, in bytes.
const newestOverhead = 160

// put takes a version that has just been written. It keeps copies.
func (n *newest) put(v *version) {
	kept := *v
	kept.key, kept.value = nil, slices.Clone(v.value)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(string(v.key), kept)
}

// get returns the newest version of key, if it is at hand and its main revision is not above main: if it is, the one that is wanted lies below. Nobody changes the version's value.
func (n *newest) get(key []byte, main int64) (version, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.young[string(key)]
	if !ok {
		if v, ok = n.old[string(key)]; ok {
			n.add(string(key), v)
		}
	}
	if !ok || v.at.main > main {
		return version{}, false
	}
	v.key = key
	return v, true
}

func (n *newest) add(key string, v version) {
	if before, ok := n.young[key]; ok {
		n.bytes -= newestOverhead + len(key) + len(before.value)
	}
	n.bytes += newestOverhead + len(key) + len(v.value)
	if n.bytes > n.max/2 {
		n.old, n.young, n.bytes = n.young, map[string]version{}, newestOverhead+len(key)+len(v.value)
	}
	n.young[key] = v
}
