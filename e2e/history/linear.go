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

// Linearizable looks for an order of the requests, within their real time, in which a store would have answered as it did. A write of unknown
// outcome may stand anywhere after its call: at the very end is as good as nowhere. To run out of time is an error, too.
func Linearizable(ops []Op, limit time.Duration) error {
	places := map[string]int{}
	var asked []porcupine.Operation
	for i := range ops {
		op := &ops[i]
		if op.Kind == LocalGet || op.Outcome == Refused || op.Outcome == Unknown && !op.writes() {
			continue
		}
		if _, known := places[op.Key]; !known {
			places[op.Key] = len(places)
		}
		end := int64(op.Return)
		if op.Outcome == Unknown {
			end = math.MaxInt64
		}
		asked = append(asked, porcupine.Operation{Input: request{op, places[op.Key]}, Call: int64(op.Call), Return: end})
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

var model = porcupine.Model{
	Init: func() any { return state{revision: firstRevision - 1} },
	Step: func(before, input, _ any) (bool, any) {
		r := input.(request)
		after, done := before.(state).step(r)
		return r.Outcome == Unknown || r.told(after, done), after
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
