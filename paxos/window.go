package paxos

// window holds one T for each slot of a contiguous run that moves upward. The caller bounds its length.
type window[T any] struct {
	base  Slot // the slot of items[0]
	items []T
}

// get returns the item of slot, or nil outside of the run.
func (w *window[T]) get(slot Slot) *T {
	if slot < w.base || slot >= w.end() {
		return nil
	}
	return &w.items[slot-w.base]
}

// at returns the item of slot, extending the run upward as needed. The slot must not be below the run.
// The pointer is good until the run is extended again.
func (w *window[T]) at(slot Slot) *T {
	if slot < w.base {
		panic(Violation("slot %d was forgotten: the run starts at %d", slot, w.base))
	}
	for slot >= w.end() {
		var zero T
		w.items = append(w.items, zero)
	}
	return &w.items[slot-w.base]
}

// end returns the slot after the last of the run.
func (w *window[T]) end() Slot { return w.base + Slot(len(w.items)) }

// dropBelow forgets every slot below slot.
func (w *window[T]) dropBelow(slot Slot) {
	if slot <= w.base {
		return
	}
	n := min(int(slot-w.base), len(w.items))
	clear(w.items[:n])
	w.items = w.items[n:]
	w.base = slot
}

// reset empties the run and lets it start at slot.
func (w *window[T]) reset(slot Slot) {
	clear(w.items)
	w.base, w.items = slot, w.items[:0]
}
