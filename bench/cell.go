package main

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// The contenders.
const (
	synod   = "synod"
	etcd    = "etcd"
	nothing = "nothing" // a gRPC server that answers at once

	etcdraft   = "etcdraft" // libraries
	dragonboat = "dragonboat"
	hashicorp  = "hashicorp"
)

// figure is the name of something that a run yields. The report explains each by its entry in figureKinds.
type figure string

const (
	throughput figure = "throughput"
	mean       figure = "mean"
	p50        figure = "p50"
	p99        figure = "p99"
	p999       figure = "p99.9"
	longest    figure = "longest"
	cpu        figure = "cpu"
	peak       figure = "peak"
	resident   figure = "resident"
	events     figure = "events"
	took       figure = "took"
	started    figure = "started"
	without    figure = "without"
	kept       figure = "kept"
	jain       figure = "jain"
	jainAll    figure = "jain-all"
	greedy     figure = "greedy"
	away       figure = "away"
)

// figureKinds says how a figure is headed and printed.
var figureKinds = map[figure]struct{ heading, format string }{
	throughput: {"requests/s", "%.0f"},
	mean:       {"mean, ms", "%.2f"},
	p50:        {"p50, ms", "%.2f"},
	p99:        {"p99, ms", "%.2f"},
	p999:       {"p99.9, ms", "%.2f"},
	longest:    {"longest, ms", "%.1f"},
	cpu:        {"CPU s per 1,000", "%.4f"},
	peak:       {"peak RSS, MiB", "%.0f"},
	resident:   {"RSS, MiB", "%.0f"},
	events:     {"events/s", "%.0f"},
	took:       {"took, ms", "%.1f"},
	started:    {"until ready, s", "%.2f"},
	without:    {"requests/s without", "%.0f"},
	kept:       {"part that is kept", "%.2f"},
	jain:       {"Jain index", "%.4f"},
	jainAll:    {"greedy one included", "%.4f"},
	greedy:     {"greedy over equal", "%.2f"},
	away:       {"away, ms", "%.0f"},
}

// figures are what one run yields.
type figures map[figure]float64

// check refuses figures that are no numbers: nothing was answered, or in no time.
func (f figures) check() error {
	for name, value := range f {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return fmt.Errorf("the run has no %s: nothing was answered", name)
		}
	}
	return nil
}

// bar is what Synod's figure must reach.
type bar struct {
	figure  figure
	against []string // the ratio of Synod's figure to each of theirs; none for the figure itself
	atLeast float64  // one of both is set
	atMost  float64
}

// cell is one thing that is measured, by name.
type cell struct {
	name, title string
	stage       string // cells of one stage use the same clusters, one after the other
	contenders  []string
	columns     []figure
	bars        []bar

	// A growth is measured at several points, quickly or fully; once only, since it leaves things grown.
	axis        string // what grows; empty for a cell that is no growth
	points      []float64
	quickPoints []float64

	rounds  int // 0 for as many as the scale says
	measure func(ctx context.Context, b *bed, contender string, x float64) (run, error)
}

// run is one measurement of one contender.
type run struct {
	Round     int
	X         float64 `json:",omitempty"`
	Contender string
	Figures   figures
	Quantiles []quantile `json:",omitempty"` // the latency distribution, of cells that have one
}

// quantile is one point of a latency distribution: the fraction Q of the requests took at most MS milliseconds.
type quantile struct{ Q, MS float64 }

func (c *cell) pointsOf(s scale) []float64 {
	switch {
	case c.axis == "":
		return []float64{0}
	case s.full:
		return c.points
	}
	return c.quickPoints
}

func (c *cell) roundsOf(s scale) int {
	if c.rounds > 0 {
		return c.rounds
	}
	return s.rounds
}

// choose returns the cells whose names match one of the patterns, comma-separated; all for "".
func choose(all []*cell, patterns string) ([]*cell, error) {
	if patterns == "" {
		return all, nil
	}
	var chosen []*cell
	for pattern := range strings.SplitSeq(patterns, ",") {
		found := false
		for _, c := range all {
			matches, err := path.Match(pattern, c.name)
			if err != nil {
				return nil, fmt.Errorf("-only: %q is no pattern: %w", pattern, err)
			}
			if matches {
				found = true
				chosen = append(chosen, c)
			}
		}
		if !found {
			return nil, fmt.Errorf("-only: no cell matches %q; -list names them", pattern)
		}
	}
	slices.SortStableFunc(chosen, func(a, b *cell) int { return slices.Index(all, a) - slices.Index(all, b) })
	return slices.Compact(chosen), nil
}
