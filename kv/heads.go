package kv

import (
	"hash/maphash"
	"math/bits"
)

// head is a version without its key and value: what the next version of the key needs to take its place. That of no version is zero.
type head struct {
	at      revision
	created int64
	count   int64
	lease   int64
	cost    int64
	hash    uint64 // of its row
	live    bool
}

// headOf returns the head of a version, whose row it leaves in w.row and w.value.
func (w *writer) headOf(v *version) head {
	if v.at == (revision{}) {
		return head{}
	}
	w.row = appendRevision(appendPrefix(w.row[:0], v.key), v.at)
	w.value = appendVersion(w.value[:0], v)
	return head{at: v.at, created: v.created, count: v.count, lease: v.lease, cost: v.cost(), hash: hashRow(w.row, w.value), live: v.live}
}

// version returns as much of the version of key as the head has.
func (h *head) version(key []byte) version {
	return version{key: key, at: h.at, live: h.live, created: h.created, count: h.count, lease: h.lease}
}

// heads holds the heads of the keys that were written last: of five times as many keys as newest has with values of 256 bytes, in as much memory, and none of it is anything for the garbage collector to look into.
// As there, writing puts every version in, so one that is here has none above it.
//
// It is a cache of sets of eight. A new key takes the place of the one in its set that was written longest ago. There are few sets at first, and twice as many each time that half of the places are taken, up to a
// maximum. Keys are told from each other by 128 bits of hashes that nobody outside can know.
//
// It belongs to the writer: used with the store's lock held.
type heads struct {
	seeds [2]maphash.Seed
	sets  []headSet
	max   int // sets
	taken int // places
}

const headWays = 8

// headSet has what it is searched by side by side.
type headSet struct {
	keys  [headWays]hashedKey
	heads [headWays]head // zero where there is none
}

type hashedKey [2]uint64

const (
	headSetsMin = 32
	headSetsMax = 1 << 14 // 131,072 keys, 10 MiB
)

func newHeads(min, max int) *heads {
	return &heads{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, sets: make([]headSet, min), max: max}
}

func (h *heads) hash(key []byte) hashedKey {
	return hashedKey{maphash.Bytes(h.seeds[0], key), maphash.Bytes(h.seeds[1], key)}
}

func (h *heads) set(key hashedKey) *headSet {
	n, _ := bits.Mul64(key[0], uint64(len(h.sets)))
	return &h.sets[n]
}

// find returns the place of a key's head, or -1.
func (s *headSet) find(key hashedKey) int {
	for i := range s.keys {
		if s.keys[i] == key && s.heads[i].at != (revision{}) {
			return i
		}
	}
	return -1
}

// oldest returns the first place that is free, or that of what was written longest ago.
func (s *headSet) oldest() int {
	oldest := 0
	for i := range s.heads {
		if s.heads[i].at.less(s.heads[oldest].at) {
			oldest = i
		}
	}
	return oldest
}

// get returns the head of the newest version of key, if it is at hand.
func (h *heads) get(key []byte) (head, bool) {
	hashed := h.hash(key)
	s := h.set(hashed)
	if i := s.find(hashed); i >= 0 {
		return s.heads[i], true
	}
	return head{}, false
}

// put takes the head of a version that has just been written.
func (h *heads) put(key []byte, written head) {
	h.add(h.hash(key), written)
	if h.taken > headWays*len(h.sets)/2 && len(h.sets) < h.max {
		h.grow()
	}
}

func (h *heads) add(key hashedKey, written head) {
	s := h.set(key)
	i := s.find(key)
	if i < 0 {
		i = s.oldest()
	}
	if s.heads[i].at == (revision{}) {
		h.taken++
	}
	s.keys[i], s.heads[i] = key, written
}

func (h *heads) grow() {
	old := h.sets
	h.sets, h.taken = make([]headSet, 2*len(old)), 0
	for i := range old {
		for j, kept := range old[i].heads {
			if kept.at != (revision{}) {
				h.add(old[i].keys[j], kept)
			}
		}
	}
}
