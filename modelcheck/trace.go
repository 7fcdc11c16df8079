package modelcheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"synod.dev/synod/spec"
)

// Counterexample is a shortest run that breaks a rule.
type Counterexample struct {
	World string
	Rule  string
	What  string   // was done against it
	Trace []string // a line for each event
}

func (c *Counterexample) String() string {
	return fmt.Sprintf("world %q breaks a rule after %d events.\nThe rule: %s\nBut:      %s\n\n%s\n", c.World, len(c.Trace), c.Rule, c.What, strings.Join(c.Trace, "\n"))
}

func (x *explorer) counterexample(at uint32, node int, t *transition, err error) *Counterexample {
	c := &Counterexample{World: x.world.Name, Rule: "the core's own check"}
	var broken *spec.Violation
	var v *verdict
	switch {
	case errors.As(err, &broken):
		c.Rule, c.What = string(broken.Rule), broken.Detail
	case errors.As(err, &v):
		c.Rule, c.What = v.rule, v.detail
	}
	c.Trace = x.story(append(x.path(at), happening{node, t.cause}))
	return c
}

// happening is a cause and the node to which it happens.
type happening struct {
	node  int
	cause cause
}

// path returns how a state was reached, from image to least image.
func (x *explorer) path(at uint32) (path []happening) {
	for i := at; i != 0; i = x.steps[i].parent {
		how := x.steps[i]
		path = append(path, happening{int(how.node), cause{how.kind, int(how.arg)}})
	}
	slices.Reverse(path)
	return path
}

// story tells a path as one run. The states on the path are least images: each step of it happens to the members that have taken the places of those in the run. So they are exchanged back.
func (x *explorer) story(path []happening) (trace []string) {
	run := x.first()
	least, perm := x.symmetry.least(&run)
	places := x.symmetry.perms[perm] // of the members of the run in least
	for _, h := range path {
		back := x.symmetry.inverse(places)
		real := happening{int(x.symmetry.perms[back][h.node]), x.symmetry.cause(back, h.cause)}
		t := x.happen(run.locals[real.node], real.cause)
		trace = append(trace, x.line(len(trace)+1, &run, real, t))
		run = x.after(&run, real.node, t)
		after := x.after(&least, h.node, x.happen(least.locals[h.node], h.cause))
		least, perm = x.symmetry.least(&after)
		places = places.then(x.symmetry.perms[perm])
	}
	return trace
}

// line writes one event: its number, the node, what happens to it, and what it does.
func (x *explorer) line(number int, s *state, h happening, t *transition) string {
	var does []string
	for _, it := range t.items {
		if !s.items.has(it) {
			does = x.mention(does, &x.items[it])
		}
	}
	for _, said := range t.said {
		if l, ok := said.action.(spec.Learn); ok {
			does = append(does, fmt.Sprintf("takes slot %d for chosen", l.Slot))
		}
	}
	return strings.TrimRight(fmt.Sprintf("%3d  node %d  %-62s %s", number, h.node+1, x.name(s.locals[h.node], h.cause), strings.Join(does, "; ")), " ")
}

// mention adds an item, or its receiver if it is a message that is sent to others as well.
func (x *explorer) mention(does []string, it *item) []string {
	if it.message == nil {
		return append(does, it.text)
	}
	if n := len(does); n > 0 && strings.HasPrefix(does[n-1], it.text+" ->") {
		does[n-1] += fmt.Sprintf(" %d", it.to+1)
		return does
	}
	return append(does, fmt.Sprintf("%s -> %d", it.text, it.to+1))
}

// name puts a cause into words.
func (x *explorer) name(id uint32, c cause) string {
	l := x.locals[id]
	switch c.kind {
	case delivery:
		if x.items[c.arg].invitation != nil {
			return "comes with an empty disk"
		}
		if x.items[c.arg].message == nil {
			return "installs " + x.items[c.arg].text
		}
		return fmt.Sprintf("<- %d %s", x.items[c.arg].from+1, x.items[c.arg].text)
	case takeOver:
		return "takes over"
	case command:
		return fmt.Sprintf("is given command %s", l.command())
	case gather:
		var answers []string
		for _, it := range x.sequences[c.arg] {
			answers = append(answers, fmt.Sprintf("<- %d %s", x.items[it].from+1, x.items[it].text))
		}
		return strings.Join(answers, ", ")
	case wish:
		wanted := x.world.members[l.node].changes[l.wishes]
		return fmt.Sprintf("is asked for members %v instead of epoch %d", wanted.to, wanted.replaces)
	case trim:
		return "trims what it has delivered"
	case read:
		return fmt.Sprintf("is given read %d", l.reads+1)
	case sync:
		return fmt.Sprintf("syncs %d of %d records", c.arg, len(l.log)-l.durable)
	case crash:
		return fmt.Sprintf("crashes with %d of %d unsynced records kept, and restarts", c.arg, len(l.log)-l.durable)
	case losing:
		return "crashes and restarts without " + describeRecord(l.log[c.arg])
	}
	return fmt.Sprintf("is asked by node %d what is chosen", c.arg+1)
}
