package modelcheck

import "math/bits"

// visited is a set of states, by 64 bits of hash each: two states that hash alike are taken for one. Of n states that happens to any two with a probability of about n²/2⁶⁵: for 10⁷ states 3 in a million.
type visited struct {
	slots []uint64 // a power of two; 0 is free
	count int
}

func newVisited() visited { return visited{slots: make([]uint64, 1<<16)} }

// add reports whether the hash is new.
func (v *visited) add(h uint64) bool {
	if h == 0 {
		h = 1
	}
	if v.count*4 >= len(v.slots)*3 {
		v.grow()
	}
	i := v.find(h)
	if v.slots[i] == h {
		return false
	}
	v.slots[i] = h
	v.count++
	return true
}

// find returns where the hash is or belongs.
func (v *visited) find(h uint64) uint64 {
	mask := uint64(len(v.slots) - 1)
	i := h & mask
	for v.slots[i] != 0 && v.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

func (v *visited) grow() {
	old := v.slots
	v.slots = make([]uint64, 2*len(old))
	for _, h := range old {
		if h != 0 {
			v.slots[v.find(h)] = h
		}
	}
}

// hash mixes words into 64 bits. Zero words at the end do not count, so a set of bits may grow.
func hash(words []uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for i, w := range words {
		if w == 0 {
			continue
		}
		hi, lo := bits.Mul64(w^0xa0761d6478bd642f, uint64(i+1)*0xe7037ed1a0b428db^h)
		h ^= hi ^ lo
		h *= 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	return h
}
