package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryCellCanBeBuiltJudgedAndReported(t *testing.T) {
	for _, s := range []scale{quickScale, fullScale} {
		names := map[string]bool{}
		for _, c := range allCells(s) {
			if names[c.name] || c.name == "" || c.title == "" || c.measure == nil || c.roundsOf(s) < 1 {
				t.Errorf("cell %q is not whole, or there twice", c.name)
			}
			names[c.name] = true
			if len(c.pointsOf(s)) == 0 || !slices.IsSorted(c.pointsOf(s)) {
				t.Errorf("%s is measured at %v", c.name, c.pointsOf(s))
			}
			for _, f := range c.columns {
				if figureKinds[f].heading == "" {
					t.Errorf("%s: nobody can read %s", c.name, f)
				}
			}
			for _, b := range c.bars {
				if !slices.Contains(c.columns, b.figure) || (b.atLeast > 0) == (b.atMost > 0) || c.axis != "" {
					t.Errorf("%s: bar %s", c.name, b)
				}
				for _, other := range b.against {
					if !slices.Contains(c.contenders, other) {
						t.Errorf("%s: bar %s, but %s is not measured", c.name, b, other)
					}
				}
			}
			for _, name := range needed([]*cell{c}) {
				if !slices.ContainsFunc(programs, func(p program) bool { return p.name == name }) {
					t.Errorf("%s: nobody builds %s", c.name, name)
				}
			}
			for _, contender := range c.contenders {
				if nameOf(contender) == "" {
					t.Errorf("%s: %s has no name", c.name, contender)
				}
			}
			if !slices.ContainsFunc(sections, func(section struct{ heading, stage string }) bool { return strings.HasPrefix(c.stage, section.stage) }) {
				t.Errorf("%s is in no section of the report", c.name)
			}
		}
	}
}

func TestEveryProgramHasAModule(t *testing.T) {
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join("..", p.module, "go.mod")); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestCellsAreChosenByPatterns(t *testing.T) {
	all := []*cell{{name: "put-1"}, {name: "put-100"}, {name: "range-1"}, {name: "watch"}}
	for _, test := range []struct{ patterns, want, err string }{
		{"", "put-1 put-100 range-1 watch", ""},
		{"watch,put-1", "put-1 watch", ""},
		{"put-*", "put-1 put-100", ""},
		{"*-1,put-1", "put-1 range-1", ""},
		{"put", "", "no cell matches \"put\""},
		{"[", "", "no pattern"},
	} {
		chosen, err := choose(all, test.patterns)
		var names []string
		for _, c := range chosen {
			names = append(names, c.name)
		}
		if test.err == "" && (err != nil || strings.Join(names, " ") != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q: %v, %v", test.patterns, names, err)
		}
	}
}

func TestJainIndexIsOneAmongEqualsAndOneNthIfOneHasAll(t *testing.T) {
	for _, test := range []struct {
		shares []float64
		want   float64
	}{{[]float64{5, 5, 5, 5}, 1}, {[]float64{1, 0, 0, 0}, .25}, {[]float64{1, 3}, .8}} {
		if got := jainIndex(test.shares); got != test.want {
			t.Errorf("%v: %v, not %v", test.shares, got, test.want)
		}
	}
}
