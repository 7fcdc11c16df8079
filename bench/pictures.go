package main

import (
	"maps"
	"slices"
)

// picture is a plot with the name of its file.
type picture struct {
	plot
	file string
}

// plotsOf are the pictures of a cell.
func plotsOf(c *cell, m *measured) []picture {
	switch {
	case c.name == "put-rates":
		return []picture{{latencyAgainstThroughput(c, m), c.name + ".svg"}}
	case c.axis != "":
		return growthPlots(c, m)
	case slices.ContainsFunc(m.Runs, func(r run) bool { return len(r.Quantiles) > 0 }):
		return []picture{{latencyDistribution(c, m), c.name + ".svg"}}
	}
	return nil
}

// points are those at which a cell has been measured, from the lowest.
func (m *measured) points() []float64 {
	points := map[float64]bool{}
	for _, r := range m.Runs {
		points[r.X] = true
	}
	return slices.Sorted(maps.Keys(points))
}

func latencyAgainstThroughput(c *cell, m *measured) plot {
	p := plot{title: "Latency against throughput", xLabel: "puts that are answered in a second", yLabel: "ms", logY: true}
	for _, name := range []figure{p50, p99} {
		for _, contender := range c.contenders {
			s := series{name: contender + " " + string(name)}
			for _, x := range m.points() {
				rate, latency := spreadOf(m.values(contender, x, throughput)), spreadOf(m.values(contender, x, name))
				if rate.count > 0 {
					s.points = append(s.points, point{rate.median, latency.median})
				}
			}
			p.series = append(p.series, s)
		}
	}
	return p
}

// latencyDistribution has the quantiles of all rounds' medians: to the right, one request of so many.
func latencyDistribution(c *cell, m *measured) plot {
	p := plot{title: "Latency distribution", xLabel: "one request in so many takes longer", yLabel: "ms", logX: true, logY: true}
	for _, contender := range c.contenders {
		rounds := map[float64]map[int]float64{} // by quantile
		for _, r := range m.Runs {
			for _, q := range r.Quantiles {
				if r.Contender != contender {
					continue
				}
				if rounds[q.Q] == nil {
					rounds[q.Q] = map[int]float64{}
				}
				rounds[q.Q][r.Round] = q.MS
			}
		}
		s := series{name: contender}
		for _, q := range slices.Sorted(maps.Keys(rounds)) {
			s.points = append(s.points, point{1 / (1 - q), spreadOf(rounds[q]).median})
		}
		p.series = append(p.series, s)
	}
	return p
}

func growthPlots(c *cell, m *measured) []picture {
	var pictures []picture
	for _, shown := range []struct {
		name figure
		file string
		logY bool
	}{{throughput, "throughput", false}, {p99, "p99", true}, {cpu, "cpu", false}, {peak, "memory", false}} {
		p := plot{title: c.title, xLabel: c.axis, yLabel: figureKinds[shown.name].heading, logX: true, logY: shown.logY}
		for _, contender := range c.contenders {
			s := series{name: contender}
			for _, x := range m.points() {
				if v := spreadOf(m.values(contender, x, shown.name)); v.count > 0 {
					s.points = append(s.points, point{x, v.median})
				}
			}
			p.series = append(p.series, s)
		}
		pictures = append(pictures, picture{p, c.name + "-" + shown.file + ".svg"})
	}
	return pictures
}
