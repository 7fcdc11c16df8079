package modelcheck

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Options bound an exploration. The zero value explores everything.
type Options struct {
	StatesMax int                            // 0: no bound
	Live      int                            // from every so many states the cluster goes on without faults, and must get somewhere; 0: from none
	Progress  func(states, depth, front int) // called after each level, if not nil; front is the number of states that are new in it
}

// Result is what an exploration has found.
type Result struct {
	States      int // distinct states of the whole world, the first included
	Transitions int // from state to another or the same, that changed a node or sent anything new
	Depth       int // of the last state found: the least number of events that lead to it
	Locals      int // distinct states of its nodes, each a state of the real replica and its disk
	Items       int // distinct messages, and records made durable
	Lively      int // states from which the cluster got somewhere
	Rounds      int // the most ticks that this took
	Transfers   int // snapshots that were installed meanwhile
	Elapsed     time.Duration

	Counterexample *Counterexample // the shortest way to break a rule; nil if there is none
}

// Errors of Explore. They say that a world has not been checked, not that it is wrong.
var (
	ErrBound = errors.New("modelcheck: the world has more states than the bound allows: nothing is known of the rest")
	ErrGoals = errors.New("modelcheck: the world never gets into a situation that it is there for, so it proves little")
)

// nodesMax bounds the members of a world.
const nodesMax = 7

// set is a set of items.
type set [itemsMax / 64]uint64

func (s *set) has(i uint32) bool { return s[i/64]>>(i%64)&1 == 1 }
func (s *set) add(i uint32)      { s[i/64] |= 1 << (i % 64) }

func (s *set) remove(t *set) {
	for i := range s {
		s[i] &^= t[i]
	}
}

// state is a state of the world.
type state struct {
	locals [nodesMax]uint32
	items  set
}

// explorer visits the states of a world breadth first, so that the first way to break a rule is a shortest one.
type explorer struct {
	model
	opt      Options
	visited  visited
	steps    []step // of all states in the order in which they were found: how each was
	front    slab   // the states to go on from; the last of steps
	next     slab
	toNode   [nodesMax]set // items that are messages to it
	judge    judge
	symmetry symmetry
	reached  goals
	result   Result
	words    [nodesMax + itemsMax/64]uint64 // scratch
}

// step says how a state was reached: from which, and by what.
type step struct {
	parent uint32
	node   uint8
	kind   causeKind
	arg    int16
}

// Explore visits every state of the world within its bounds, or goes on until a rule is broken, which is in the result and not an error. It uses about 100 bytes a state.
func (w World) Explore(opt Options) (Result, error) {
	start := time.Now()
	x := newExplorer(&w, opt)
	err := x.run()
	x.result.States, x.result.Locals, x.result.Items = len(x.steps), len(x.locals), len(x.items)
	x.result.Elapsed = time.Since(start)
	return x.result, err
}

func newExplorer(w *World, opt Options) *explorer {
	x := &explorer{model: *newModel(w), opt: opt, visited: newVisited()}
	x.judge, x.symmetry = newJudge(&x.model), newSymmetry(&x.model)
	return x
}

func (x *explorer) run() error {
	x.next = slab{members: len(x.world.members)}
	first := x.first()
	x.visit(&first, step{})
	for {
		x.front, x.next = x.next, slab{members: len(x.world.members)}
		if x.front.count == 0 {
			break
		}
		base := len(x.steps) - x.front.count
		for i := range x.front.count {
			s := x.front.get(i)
			if !x.expand(&s, uint32(base+i)) {
				return nil
			}
			if x.opt.StatesMax > 0 && len(x.steps) > x.opt.StatesMax {
				return ErrBound
			}
		}
		if x.next.count > 0 {
			x.result.Depth++
		}
		if !x.lively() {
			return nil
		}
		if x.opt.Progress != nil {
			x.opt.Progress(len(x.steps), x.result.Depth, x.next.count)
		}
	}
	if missing := x.world.goals &^ x.reached; missing != 0 {
		return fmt.Errorf("%w: %v", ErrGoals, missing)
	}
	return nil
}

