package history

import (
	"errors"
	"fmt"
	"math"
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
// only what became of writes of unknown outcome: without that the search would have to try them everywhere. Deletes, which the log does not tell apart,
// may stand anywhere after their call; at the very end is as good as nowhere. To run out of time is an error, too.
func Linearizable(ops []Op, log []Command, limit time.Duration) error {
	s, err := replay(log)
	if err != nil {
		return err
	}
	places := map[string]int{}
	var asked []porcupine.Operation
	for i := range ops {
		op, end, counts := s.resolve(ops[i])
		if !counts {
			continue
		}
		if _, known := places[op.Key]; !known {
			places[op.Key] = len(places)
		}
		asked = append(asked, porcupine.Operation{Input: request{&op, places[op.Key]}, Call: int64(op.Call), Return: end})
	}
	if len(places) > KeysMax {
		return fmt.Errorf("a history of %d keys cannot be judged; use at most %d", len(places), KeysMax)
	}
	switch porcupine.CheckOperationsTimeout(model, asked, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return errors.New("no order of the requests explains their answers")
	}
	return fmt.Errorf("no order of %d requests was found within %v, nor that there is none; ask for fewer at a time", len(asked), limit)
}

// resolve says until when op may have happened, and what its client would have been told if it was not; counts is false if op says nothing.
func (s *store) resolve(op Op) (_ Op, end int64, counts bool) {
	switch {
	case op.Kind == LocalGet || op.Outcome == Refused:
		return op, 0, false
	case op.Outcome == Acknowledged:
		return op, int64(op.Return), true
	case op.Kind == Delete:
		return op, math.MaxInt64, true
	}
	revision, happened := s.byValue[op.Value] // which no Get has
	op.Revision, op.Done = revision, op.Kind == Swap
	return op, math.MaxInt64, happened
}

var model = porcupine.Model{
	Init: func() any { return state{revision: firstRevision - 1} },
	Step: func(before, input, _ any) (bool, any) {
		r := input.(request)
		after, done := before.(state).step(r)
		return r.Outcome == Unknown && r.Kind == Delete || r.told(after, done), after
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
