package crashimage

import (
	"math/rand/v2"

	"synod.dev/synod/disk"
)

// fate is what becomes of a piece, that is, of a name change or of a sector that was not synced.
type fate uint8

const (
	lost fate = iota
	kept
	tornAfter  // the sector begins as the latest write left it and ends as before
	tornBefore // the other way round
)

// plan says which fate each piece meets, and where a torn sector is torn. Pieces are numbered from 0, name changes first, in their order, then sectors by
// file and place.
type plan struct {
	kind Kind
	fate func(piece int) fate
	tear int // byte of the sector, 1 to 511
}

// choose returns the plan as what disk.Mem.Crash asks for: it asks about a name change by a choice of 2, about a sector by one of 4 or more, and about
// the place of a tear by one of a sector's bytes less one.
func (p plan) choose() func(n int) int {
	piece := -1
	return func(n int) int {
		if n == disk.SectorBytes-1 {
			return p.tear - 1
		}
		piece++
		f := p.fate(piece)
		switch {
		case f == lost:
			return 0
		case f == kept || n == 2:
			return n - 1
		case f == tornAfter:
			return n - 3
		default:
			return n - 2
		}
	}
}

// pieces counts what is not synced.
func pieces(m *disk.Mem) int {
	n := 0
	m.Crash(func(choices int) int { n++; return choices - 1 })
	return n
}

// everyMax is the most pieces of which all combinations are tried: 3 fates each.
const everyMax = 5

// mixedPerCut is how many images with random fates are made at each cut.
const mixedPerCut = 6

var tears = [...]int{1, 56, disk.SectorBytes / 2, disk.SectorBytes - 1}

// plans returns the plans for a cut with n pieces unsynced.
func plans(n int, r *rand.Rand) []plan {
	always := func(f fate) func(int) fate { return func(int) fate { return f } }
	ps := []plan{{kind: None, fate: always(lost)}}
	if n == 0 {
		return ps
	}
	ps = append(ps, plan{kind: All, fate: always(kept)})
	for k := range n {
		ps = append(ps,
			plan{kind: Prefix, fate: oneIf(func(p int) bool { return p < k })},
			plan{kind: Suffix, fate: oneIf(func(p int) bool { return p >= k })},
			plan{kind: OneLost, fate: oneIf(func(p int) bool { return p != k })},
			plan{kind: OneKept, fate: oneIf(func(p int) bool { return p == k })})
		for i, others := range [...]fate{lost, kept} {
			for j, torn := range [...]fate{tornAfter, tornBefore} {
				ps = append(ps, plan{kind: OneTorn, tear: tears[(k+2*i+j)%len(tears)], fate: func(p int) fate {
					if p == k {
						return torn
					}
					return others
				}})
			}
		}
	}
	if n <= everyMax {
		ps = append(ps, combinations(n)...)
	}
	for range mixedPerCut {
		fates := make([]fate, n)
		for i := range fates {
			fates[i] = fate(r.IntN(4))
		}
		ps = append(ps, plan{kind: Mixed, tear: 1 + r.IntN(disk.SectorBytes-1), fate: func(p int) fate { return fates[min(p, n-1)] }})
	}
	return ps
}

// oneIf keeps the pieces for which it holds and loses the others.
func oneIf(holds func(piece int) bool) func(int) fate {
	return func(piece int) fate {
		if holds(piece) {
			return kept
		}
		return lost
	}
}

// combinations returns a plan for each way to lose, keep or tear n pieces.
func combinations(n int) []plan {
	total := 1
	for range n {
		total *= 3
	}
	ps := make([]plan, total)
	for c := range ps {
		ps[c] = plan{kind: Every, tear: tears[c%len(tears)], fate: func(piece int) fate {
			digit := c
			for range piece {
				digit /= 3
			}
			return fate(digit % 3)
		}}
	}
	return ps
}