// first returns the state before anything has happened. Where answers are gathered, every proposer has begun its first ballot: nothing can come to it before, and its Prepare may come to others at any time.
func (x *explorer) first() (s state) {
	for i := range x.world.members {
		s.locals[i] = x.initial(i)
	}
	for i := range x.world.members {
		if t := x.happen(s.locals[i], cause{kind: takeOver}); t != nil && x.gathers(i) {
			s = x.after(&s, i, t)
		}
	}
	return s
}

// expand follows everything that can happen in a state. It reports false if a rule was broken.
func (x *explorer) expand(s *state, at uint32) bool {
	crashes := 0
	for i := range x.world.members {
		crashes += int(x.locals[s.locals[i]].crashes)
	}
	for i := range x.world.members {
		id := s.locals[i]
		own := x.events(id)
		for e := range own {
			if own[e].crash && crashes >= x.world.crashes {
				continue
			}
			if !x.follow(s, at, i, &own[e]) {
				return false
			}
		}
		x.addressed()
		if !x.hand(s, at, i, id, nil) {
			return false
		}
	}
	return true
}

// hand gives each message of a state to a node that it is for. The node is in the state id, after having counted some answers. It reports false if a rule was broken.
func (x *explorer) hand(s *state, at uint32, node int, id uint32, counted []uint32) bool {
	l := x.locals[id]
	for w := 0; w*64 < len(x.items); w++ {
		for rest := s.items[w] & x.toNode[node][w] &^ l.inert[w]; rest != 0; rest &= rest - 1 {
			if !x.handOne(s, at, node, id, counted, uint32(w*64+bits.TrailingZeros64(rest))) {
				return false
			}
		}
	}
	return true
}

func (x *explorer) handOne(s *state, at uint32, node int, id uint32, counted []uint32, it uint32) bool {
	t := x.deliver(id, it)
	switch {
	case t == nil || len(counted) > 0 && !x.joins(counted, it):
		return true
	case x.isCounted(id, t):
		return x.hand(s, at, node, t.to, append(slices.Clip(counted), it))
	case len(counted) > 0:
		t = x.gather(s.locals[node], x.sequence(append(slices.Clip(counted), it)))
	}
	return x.follow(s, at, node, t)
}

// addressed brings toNode up to date with the items there are.
func (x *explorer) addressed() {
	for ; x.judge.addressed < len(x.items); x.judge.addressed++ {
		if to := x.items[x.judge.addressed].to; to >= 0 {
			x.toNode[to].add(uint32(x.judge.addressed))
		}
	}
}

// follow takes a transition of one node, judges it, and notes the state that it leads to. It reports false if a rule was broken.
func (x *explorer) follow(s *state, at uint32, node int, t *transition) bool {
	if err := x.judge.transition(&s.items, t); err != nil {
		x.result.Counterexample = x.counterexample(at, node, t, err)
		return false
	}
	to := x.after(s, node, t)
	if to == *s {
		return true
	}
	x.result.Transitions++
	x.reached |= t.goals
	x.visit(&to, step{at, uint8(node), t.cause.kind, int16(t.cause.arg)})
	return true
}

// after returns the state that a transition of a node leads to.
func (x *explorer) after(s *state, node int, t *transition) state {
	to := *s
	to.locals[node] = t.to
	for _, it := range t.items {
		to.items.add(it)
	}
	if t.reads != nil {
		to.items.add(x.judge.begin(&s.items, t.reads))
	}
	for i := range x.world.members {
		to.items.remove(x.obsolete(x.locals[to.locals[i]]))
	}
	return to
}

// visit notes a state if it is new.
func (x *explorer) visit(s *state, how step) {
	least, _ := x.symmetry.least(s)
	s = &least
	words := x.next.words(x.words[:0], s, len(x.items))
	if !x.visited.add(hash(words)) {
		return
	}
	x.steps = append(x.steps, how)
	x.next.add(words)
	leaders := 0
	for i := range x.world.members {
		if x.locals[s.locals[i]].leads {
			leaders++
		}
	}
	if leaders > 1 {
		x.reached |= twoLead
	}
}
