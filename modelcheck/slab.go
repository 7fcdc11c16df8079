package modelcheck

// slab holds many states in one piece of memory without pointers, each as a few words: the numbers of the nodes' states, two in a word, and the set of items as far as it goes.
type slab struct {
	members int
	stride  int // words of a state
	count   int
	data    []uint64
}

// words appends the words of a state in a world with so many items.
func (b *slab) words(w []uint64, s *state, items int) []uint64 {
	for i := 0; i < b.members; i += 2 {
		pair := uint64(s.locals[i])
		if i+1 < b.members {
			pair |= uint64(s.locals[i+1]) << 32
		}
		w = append(w, pair)
	}
	return append(w, s.items[:(items+63)/64]...)
}

func (b *slab) add(words []uint64) {
	if len(words) > b.stride {
		b.widen(len(words))
	}
	b.data = append(b.data, words...)
	b.count++
}

// widen makes room in each state for items that have been found since.
func (b *slab) widen(stride int) {
	wide := make([]uint64, b.count*stride, 2*(b.count+1)*stride)
	for i := range b.count {
		copy(wide[i*stride:], b.data[i*b.stride:(i+1)*b.stride])
	}
	b.data, b.stride = wide, stride
}

func (b *slab) get(i int) (s state) {
	w := b.data[i*b.stride : (i+1)*b.stride]
	for i := range b.members {
		s.locals[i] = uint32(w[i/2] >> (32 * (i % 2)))
	}
	copy(s.items[:], w[(b.members+1)/2:])
	return s
}
