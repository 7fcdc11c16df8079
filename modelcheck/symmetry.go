package modelcheck

import (
	"cmp"
	"fmt"
	"math/bits"
	"reflect"
	"slices"

	"synod.dev/synod/paxos"
)

// symmetry exchanges members that play the same part: acceptors and nothing else, with the same bounds, in the same configurations. Two states that differ only in which of them is which have the same future, up to the same
// exchange; so of all of them one is visited.
//
// What a state of a node becomes when members are exchanged is found by the real code: it is the state that the exchanged history leads to. If the code were not symmetric that would depend on which
// history; check says so.
type symmetry struct {
	m       *model
	alike   [][]int       // the members that may be exchanged, with each other
	perms   []permutation // the identity first
	undone  []permutation // their inverses
	locals  [][]uint32    // by permutation and number of a node's state: its image
	items   [][]uint32    // by permutation and item: its image
	classes []uint32      // by number of a node's state
}

// permutation says which member takes the place of which.
type permutation [nodesMax]uint8

func newSymmetry(m *model) symmetry {
	s := symmetry{m: m}
	for i := range m.world.members {
		if k := slices.IndexFunc(s.alike, func(others []int) bool { return m.world.alike(i, others[0]) }); k >= 0 {
			s.alike[k] = append(s.alike[k], i)
		} else {
			s.alike = append(s.alike, []int{i})
		}
	}
	s.alike = slices.DeleteFunc(s.alike, func(group []int) bool { return len(group) < 2 })
	var identity permutation
	for i := range identity {
		identity[i] = uint8(i)
	}
	s.perms = []permutation{identity}
	for _, group := range s.alike {
		var perms []permutation
		for _, p := range s.perms {
			perms = permute(perms, p, group)
		}
		s.perms = perms
	}
	for _, p := range s.perms {
		s.undone = append(s.undone, s.perms[s.inverse(p)])
	}
	s.locals, s.items = make([][]uint32, len(s.perms)), make([][]uint32, len(s.perms))
	return s
}

// alike reports whether two members play the same part.
func (w *World) alike(i, j int) bool {
	if w.members[i].roles != paxos.Acceptor || w.members[i].instead > 0 || !reflect.DeepEqual(w.members[i], w.members[j]) {
		return false
	}
	for _, m := range w.members {
		for _, c := range m.changes {
			if slices.Contains(c.to, i+1) != slices.Contains(c.to, j+1) {
				return false
			}
		}
		if m.instead == i+1 || m.instead == j+1 {
			return false
		}
	}
	return true
}

// permute adds every permutation that exchanges these members of p.
func permute(perms []permutation, p permutation, alike []int) []permutation {
	if len(alike) < 2 {
		return append(perms, p)
	}
	for i := range alike {
		q := p
		q[alike[0]], q[alike[i]] = q[alike[i]], q[alike[0]]
		perms = permute(perms, q, alike[1:])
	}
	return perms
}

// then returns the permutation that does first p, then q.
func (p permutation) then(q permutation) (both permutation) {
	for i := range p {
		both[i] = q[p[i]]
	}
	return both
}

// inverse returns the number of the permutation that undoes p.
func (s *symmetry) inverse(p permutation) int {
	return slices.IndexFunc(s.perms, func(q permutation) bool { return p.then(q) == s.perms[0] })
}

// item returns what an item becomes.
func (s *symmetry) item(p int, it uint32) uint32 {
	for i := uint32(len(s.items[p])); i <= it; i++ {
		s.items[p] = append(s.items[p], s.imageOfItem(p, i))
	}
	return s.items[p][it]
}

func (s *symmetry) imageOfItem(p int, it uint32) uint32 {
	was := &s.m.items[it]
	pi := &s.perms[p]
	switch {
	case was.message != nil:
		return s.m.message(int(pi[was.from]), int(pi[was.to]), was.message)
	case was.snapshot != 0:
		return s.m.snapshot(int(pi[was.to]), was.snapshot, was.known)
	case was.record != nil:
		return s.m.record(int(pi[was.from]), was.record)
	}
	return it // of no acceptor
}

// local returns what a state of a node becomes.
func (s *symmetry) local(p int, id uint32) uint32 {
	for i := uint32(len(s.locals[p])); i <= id; i++ {
		s.locals[p] = append(s.locals[p], s.imageOfLocal(p, i))
	}
	return s.locals[p][id]
}

