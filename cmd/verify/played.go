package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"synod.dev/synod/internal/runledger"
	"synod.dev/synod/sim"
)

// played is what some seeds of the simulator amount to.
type played struct {
	first    uint64
	seeds    uint64 // played to their end, from first on
	events   int64
	answered int64            // requests
	faults   map[string]int64 // by kind; requests count as well, under write and read
	probes   map[string]int64 // rare situations
	seconds  float64
	violated *sim.Result // the first that was
}

func newPlayed(first uint64) *played {
	return &played{first: first, faults: map[string]int64{}, probes: map[string]int64{}}
}

// take adds one seed.
func (p *played) take(r sim.Result) {
	p.seeds++
	p.events += r.Events
	p.answered += r.Answered
	addCounts(p.faults, r.Faults)
	addCounts(p.probes, r.Probes)
	if r.Violation != nil && p.violated == nil {
		p.violated = &r
	}
}

// add adds the seeds that follow.
func (p *played) add(q *played) {
	p.seeds += q.seeds
	p.events += q.events
	p.answered += q.answered
	p.seconds += q.seconds
	addCounts(p.faults, q.faults)
	addCounts(p.probes, q.probes)
}

func addCounts(to, from map[string]int64) {
	for k, n := range from {
		to[k] += n
	}
}

// injected counts faults without the requests.
func (p *played) injected() (n int64) {
	for kind, count := range p.faults {
		if kind != sim.Write.String() && kind != sim.Read.String() {
			n += count
		}
	}
	return n
}

func (p *played) entry() runledger.Entry {
	return runledger.Entry{Layer: "sim", First: p.first, Next: p.first + p.seeds, Events: p.events, Faults: p.injected(), Seconds: p.seconds}
}

// String renders the figures.
func (p *played) String() string {
	return fmt.Sprintf("%d seeds from %d on, %d events, %d faults, %d requests answered", p.seeds, p.first, p.events, p.injected(), p.answered)
}

// probeSeeds is how many seeds must have injected every kind of fault and come by every rare situation that the simulator knows.
const probeSeeds = 1000

// unreached returns an error if so many seeds have never injected a kind of fault, or never come by a situation: what is never reached is not tested.
func (p *played) unreached() error {
	if p.seeds < probeSeeds {
		return nil
	}
	var never []string
	for _, counts := range []map[string]int64{p.faults, p.probes} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if counts[name] == 0 {
				never = append(never, name)
			}
		}
	}
	if len(never) > 0 {
		return fmt.Errorf("sim: %d seeds never came to: %s: they prove less than they say", p.seeds, strings.Join(never, ", "))
	}
	return nil
}

// counts renders how often each kind of fault was injected and each rare situation came up, by name.
func (p *played) counts() string {
	var text strings.Builder
	for _, table := range []struct {
		title  string
		counts map[string]int64
	}{{"requests and faults injected", p.faults}, {"situations", p.probes}} {
		fmt.Fprintf(&text, "%s:\n", table.title)
		for _, name := range slices.Sorted(maps.Keys(table.counts)) {
			fmt.Fprintf(&text, "%12d  %s\n", table.counts[name], name)
		}
	}
	return text.String()
}
