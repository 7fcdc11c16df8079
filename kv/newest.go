package kv

import (
	"hash/maphash"
	"slices"
	"sync"
)

// newest holds the newest versions of keys that were asked for lately, so that to read such a key again needs no search in the database. Whoever has searched for a version puts it in, and writing
// puts the next one in its place, so one that is here has none above it. It forgets whole generations: half of what it may hold is younger than the
// rest, and when that half is full the older one goes. It is safe for concurrent use.
type newest struct {
	seed   maphash.Seed
	shards [newestShards]newestShard
}

// newestBytes bounds what the newest versions that a database keeps at hand count for, keys, values and overhead together.
const newestBytes = 8 << 20

const (
	newestShards   = 16
	newestMarks    = 256 // of each shard
	newestOverhead = 160 // what an entry takes beside key and value, about, in bytes
)

// newestShard has the keys with some of the hashes.
type newestShard struct {
	max int // bytes

	mu         sync.Mutex
	young, old map[string]version
	bytes      int                // of the young
	written    [newestMarks]int64 // the main revision of the last write to any of the keys that share the mark
}

func newNewest(max int) *newest {
	n := &newest{seed: maphash.MakeSeed()}
	for i := range n.shards {
		n.shards[i].max, n.shards[i].young = max/newestShards, map[string]version{}
	}
	return n
}

// lock returns the shard of a key, locked, and the place of the key's mark.
func (n *newest) lock(key []byte) (*newestShard, int) {
	h := maphash.Bytes(n.seed, key)
	s := &n.shards[h%newestShards]
	s.mu.Lock()
	return s, int(h / newestShards % newestMarks)
}

// wrote is told of each version that is written. Of a key that is at hand it takes the place of the one before; of others a copy is kept if it is wanted.
func (n *newest) wrote(v *version, wanted bool) {
	s, mark := n.lock(v.key)
	defer s.mu.Unlock()
	s.written[mark] = v.at.main
	delete(s.old, string(v.key))
	if s.drop(v.key) || wanted {
		s.add(v)
	}
}

// found takes a copy of the version of a key that was the newest one at a main revision, unless the key may have been written since. That revision is one at which the database
// has been since it was opened.
func (n *newest) found(v *version, main int64) {
	s, mark := n.lock(v.key)
	defer s.mu.Unlock()
	if s.written[mark] <= main {
		s.drop(v.key) // somebody else may have found it, too
		s.add(v)
	}
}

// get returns the newest version of key, if it is at hand and its main revision is not above main: if it is, the one that is wanted lies below. Nobody changes the version's value.
func (n *newest) get(key []byte, main int64) (version, bool) {
	s, _ := n.lock(key)
	defer s.mu.Unlock()
	v, ok := s.young[string(key)]
	if !ok {
		if v, ok = s.old[string(key)]; ok {
			delete(s.old, string(key))
			s.keep(string(key), v)
		}
	}
	if !ok || v.at.main > main {
		return version{}, false
	}
	v.key = key
	return v, true
}

// drop forgets a key of the young generation, and reports whether it was there.
func (s *newestShard) drop(key []byte) bool {
	v, ok := s.young[string(key)]
	if ok {
		s.bytes -= sizeAtHand(len(key), len(v.value))
		delete(s.young, string(key))
	}
	return ok
}

// add keeps a copy of a version of a key that the young generation does not have, if it is not too large.
func (s *newestShard) add(v *version) {
	if sizeAtHand(len(v.key), len(v.value)) > s.max/2 {
		return
	}
	kept := *v
	kept.key, kept.value = nil, slices.Clone(v.value)
	s.keep(string(v.key), kept)
}

func (s *newestShard) keep(key string, v version) {
	size := sizeAtHand(len(key), len(v.value))
	if s.bytes += size; s.bytes > s.max/2 {
		s.old, s.young, s.bytes = s.young, map[string]version{}, size
	}
	s.young[key] = v
}

// sizeAtHand is what an entry counts for, in bytes.
func sizeAtHand(key, value int) int { return newestOverhead + key + value }
