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
		v := verdict{cell: c.name, demand: b.String(), held: true}
		candidates := []map[int]float64{m.values(synod, 0, b.figure)}
		if len(b.against) > 0 {
			candidates = nil
			for _, other := range b.against {
				candidates = append(candidates, m.ratios(synod, other, 0, b.figure))
			}
		}
		for i, values := range candidates {
			s := spreadOf(values)
			if s.count == 0 {
				v.value, v.held = spread{}, false
				break
			}
			if i == 0 || b.worse(s.median, v.value.median) {
				v.value = s
			}
			v.held = v.held && b.holds(s.median)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
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
		return fmt.Sprintf("%s %s", heading, limit)
	case 1:
		return fmt.Sprintf("%s %s × %s", heading, limit, nameOf(b.against[0]))
	}
	var names []string
	for _, other := range b.against {
		names = append(names, nameOf(other))
	}
	return fmt.Sprintf("%s %s × the best of %s", heading, limit, strings.Join(names, ", "))
}

// nameOf is what a contender is called in the report.
func nameOf(contender string) string {
	names := map[string]string{
		synod: "Synod", etcd: "etcd", nothing: "do-nothing", etcdraft: "etcd-io/raft with etcd's log", dragonboat: "dragonboat v4", hashicorp: "hashicorp/raft with raft-wal",
	}
	return names[contender]
}
