package disk

import (
	"maps"
	"slices"
)

// KeepAll and DropAll are the mildest and the harshest choices for Crash. A random generator's IntN is one between.
func KeepAll(n int) int { return n - 1 }
func DropAll(int) int   { return 0 }

// Crash returns the file system as it is found after a power cut at this instant; m itself is left as it is.
//
// Each name change and each sector that was not durable meets its fate alone. choose(n) picks it, from 0 to n-1, where 0
// is as if it had never happened and n-1 is as if it had been synced. Between those a sector may hold any earlier content since
// its last sync, or be torn: begin as the latest and end as an earlier one, or the other way round, with choose picking where.
// Names are asked for in the order of the changes, then sectors by name and place, so equal choices give equal images.
func (m *Mem) Crash(choose func(n int) int) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.durable)
	for _, change := range m.unsynced {
		if choose(2) == 1 {
			change.apply(names)
		}
	}
	after := NewMem()
	after.capacity = m.capacity
	maps.Copy(after.dirs, m.dirs)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		after.live[name] = names[name].crash(choose)
	}
	after.durable = maps.Clone(after.live)
	return after
}

func (f *inode) crash(choose func(n int) int) *inode {
	content, length := slices.Clone(f.content), f.synced
	for _, n := range slices.Sorted(maps.Keys(f.dirty)) {
		found, latest := f.dirty[n].crash(f.sectorAt(n), choose)
		from := int(n * SectorBytes)
		copy(content[from:], found)
		if latest {
			length = max(length, min(from+SectorBytes, len(content)))
		}
	}
	return &inode{content: content[:length], synced: length, dirty: map[int64]*sector{}}
}

// crash returns what the medium holds of a sector, and whether anything of the writes since its last sync is in it.
func (s *sector) crash(latest []byte, choose func(n int) int) (found []byte, changed bool) {
	if s.lost {
		return s.versions[0], false
	}
	earlier := len(s.versions)
	fate := choose(earlier + 3)
	switch {
	case fate < earlier:
		return s.versions[fate], fate > 0
	case fate == earlier+2:
		return latest, true
	}
	other := s.versions[earlier-1]
	cut := 1 + choose(SectorBytes-1)
	if fate == earlier {
		return slices.Concat(latest[:cut], other[cut:]), true
	}
	return slices.Concat(other[:cut], latest[cut:]), true
}
