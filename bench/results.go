package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// conditions are those under which a cell was measured.
type conditions struct {
	Date    time.Time
	Commit  string
	Mode    string  // quick or full
	Machine string  // processor, memory, kernel, load
	Cores   int     // that Go may use
	Go      string  // version
	SyncP50 float64 // what an fdatasync of 4 KiB took before the first cell, in ms
	SyncP99 float64
}

// conditionsNow are those of a bench that begins now, on the disk that dir is on.
func conditionsNow(ctx context.Context, dir string, s scale) (conditions, error) {
	syncs, err := syncLatencies(dir)
	if err != nil {
		return conditions{}, err
	}
	return conditions{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx), Mode: s.String(), Machine: machine(), Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		SyncP50: ms(syncs[len(syncs)/2]), SyncP99: ms(syncs[len(syncs)*99/100]),
	}, nil
}

// measured is what is known of one cell.
type measured struct {
	Conditions conditions
	Failure    string `json:",omitempty"` // why it has not all its runs
	Runs       []run
}

// results are the cells that have been measured, by name. They are kept in a file, so that a later bench of some cells leaves the others.
type results map[string]*measured

const resultsFile = "results.json"

// readResults returns what the folder has, which is nothing at first.
func readResults(dir string) (results, error) {
	all := results{}
	text, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s in %s is not what a bench wrote: %w; remove it", resultsFile, dir, err)
	}
	return all, nil
}

func (r results) write(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, resultsFile), append(text, '\n'), 0o644)
}

// values are a contender's values of a figure at one point, by round.
func (m *measured) values(contender string, x float64, name figure) map[int]float64 {
	values := map[int]float64{}
	for _, r := range m.Runs {
		if value, has := r.Figures[name]; has && r.Contender == contender && r.X == x {
			values[r.Round] = value
		}
	}
	return values
}

// ratios are those of two contenders in each round that both have.
func (m *measured) ratios(contender, other string, x float64, name figure) map[int]float64 {
	values, others := m.values(contender, x, name), m.values(other, x, name)
	ratios := map[int]float64{}
	for round, value := range values {
		if divisor := others[round]; divisor > 0 {
			ratios[round] = value / divisor
		}
	}
	return ratios
}

// spread is the median of the values of several rounds, and their range.
type spread struct {
	median, low, high float64
	count             int
}

func spreadOf(values map[int]float64) spread {
	sorted := slices.Sorted(maps.Values(values))
	n := len(sorted)
	if n == 0 {
		return spread{}
	}
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1], n}
}

// text is the spread in a format for numbers; a dash if there are none.
func (s spread) text(format string) string {
	switch s.count {
	case 0:
		return "–"
	case 1:
		return fmt.Sprintf(format, s.median)
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.median, s.low, s.high)
}
