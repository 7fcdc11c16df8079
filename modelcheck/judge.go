package modelcheck

import (
	"encoding/binary"
	"fmt"

	"synod.dev/synod/paxos"
	"synod.dev/synod/spec"
)

// judge says whether a transition is allowed, given what has happened before. What has happened is the set of items of a state: the specification's own state can be made from it,
// in any order, because what it has taken never becomes untrue.
type judge struct {
	m         *model
	passed    visited // pairs of what counts of a set of items, and a transition, that have been found right
	lasting   set     // the items that count
	addressed int     // items that have been sorted so far
	sorted    int
}

// verdict is why a transition is wrong.
type verdict struct{ rule, detail string }

func (v *verdict) Error() string { return v.rule + ": " + v.detail }

func newJudge(m *model) judge { return judge{m: m, passed: newVisited()} }

// transition judges all that is new in a transition, in the order in which it came to be.
func (j *judge) transition(before *set, t *transition) error {
	if t.wrong != "" {
		return &verdict{"the core's own check", t.wrong}
	}
	news := len(t.said) > 0
	for _, it := range t.items {
		news = news || !before.has(it)
	}
	if !news {
		return nil
	}
	if t.hash == 0 {
		t.hash = j.hashOf(t)
	}
	key := j.past(before) ^ t.hash
	if j.passed.slots[j.passed.find(key)] == key {
		return nil
	}
	if err := j.replay(before, t); err != nil {
		return err
	}
	j.passed.add(key)
	return nil
}

// past hashes what counts of a set.
func (j *judge) past(s *set) uint64 {
	for ; j.sorted < len(j.m.items); j.sorted++ {
		if j.m.lasting[j.sorted] {
			j.lasting.add(uint32(j.sorted))
		}
	}
	var words set
	n := (len(j.m.items) + 63) / 64
	for i := range n {
		words[i] = s[i] & j.lasting[i]
	}
	return hash(words[:n])
}

// hashOf gives a transition a number of its own that depends on what it says alone.
func (j *judge) hashOf(t *transition) uint64 {
	words := make([]uint64, 0, len(t.items)+1)
	for _, it := range t.items {
		words = append(words, uint64(it)+1)
	}
	text := fmt.Appendf(nil, "%#v", t.said)
	for _, s := range t.said {
		if s.served != nil {
			text = fmt.Appendf(text, "%v", *s.served)
		}
	}
	for len(text)%8 != 0 {
		text = append(text, 0)
	}
	for ; len(text) > 0; text = text[8:] {
		words = append(words, binary.LittleEndian.Uint64(text))
	}
	return hash(words)*0x9e3779b97f4a7c15 | 1
}

// replay tells the specification what was before, and asks it about what is new.
func (j *judge) replay(before *set, t *transition) error {
	s := j.m.world.specification()
	past := *before
	for i := range j.m.items {
		if past.has(uint32(i)) {
			for _, said := range j.m.items[i].said {
				if said.action != nil {
					s.Assume(said.action)
				}
			}
		}
	}
	for _, it := range t.items {
		if past.has(it) {
			continue
		}
		past.add(it)
		if err := j.say(s, &past, j.m.items[it].said); err != nil {
			return err
		}
	}
	return j.say(s, &past, t.said)
}

func (j *judge) say(s *spec.State, past *set, said []saying) error {
	for _, what := range said {
		if what.action != nil {
			if err := s.Step(what.action); err != nil {
				return err
			}
		}
		if what.served != nil {
			if err := j.read(past, what.served); err != nil {
				return err
			}
		}
	}
	return nil
}

// floor returns the highest slot that has been acknowledged.
func (j *judge) floor(past *set) (floor paxos.Slot) {
	for i := range j.m.items {
		if past.has(uint32(i)) {
			for _, said := range j.m.items[i].said {
				floor = max(floor, said.acked)
			}
		}
	}
	return floor
}

// begin returns the item that says what had been acknowledged when a read began.
func (j *judge) begin(past *set, r *readBegan) uint32 {
	began := *r
	began.floor = j.floor(past)
	return j.m.intern(fmt.Sprintf("read %v", began), func() item {
		return item{to: -1, said: []saying{{began: &began}}, text: fmt.Sprintf("what is acknowledged: up to slot %d", began.floor)}
	})
}

// read checks that a read that may be served sees what had been acknowledged when it began.
func (j *judge) read(past *set, r *readServed) error {
	for i := range j.m.items {
		if !past.has(uint32(i)) {
			continue
		}
		for _, said := range j.m.items[i].said {
			if b := said.began; b != nil && b.node == r.node && b.read == r.read && b.floor > r.slot {
				return &verdict{"reads: a read sees every write acknowledged before it began",
					fmt.Sprintf("read %d of node %d may be served at slot %d, and slot %d was acknowledged before it began", r.read, r.node+1, r.slot, b.floor)}
			}
		}
	}
	return nil
}
