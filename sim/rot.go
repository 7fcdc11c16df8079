package sim

import (
	"math/rand/v2"
	"strings"
)

// Rot strikes what is at rest. It keeps away from the last batch of the log, the one place where rot and a torn write look alike to any log (docs/storage.md,
// "What is not survived"), and from all but the first copy of the vital state. Anything else the member must notice, and report as unknown or refuse to start.

// cover moves the guard when a batch has been synced: everything before it, also in older segments, now lies below a watermark.
func (f *inode) cover(d *simDisk) {
	if !f.segment {
		return
	}
	if d.tail != nil && d.tail != f {
		d.tail.guard = len(d.tail.content)
	}
	d.tail, f.guard = f, f.began
}

// coverAll says that the vital state's watermark covers the whole log, as after recovery.
func (d *simDisk) coverAll() {
	for _, f := range d.live {
		if f.segment {
			f.guard = len(f.content)
		}
	}
	d.tail = nil
}

// rotSegment damages a sector that is covered, and reports whether there was one: it flips bits, or loses the write, or puts another sector's bytes in its place.
func (d *simDisk) rotSegment(r *rand.Rand) bool {
	var covered []*inode
	for _, name := range d.segments() {
		if f := d.live[name]; min(f.guard, usedBytes(f.content)) > 0 {
			covered = append(covered, f)
		}
	}
	if len(covered) == 0 {
		return false
	}
	f := covered[len(covered)-1]
	if r.IntN(3) == 0 {
		f = covered[r.IntN(len(covered))]
	}
	written := min(f.guard, usedBytes(f.content))
	n := r.IntN(written / sectorBytes)
	if r.IntN(2) == 0 { // of what is not applied yet, more is lost
		n = max(n, written/sectorBytes-1-r.IntN(4))
	}
	sector := f.content[n*sectorBytes : (n+1)*sectorBytes]
	switch r.IntN(6) {
	case 0:
		clear(sector)
	case 1:
		other := r.IntN(written / sectorBytes)
		copy(sector, f.content[other*sectorBytes:(other+1)*sectorBytes])
	case 2:
		sector[r.IntN(sectorBytes)] ^= 1 << r.IntN(8)
	default: // where a batch that begins here has its first record
		sector[56+r.IntN(100)] ^= 1 << r.IntN(8)
	}
	d.damaged = true
	return true
}

// usedBytes returns where the zeros at the end of a file begin, in whole sectors.
func usedBytes(content []byte) int {
	end := len(content)
	for end > 0 && content[end-1] == 0 {
		end--
	}
	return (end + sectorBytes - 1) / sectorBytes * sectorBytes
}

// rotVital damages the first copy of the vital state.
func (d *simDisk) rotVital(r *rand.Rand) bool {
	f := d.vital()
	if f == nil {
		return false
	}
	f.content[r.IntN(len(f.content)/4)] ^= 1 << r.IntN(8)
	return true
}

// wreckVital damages every copy: the member must refuse to start.
func (d *simDisk) wreckVital(r *rand.Rand) bool {
	f := d.vital()
	if f == nil {
		return false
	}
	for quarter := range 4 {
		size := len(f.content) / 4
		f.content[quarter*size+r.IntN(112)] ^= 1 << r.IntN(8)
	}
	d.damaged = true
	return true
}

func (d *simDisk) vital() *inode {
	for name, f := range d.live {
		if strings.HasSuffix(name, "/vital") && len(f.content) > 0 {
			return f
		}
	}
	return nil
}
