package wal

import "synod.dev/synod/paxos"

// position is where the last record of a slot lies: 16 bytes a slot. The zero position is no place.
type position struct {
	segment   segmentID
	offset    uint32 // in units of 8 bytes
	size      uint32 // in bytes
	headerSum uint32 // so that a write that never reached the disk is not taken for the record that was there before
}

// index finds the last record of a slot. It grows by pages, so that it is dense where slots are
// and a slot far away costs one page and no more.
type index struct {
	pages       map[uint64]*[pageSlots]position
	first, last paxos.Slot // that have ever been set; 0 if none
}

const pageSlots = 256

func (x *index) get(slot paxos.Slot) (position, bool) {
	page := x.pages[uint64(slot)/pageSlots]
	if page == nil {
		return position{}, false
	}
	p := page[slot%pageSlots]
	return p, p != position{}
}

func (x *index) set(slot paxos.Slot, p position) {
	n := uint64(slot) / pageSlots
	page := x.pages[n]
	if page == nil {
		if x.pages == nil {
			x.pages = map[uint64]*[pageSlots]position{}
		}
		page = new([pageSlots]position)
		x.pages[n] = page
	}
	page[slot%pageSlots] = p
	x.last = max(x.last, slot)
	if x.first == 0 || slot < x.first {
		x.first = slot
	}
}

// clear forgets the position of one slot.
func (x *index) clear(slot paxos.Slot) {
	if page := x.pages[uint64(slot)/pageSlots]; page != nil {
		page[slot%pageSlots] = position{}
	}
}

// trim forgets everything up to slot.
func (x *index) trim(slot paxos.Slot) {
	keep := (uint64(slot) + 1) / pageSlots // the page that the next slot is in
	for n := range x.pages {
		if n < keep {
			delete(x.pages, n)
		}
	}
	if page := x.pages[keep]; page != nil {
		clear(page[:(uint64(slot)+1)%pageSlots])
	}
	x.first = max(x.first, slot+1)
	if x.first > x.last {
		x.first, x.last = 0, 0
	}
}
