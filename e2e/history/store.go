package history

import (
	"fmt"
	"slices"
)

// Command is a write as the chosen log has it.
type Command struct {
	Kind       Kind // Put, Swap or Delete
	Key, Value string
	Expect     int64
}

// change is what one revision has done.
type change struct {
	Command
	revision int64
	after    Item
}

const firstRevision = 2 // an empty store has 1

// store is all that ever happened in a store.
type store struct {
	changes []change            // by revision, from firstRevision on
	byKey   map[string][]change // in order of revisions
	byValue map[string]int64    // from what was written, once, to the revision
}

// replay executes the chosen log. It fails if a value was written twice: a request was executed more than once.
func replay(log []Command) (*store, error) {
	s := &store{byKey: map[string][]change{}, byValue: map[string]int64{}}
	for _, c := range log {
		before := s.at(c.Key, s.revision())
		switch {
		case c.Kind == Swap && before.ModRevision != c.Expect, c.Kind == Delete && before == Item{}:
			continue
		}
		made := change{Command: c, revision: s.revision() + 1}
		if c.Kind != Delete {
			made.after = Item{Value: c.Value, ModRevision: made.revision, Version: before.Version + 1}
			if first, again := s.byValue[c.Value]; again {
				return nil, fmt.Errorf("one write, %s = %s, happened twice: as revisions %d and %d", c.Key, c.Value, first, made.revision)
			}
			s.byValue[c.Value] = made.revision
		}
		s.changes = append(s.changes, made)
		s.byKey[c.Key] = append(s.byKey[c.Key], made)
	}
	return s, nil
}

func (s *store) revision() int64 { return firstRevision - 1 + int64(len(s.changes)) }

// at returns a key's state as of a revision.
func (s *store) at(key string, revision int64) Item {
	changes := s.byKey[key]
	after, _ := slices.BinarySearchFunc(changes, revision+1, func(c change, r int64) int { return int(c.revision - r) })
	if after == 0 {
		return Item{}
	}
	return changes[after-1].after
}

// change returns what a revision has done; nil if there is no such revision.
func (s *store) change(revision int64) *change {
	if revision < firstRevision || revision > s.revision() {
		return nil
	}
	return &s.changes[revision-firstRevision]
}
