package main

import (
	"fmt"
	"strings"
)

// verdict is whether a bar was held.
type verdict struct {
	cell   string
	demand string // the bar in words
	value  spread // a ratio, or the figure itself
	held   bool
}

// judge returns a verdict on each bar of a cell; one with no value if it was not measured. Against several contenders it is that against the best.
func judge(c *cell, m *measured) []verdict {
	var verdicts []verdict
	for _, b := range c.bars {
		worst := b.worst(m)
		verdicts = append(verdicts, verdict{cell: c.name, demand: b.String(), value: worst, held: worst.count > 0 && b.holds(worst.median)})
	}
	return verdicts
}

// worst is what is judged: the figure itself, or the ratio to that contender that is the hardest to beat. Nothing unless all were measured.
func (b bar) worst(m *measured) spread {
	if len(b.against) == 0 {
		return spreadOf(m.values(synod, 0, b.figure))
	}
	var worst spread
	for i, other := range b.against {
		s := spreadOf(m.ratios(synod, other, 0, b.figure))
		if s.count == 0 {
			return spread{}
		}
		if i == 0 || b.worse(s.median, worst.median) {
			worst = s
		}
	}
	return worst
}

func (b bar) holds(value float64) bool {
	if b.atMost > 0 {
		return value <= b.atMost
	}
	return value >= b.atLeast
}

func (b bar) worse(value, than float64) bool {
	if b.atMost > 0 {
		return value > than
	}
	return value < than
}

func (b bar) String() string {
	limit := fmt.Sprintf("at least %v", b.atLeast)
	if b.atMost > 0 {
		limit = fmt.Sprintf("at most %v", b.atMost)
	}
	heading := figureKinds[b.figure].heading
	switch len(b.against) {
	case 0:
		return fmt.Sprintf("%s: %s", heading, limit)
	case 1:
		return fmt.Sprintf("%s: %s × %s", heading, limit, nameOf(b.against[0]))
	}
	var names []string
	for _, other := range b.against {
		names = append(names, nameOf(other))
	}
	return fmt.Sprintf("%s: %s × the best of %s", heading, limit, strings.Join(names, ", "))
}

// nameOf is what a contender is called in the report.
func nameOf(contender string) string {
	names := map[string]string{
		synod: "Synod", etcd: "etcd", nothing: "do-nothing", etcdraft: "etcd-io/raft with etcd's log", dragonboat: "dragonboat v4", hashicorp: "hashicorp/raft with raft-wal",
	}
	return names[contender]
}
