package history

import (
	"cmp"
	"fmt"
	"slices"
)

// witness compares what clients were told with the log that was chosen.
type witness struct {
	*store
	claimed map[int64]bool     // revisions that some request has been found for
	lost    map[string][]int64 // the floors of deletes of unknown outcome, by key
	errs    []error
}

// Check returns all that contradicts the chosen log, in which nothing acknowledged may be missing:
//
//   - each revision is one write that a client made, and no write has two;
//   - an acknowledged write has the revision that its client was told; one that was refused has none;
//   - revisions are in the order of real time: a write comes after everything that anyone was told before it began;
//   - a linearizable read sees everything that anyone was told before it began;
//   - every answer is what the store was at the revision in it.
//
// It takes O(n log n).
func Check(ops []Op, log []Command) []error {
	s, err := replay(log)
	if err != nil {
		return []error{err}
	}
	w := &witness{store: s, claimed: map[int64]bool{}, lost: map[string][]int64{}}
	for op, floor := range withFloors(ops) {
		switch op.Outcome {
		case Acknowledged:
			w.acknowledged(op, floor)
		case Refused:
			w.refused(op)
		case Unknown:
			w.unknown(op, floor)
		}
	}
	w.unclaimed()
	return w.errs
}

func (w *witness) reject(format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf(format, args...))
}

// withFloors yields each request with the highest revision that anyone had been told before it began, in the order in which they began.
func withFloors(ops []Op) func(yield func(*Op, int64) bool) {
	byCall, byReturn := pointers(ops), pointers(ops)
	slices.SortFunc(byCall, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortFunc(byReturn, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	return func(yield func(*Op, int64) bool) {
		var floor int64
		returned := 0
		for _, op := range byCall {
			for ; byReturn[returned].Return < op.Call; returned++ {
				if byReturn[returned].Outcome == Acknowledged {
					floor = max(floor, byReturn[returned].Revision)
				}
			}
			if !yield(op, floor) {
				return
			}
		}
	}
}

func pointers(ops []Op) []*Op {
	p := make([]*Op, len(ops))
	for i := range ops {
		p[i] = &ops[i]
	}
	return p
}

func (w *witness) acknowledged(op *Op, floor int64) {
	if op.changed() {
		w.write(op, floor)
		return
	}
	if op.Kind != LocalGet && op.Revision < floor {
		w.reject("stale: %s was answered as of revision %d, though revision %d had been told before it began", op.name(), op.Revision, floor)
	}
	if op.Revision > w.revision() {
		w.reject("%s was answered as of revision %d; there are %d", op.name(), op.Revision, w.revision())
		return
	}
	there := w.at(op.Key, op.Revision)
	switch op.Kind {
	case Delete:
		if there != (Item{}) {
			w.reject("%s found nothing as of revision %d; there was %+v", op.name(), op.Revision, there)
		}
	case Swap:
		if there.ModRevision == op.Expect {
			w.reject("%s was told that its condition does not hold as of revision %d; it does", op.name(), op.Revision)
		}
		w.nowhere(op)
		fallthrough
	default:
		if op.Seen != there {
			w.reject("%s saw %+v as of revision %d; it was %+v", op.name(), op.Seen, op.Revision, there)
		}
	}
}

// write checks a write that was acknowledged with a revision of its own.
func (w *witness) write(op *Op, floor int64) {
	made := w.change(op.Revision)
	if made == nil || made.Command != op.command() {
		w.reject("lost: %s was acknowledged as revision %d, which is %s", op.name(), op.Revision, made)
		return
	}
	w.claim(op, op.Revision, floor)
}

func (w *witness) claim(op *Op, revision, floor int64) {
	if w.claimed[revision] {
		w.reject("revision %d belongs to two requests, one of which is %s", revision, op.name())
	}
	w.claimed[revision] = true
	if revision <= floor {
		w.reject("%s is revision %d, though revision %d had been told before it began", op.name(), revision, floor)
	}
}

func (w *witness) refused(op *Op) {
	if op.Kind == Put || op.Kind == Swap {
		w.nowhere(op)
	}
}

// nowhere demands that the write of op is not in the log.
func (w *witness) nowhere(op *Op) {
	if revision, happened := w.byValue[op.Value]; happened {
		w.reject("%s has not happened, its client was told; it is revision %d", op.name(), revision)
	}
}

func (w *witness) unknown(op *Op, floor int64) {
	switch op.Kind {
	case Put, Swap:
		if revision, happened := w.byValue[op.Value]; happened {
			w.claim(op, revision, floor)
		}
	case Delete:
		w.lost[op.Key] = append(w.lost[op.Key], floor) // in ascending order
	}
}

// unclaimed demands of each revision that nobody was told a delete of unknown outcome that can have made it.
func (w *witness) unclaimed() {
	for i := range w.changes {
		c := &w.changes[i]
		if w.claimed[c.revision] {
			continue
		}
		if floors := w.lost[c.Key]; c.Kind == Delete && len(floors) > 0 && floors[0] < c.revision {
			w.lost[c.Key] = floors[1:]
			continue
		}
		w.reject("nobody has asked for revision %d: %s", c.revision, c)
	}
}

func (o *Op) command() Command {
	return Command{Kind: o.Kind, Key: o.Key, Value: o.Value, Expect: o.Expect}
}

func (o *Op) name() string {
	return fmt.Sprintf("%s (through %s, %v to %v)", o.command(), o.Through, o.Call, o.Return)
}

func (c Command) String() string {
	switch c.Kind {
	case Put:
		return fmt.Sprintf("put %s = %s", c.Key, c.Value)
	case Swap:
		return fmt.Sprintf("swap %s of revision %d for %s", c.Key, c.Expect, c.Value)
	case Delete:
		return "delete " + c.Key
	case Get:
		return "get " + c.Key
	}
	return "local get " + c.Key
}

func (c *change) String() string {
	if c == nil {
		return "none"
	}
	return c.Command.String()
}
