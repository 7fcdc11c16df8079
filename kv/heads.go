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

// heads holds the heads of the keys that were written last: of far more keys than newest has, in little more memory, and none of it is anything for the garbage collector to look into.
// As there, writing puts every version in, so one that is here has none above it.
//
// It is a cache of sets of eight. A key is in one of two sets, so that hardly one is full before most are; if both are, it takes the place of the one of their sixteen that was written longest ago.
// There are few sets at first, and twice as many each time that seven eighths of the places are taken, up to a maximum. Keys are told from each other by 128 bits of hashes that nobody outside can know.
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
	heads [headWays]head
	taken int // the first so many
}

type hashedKey [2]uint64 // each names one of the two sets

const (
	headSetsMin = 32
	headSetsMax = 1 << 15 // 262,144 keys, 20 MiB
)

func newHeads(min, max int) *heads {
	return &heads{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, sets: make([]headSet, min), max: max}
}

func (h *heads) hash(key []byte) hashedKey {
	return hashedKey{maphash.Bytes(h.seeds[0], key), maphash.Bytes(h.seeds[1], key)}
}

// set returns the set that one half of a hashed key names.
func (h *heads) set(half uint64) *headSet {
	n, _ := bits.Mul64(half, uint64(len(h.sets)))
	return &h.sets[n]
}

// find returns the head of a key, nil if there is none.
func (h *heads) find(key hashedKey) *head {
	for _, half := range key {
		s := h.set(half)
		for i := range s.taken {
			if s.keys[i] == key {
				return &s.heads[i]
			}
		}
	}
	return nil
}

// oldest returns the place in a full set of what was written longest ago.
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
	if found := h.find(h.hash(key)); found != nil {
		return *found, true
	}
	return head{}, false
}

// put takes the head of a version that has just been written.
func (h *heads) put(key []byte, written head) {
	hashed := h.hash(key)
	if found := h.find(hashed); found != nil {
		*found = written
		return
	}
	h.add(hashed, written)
	if h.taken > headWays*len(h.sets)*7/8 && len(h.sets) < h.max {
		h.grow()
	}
}

// add takes the head of a key that is in neither of its sets.
func (h *heads) add(key hashedKey, written head) {
	s, other := h.set(key[0]), h.set(key[1])
	if other.taken < s.taken {
		s, other = other, s
	}
	i := s.taken
	if i < headWays {
		s.taken++
		h.taken++
	} else {
		i = s.oldest()
		if j := other.oldest(); other.heads[j].at.less(s.heads[i].at) {
			s, i = other, j
		}
	}
	s.keys[i], s.heads[i] = key, written
}

func (h *heads) grow() {
	old := h.sets
	h.sets, h.taken = make([]headSet, 2*len(old)), 0
	for i := range old {
		for j := range old[i].taken {
			h.add(old[i].keys[j], old[i].heads[j])
		}
	}
}
