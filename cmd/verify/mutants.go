package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/runledger"
	"synod.dev/synod/mutants"
)

// mutantOptions say which mutants are run against what.
type mutantOptions struct {
	third     int
	only      string
	allLayers bool
	table     bool
}

func newMutants(b *bench) *cobra.Command {
	var o mutantOptions
	c := &cobra.Command{
		Use:   "mutants",
		Short: "Break each rule on purpose and see that it is noticed",
		Long: `Build the code with every mutant in it, and run each against the cheapest check that is known to kill it. A mutant that survives is a failure, and so
is one that does not fit the code any more. Canaries prove first that the alarm works.

With --all-layers each is run against every layer, which takes hours; with --table docs/mutants.md is written from what was run.`,
		Example: `  go run ./cmd/verify mutants
  go run ./cmd/verify mutants --third 1
  go run ./cmd/verify mutants --only vote`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.third < 0 || o.third > 4:
				return usageError{errors.New("--third is 1, 2 or 3, or 4 for the day's; see verify mutants --help")}
			case o.table && (o.third != 0 || o.only != ""):
				return usageError{errors.New("--table needs all mutants: leave out --third and --only")}
			}
			return b.mutants(c.Context(), o)
		},
	}
	c.Flags().IntVar(&o.third, "third", 0, "only this third, 1 to 3; 4 for another one each day; 0 for all")
	c.Flags().StringVar(&o.only, "only", "", "only mutants whose name, or the file that they break, contains this")
	c.Flags().BoolVar(&o.allLayers, "all-layers", false, "run each against every layer")
	c.Flags().BoolVar(&o.table, "table", false, "write docs/mutants.md")
	return c
}

// selected returns the mutants asked for.
func (o mutantOptions) selected() []mutants.Mutant {
	all := mutants.All()
	switch o.third {
	case 0:
	case 4:
		all = mutants.Third(all, time.Now().YearDay())
	default:
		all = mutants.Third(all, o.third-1)
	}
	var selected []mutants.Mutant
	for _, m := range all {
		if strings.Contains(m.ID, o.only) || strings.Contains(m.File, o.only) {
			selected = append(selected, m)
		}
	}
	return selected
}

func (b *bench) mutants(ctx context.Context, o mutantOptions) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "synod-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	selected := o.selected()
	if len(selected) == 0 {
		return usageError{fmt.Errorf("no mutant's name contains %q", o.only)}
	}
	began := time.Now()
	program, err := mutants.Compile(ctx, root, work, mutants.All())
	if err != nil {
		return err
	}
	fmt.Fprintf(b.stderr, "mutants: %d in one build after %.0f s\n", len(mutants.All()), time.Since(began).Seconds())
	if err := program.CheckAlarm(ctx); err != nil {
		return err
	}
	results, err := b.runMutants(ctx, program, selected, o.allLayers)
	if err != nil {
		return err
	}
	if o.table {
		if err := os.WriteFile(filepath.Join(root, "docs", "mutants.md"), mutants.Table(results), 0o644); err != nil {
			return err
		}
	}
	var survivors []string
	for _, r := range results {
		if !r.Died() {
			survivors = append(survivors, r.Mutant.ID)
		}
	}
	var violation error
	if len(survivors) > 0 {
		violation = fmt.Errorf("%d of %d survive: %s: a check is missing", len(survivors), len(results), strings.Join(survivors, ", "))
	}
	run := runledger.Entry{Layer: "mutants", States: int64(len(results)), Seconds: time.Since(began).Seconds()}
	return b.finish(run, fmt.Sprintf("%d broken rules, each noticed", len(results)), violation)
}

// runMutants runs as many at once as there are processors.
func (b *bench) runMutants(ctx context.Context, p *mutants.Program, selected []mutants.Mutant, allLayers bool) ([]mutants.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]mutants.Result, len(selected))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				r, err := p.Try(ctx, selected[i], allLayers)
				if err != nil {
					cancel(err)
					continue
				}
				results[i] = r
				fmt.Fprintf(b.stderr, "mutants: %d/%d %s\n", i+1, len(selected), r)
			}
		})
	}
	for i := range selected {
		next <- i
	}
	close(next)
	workers.Wait()
	return results, context.Cause(ctx)
}
