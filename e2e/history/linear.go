package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// KeysMax bounds the keys of a history that Linearizable can judge: its search copies the state of all of them at every step.
const KeysMax = 8

// state is the whole of a store, comparable.
type state struct {
	revision int64
	items    [KeysMax]Item
}

// request is what a client asked for, with the key by its place in the state.
type request struct {
	*Op
	key int
}

// Linearizable looks for an order of the requests, within their real time, in which a store would have answered as it did. The chosen log tells
// only what became of writes of unknown outcome: without that the search would have to try them everywhere. To run out of time is an error, too.
func Linearizable(ops []Op, log []Command, limit time.Duration) error {
	asked, err := search(ops, log)
	switch {
	case err != nil:
		return err
	case !narrow(asked):
		return errNoOrder
	}
	switch porcupine.CheckOperationsTimeout(model, asked, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return errNoOrder
	}
	return fmt.Errorf("no order of %d requests was found within %v, nor that there is none; ask for fewer at a time", len(asked), limit)
}

var errNoOrder = errors.New("no order of the requests explains their answers")

// search returns what Porcupine has to order.
func search(ops []Op, log []Command) ([]porcupine.Operation, error) {
	s, err := replay(log)
	if err != nil {
		return nil, err
	}
	places := map[string]int{}
	var asked []porcupine.Operation
	deletes := s.unknownDeletes(ops)
	for i := range ops {
		op, end, counts := s.resolve(ops[i], deletes[&ops[i]])
		if !counts {
			continue
		}
		if _, known := places[op.Key]; !known {
			places[op.Key] = len(places)
		}
		asked = append(asked, porcupine.Operation{Input: request{&op, places[op.Key]}, Call: int64(op.Call), Return: end})
	}
	if len(places) > KeysMax {
		return nil, fmt.Errorf("a history of %d keys cannot be judged; use at most %d", len(places), KeysMax)
	}
	return asked, nil
}

// narrow takes from each request's time what no order can use, and reports whether something is left of all of them. Afterwards times are in the
// order of real time, but no longer those of a clock. The model lets revisions only grow, so every order that it accepts has the requests by the
// revisions that their clients were told, and first of those with one revision the write that made it. So a request happens after all that come
// before it by that have begun, and before any that comes after it has returned. Without this the search tries a write before a read that took
// long and must come first, goes on until that read returns, and then leaves out each set of the reads between them.
func narrow(asked []porcupine.Operation) bool {
	slices.SortStableFunc(asked, func(a, b porcupine.Operation) int { return cmp.Compare(rank(a), rank(b)) })
	last := int64(math.MinInt64)
	for same := range chunks(asked) {
		begun := last
		for i := range same {
			begun = max(begun, same[i].Call)
			same[i].Call = max(same[i].Call, last)
		}
		last = begun
	}
	first := int64(math.MaxInt64)
	for _, same := range slices.Backward(slices.Collect(chunks(asked))) {
		returned := first
		for i := range same {
			returned = min(returned, same[i].Return)
			same[i].Return = min(same[i].Return, first)
		}
		first = returned
	}
	if slices.ContainsFunc(asked, func(o porcupine.Operation) bool { return o.Call > o.Return }) {
		return false
	}
	order(asked)
	return true
}

// order has of requests that begin at the same time, as narrowed ones do, the one of lower rank begin first, and changes nothing else. The search tries first what begins
// first, and would else go past reads that wait together, and leave out each set of them.
func order(asked []porcupine.Operation) {
	n := int64(len(asked))
	for i := range asked {
		asked[i].Call = asked[i].Call*n + int64(i)
		asked[i].Return = min(asked[i].Return, math.MaxInt64/n-1)*n + n - 1
	}
}

// rank orders requests as every order that the model accepts has them.
func rank(o porcupine.Operation) int64 {
	r := o.Input.(request)
	if r.Kind == Put || r.writes() && r.Done {
		return 2 * r.Revision
	}
	return 2*r.Revision + 1
}

// chunks yields the requests of each rank.
func chunks(asked []porcupine.Operation) func(yield func([]porcupine.Operation) bool) {
	return func(yield func([]porcupine.Operation) bool) {
		for begin := 0; begin < len(asked); {
			end := begin + 1
			for end < len(asked) && rank(asked[end]) == rank(asked[begin]) {
				end++
			}
			if !yield(asked[begin:end]) {
				return
			}
			begin = end
		}
	}
}

// resolve says until when op may have happened, and what its client would have been told if it was not; counts is false if op says nothing.
// For a delete of unknown outcome deleted is the revision that it made, or zero.
func (s *store) resolve(op Op, deleted int64) (_ Op, end int64, counts bool) {
	switch {
	case op.Kind == LocalGet || op.Outcome == Refused:
		return op, 0, false
	case op.Outcome == Acknowledged:
		return op, int64(op.Return), true
	case op.Kind == Delete:
		op.Revision, op.Done = deleted, true
		return op, math.MaxInt64, deleted != 0
	}
	revision, happened := s.byValue[op.Value] // which no Get has
	op.Revision, op.Done = revision, op.Kind == Swap
	return op, math.MaxInt64, happened
}

// unknownDeletes returns which deletes of unknown outcome made which revisions. The log does not tell deletes of a key apart, so those that began first
// are taken for the first ones that nobody was told of: as each may happen at any time after its call, that explains the log if anything does.
// Those that are left over have changed nothing that anyone was told.
func (s *store) unknownDeletes(ops []Op) map[*Op]int64 {
	told := map[int64]bool{}
	for i := range ops {
		if ops[i].Kind == Delete && ops[i].changed() {
			told[ops[i].Revision] = true
		}
	}
	untold := map[string][]int64{} // by key
	for _, c := range s.changes {
		if c.Kind == Delete && !told[c.revision] {
			untold[c.Key] = append(untold[c.Key], c.revision)
		}
	}
	made := map[*Op]int64{}
	byCall := pointers(ops)
	slices.SortStableFunc(byCall, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	for _, op := range byCall {
		if left := untold[op.Key]; op.Kind == Delete && op.Outcome == Unknown && len(left) > 0 {
			made[op], untold[op.Key] = left[0], left[1:]
		}
	}
	return made
}

var model = porcupine.Model{
	Init: func() any { return state{revision: firstRevision - 1} },
	Step: func(before, input, _ any) (bool, any) {
		r := input.(request)
		after, done := before.(state).step(r)
		return r.told(after, done), after
	},
}

// step executes a request; done is whether it has changed anything.
func (s state) step(r request) (_ state, done bool) {
	there := s.items[r.key]
	switch r.Kind {
	case Get:
		return s, false
	case Swap:
		if there.ModRevision != r.Expect {
			return s, false
		}
	case Delete:
		if there.ModRevision == 0 {
			return s, false
		}
	}
	s.revision++
	s.items[r.key] = Item{Value: r.Value, ModRevision: s.revision, Version: there.Version + 1}
	if r.Kind == Delete {
		s.items[r.key] = Item{}
	}
	return s, true
}

// told reports whether the client was told what it would have been if its request had led to this state.
func (r request) told(after state, done bool) bool {
	switch {
	case r.Revision != after.revision:
		return false
	case r.Kind == Put:
		return true
	case r.Kind == Swap:
		return r.Done == done && (done || r.Seen == after.items[r.key])
	case r.Kind == Delete:
		return r.Done == done
	}
	return r.Seen == after.items[r.key]
}
