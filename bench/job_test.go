package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newJob is one that measures cells in two rounds, and keeps its report in a folder of the test's.
func newJob(t *testing.T, cells ...*cell) *job {
	t.Helper()
	b := &bed{work: t.TempDir(), scale: scale{rounds: 2}}
	if err := b.clear(); err != nil {
		t.Fatal(err)
	}
	return &job{bed: b, out: t.TempDir(), chosen: cells, results: results{}, stderr: io.Discard}
}

// fakeCell records who is measured at what, and fails if asked to.
func fakeCell(name string, turns *[]string, fail error) *cell {
	return &cell{
		name: name, title: name, stage: loadStage, contenders: []string{synod, etcd}, columns: []figure{took}, axis: "x", quickPoints: []float64{1, 2},
		measure: func(_ context.Context, _ *bed, contender string, x float64) (run, error) {
			*turns = append(*turns, contender+short(x))
			return run{Figures: figures{took: x}}, fail
		},
	}
}

func TestContendersTakeTurnsTheOtherWayRoundEveryOtherRound(t *testing.T) {
	var turns []string
	c := fakeCell("c", &turns, nil)
	j := newJob(t, c)
	if err := j.measure(t.Context(), j.chosen); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(turns, " "), "synod1 etcd1 synod2 etcd2 etcd1 synod1 etcd2 synod2"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if runs := j.results["c"].Runs; len(runs) != 8 || runs[7].Round != 2 || runs[7].X != 2 || runs[7].Contender != synod || runs[7].Figures[took] != 2 {
		t.Errorf("%+v", runs)
	}
}

func TestCellThatFailsIsNamedAndLeavesTheOthersAlone(t *testing.T) {
	var turns []string
	j := newJob(t, fakeCell("bad", &turns, errors.New("no disk")), fakeCell("good", &turns, nil))
	if err := j.measure(t.Context(), j.chosen); err == nil || err.Error() != "not complete: bad" {
		t.Error(err)
	}
	kept, err := readResults(j.out)
	if err != nil || !strings.Contains(kept["bad"].Failure, "round 1, synod: no disk") || len(kept["good"].Runs) != 8 {
		t.Errorf("%v, %v", kept, err)
	}
	if report, err := os.ReadFile(filepath.Join(j.out, reportFile)); err != nil || !strings.Contains(string(report), "Not complete: round 1, synod: no disk") {
		t.Errorf("%s, %v", report, err)
	}
}

func TestRunInWhichNothingWasAnsweredHasFailed(t *testing.T) {
	var turns []string
	c := fakeCell("c", &turns, nil)
	c.measure = func(context.Context, *bed, string, float64) (run, error) {
		return run{Figures: figures{cpu: math.Inf(1), jain: jainIndex([]float64{0, 0})}}, nil
	}
	j := newJob(t, c)
	if err := j.measure(t.Context(), j.chosen); err == nil || !strings.Contains(j.results["c"].Failure, "nothing was answered") {
		t.Errorf("%v, %+v", err, j.results["c"])
	}
}

func TestInterruptedBenchKeepsTheOldFiguresOfTheCellItWasAt(t *testing.T) {
	var turns []string
	c := fakeCell("c", &turns, nil)
	j := newJob(t, c)
	old := &measured{Runs: []run{{Round: 1, Contender: synod, Figures: figures{took: 7}}}}
	j.results["c"] = old
	ctx, cancel := context.WithCancel(t.Context())
	c.measure = func(context.Context, *bed, string, float64) (run, error) { cancel(); return run{}, ctx.Err() }
	if err := j.measure(ctx, j.chosen); err == nil || !strings.Contains(err.Error(), "interrupted") || j.results["c"] != old {
		t.Errorf("%v, %+v", err, j.results["c"])
	}
}

func TestListNamesTheCellsAndMeasuresNothing(t *testing.T) {
	var stdout strings.Builder
	dir := t.TempDir()
	if err := (options{list: true, only: "growth-*", out: dir, dir: dir}).bench(t.Context(), &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(stdout.String(), "\n"); got != len(growthCells()) || !strings.Contains(stdout.String(), "growth-members") {
		t.Error(stdout.String())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