// imageOfLocal lets the event that has led to the state happen to the image of the one before.
func (s *symmetry) imageOfLocal(p int, id uint32) uint32 {
	l := s.m.locals[id]
	if !l.born {
		return s.m.initial(int(s.perms[p][l.node]))
	}
	before, how := l.before, l.how
	t := s.m.happen(s.local(p, before), s.cause(p, how))
	if t == nil {
		panic(fmt.Sprintf("modelcheck: world %q is not symmetric: %v is impossible for node %d", s.m.world.Name, how, s.perms[p][l.node]+1))
	}
	return t.to
}

// cause returns what the cause of an event becomes.
func (s *symmetry) cause(p int, c cause) cause {
	switch c.kind {
	case delivery:
		c.arg = int(s.item(p, uint32(c.arg)))
	case asked:
		c.arg = int(s.perms[p][c.arg])
	case gather:
		var images []uint32
		for _, it := range s.m.sequences[c.arg] {
			images = append(images, s.item(p, it))
		}
		c.arg = s.m.sequence(images)
	}
	return c
}

// class returns the least of the images of a node's state. Of members that are alike, a least image has the lower classes first; that leaves few images to be compared.
func (s *symmetry) class(id uint32) uint32 {
	for i := uint32(len(s.classes)); i <= id; i++ {
		least := i
		for p := range s.perms {
			least = min(least, s.local(p, i))
		}
		s.classes = append(s.classes, least)
	}
	return s.classes[id]
}

// least returns the least of the images of a state, and the permutation that leads to it.
func (s *symmetry) least(was *state) (least state, perm int) {
	var classes [nodesMax]uint32
	for _, group := range s.alike {
		for _, i := range group {
			classes[i] = s.class(was.locals[i])
		}
	}
	perm = -1
	for p := range s.perms {
		if !s.sorts(p, &classes) {
			continue
		}
		to := s.state(p, was)
		if perm < 0 || to.compare(&least) < 0 {
			least, perm = to, p
		}
	}
	return least, perm
}

// sorts reports whether members come in the order of their classes when they are exchanged.
func (s *symmetry) sorts(p int, classes *[nodesMax]uint32) bool {
	for _, group := range s.alike {
		last := uint32(0)
		for _, place := range group {
			class := classes[s.undone[p][place]]
			if class < last {
				return false
			}
			last = class
		}
	}
	return true
}

// state returns what a state becomes.
func (s *symmetry) state(p int, was *state) state {
	if p == 0 {
		return *was
	}
	var to state
	for i := range s.m.world.members {
		to.locals[s.perms[p][i]] = s.local(p, was.locals[i])
	}
	for w, rest := range was.items {
		for ; rest != 0; rest &= rest - 1 {
			to.items.add(s.item(p, uint32(w*64+bits.TrailingZeros64(rest))))
		}
	}
	return to
}

func (s *state) compare(t *state) int {
	return cmp.Or(slices.Compare(s.locals[:], t.locals[:]), slices.Compare(s.items[:], t.items[:]))
}

// check compares every transition known with its images, and panics if the code is not symmetric.
func (s *symmetry) check() {
	for id := range len(s.m.locals) {
		for _, t := range s.m.known(uint32(id)) {
			if t.wrong == "" {
				s.compare(uint32(id), t)
			}
		}
	}
}

func (s *symmetry) compare(id uint32, t *transition) {
	for p := range s.perms {
		image := s.m.happen(s.local(p, id), s.cause(p, t.cause))
		if image == nil || image.to != s.local(p, t.to) || len(image.items) != len(t.items) {
			panic(fmt.Sprintf("modelcheck: world %q is not symmetric: %v of node %d does not do the same to node %d", s.m.world.Name, t.cause, s.m.locals[id].node+1, s.perms[p][s.m.locals[id].node]+1))
		}
		for _, it := range t.items {
			if !slices.Contains(image.items, s.item(p, it)) {
				panic(fmt.Sprintf("modelcheck: world %q is not symmetric: %v of node %d, exchanged, does not lead to %q", s.m.world.Name, t.cause, s.m.locals[id].node+1, s.m.items[it].text))
			}
		}
	}
}
