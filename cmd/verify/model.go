package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/runledger"
	"synod.dev/synod/modelcheck"
)

// modelOptions say which worlds are explored.
type modelOptions struct {
	world     string
	large     bool
	all       bool
	golden    bool
	live      int
	statesMax int
}

func newModel(b *bench) *cobra.Command {
	var o modelOptions
	c := &cobra.Command{
		Use:   "model",
		Short: "Explore every behaviour of small clusters",
		Long: `Explore worlds of a few members, slots, ballots, crashes and lost records in every order of events, with the real core.

Besides the rules it checks that each world still has the figures that golden.txt in modelcheck has of it: a change of the core that changes what can
happen does not pass unnoticed.

The worlds:
` + worldList(),
		Example: `  go run ./cmd/verify model
  go run ./cmd/verify model --large
  go run ./cmd/verify model --all
  go run ./cmd/verify model --world ` + fmt.Sprintf("%q", modelcheck.Worlds()[0].Name),
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return b.model(c.Context(), o) },
	}
	c.Flags().StringVar(&o.world, "world", "", "only the world of this name")
	c.Flags().BoolVar(&o.large, "large", false, "the large worlds as well: minutes, and a gigabyte")
	c.Flags().BoolVar(&o.all, "all", false, "all worlds, the vast ones as well: minutes each, and gigabytes")
	c.Flags().BoolVar(&o.golden, "golden", true, "compare the figures with the committed ones")
	c.Flags().IntVar(&o.live, "live", 997, "from every so many states let the cluster go on without faults, and see that it gets its work done; 0 for none")
	c.Flags().IntVar(&o.statesMax, "states", 0, "give up on a world at this many states; 0 for no bound")
	return c
}

// size returns that of the largest worlds asked for.
func (o modelOptions) size() modelcheck.Size {
	switch {
	case o.all:
		return modelcheck.Vast
	case o.large:
		return modelcheck.Large
	}
	return modelcheck.Small
}

func worldList() string {
	var list strings.Builder
	for _, w := range modelcheck.Worlds() {
		fmt.Fprintf(&list, "  %s%s: %s\n", w.Name, [...]string{"", " (large)", " (vast)"}[w.Size], w.About)
	}
	return list.String()
}

func (b *bench) model(ctx context.Context, o modelOptions) error {
	began := time.Now()
	run := runledger.Entry{Layer: "model"}
	worlds := 0
	var violation error
	for _, w := range modelcheck.Worlds() {
		if o.world != "" && w.Name != o.world || o.world == "" && w.Size > o.size() {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		worlds++
		r, err := b.explore(w, o)
		run.States += int64(r.States)
		run.Events += int64(r.Transitions)
		if violation = err; violation != nil {
			break
		}
	}
	if worlds == 0 {
		return usageError{fmt.Errorf("there is no world %q; see verify model --help", o.world)}
	}
	run.Seconds = time.Since(began).Seconds()
	return b.finish(run, fmt.Sprintf("%d worlds, %d states, %d transitions", worlds, run.States, run.Events), violation)
}

// explore explores one world.
func (b *bench) explore(w modelcheck.World, o modelOptions) (modelcheck.Result, error) {
	r, err := w.Explore(modelcheck.Options{StatesMax: o.statesMax, Live: o.live, Progress: func(states, depth, front int) {
		b.progress("model: %s: %d states, depth %d, %d to go on from", w.Name, states, depth, front)
	}})
	switch {
	case err != nil:
		return r, fmt.Errorf("world %q: %w", w.Name, err)
	case r.Counterexample != nil:
		return r, errors.New(r.Counterexample.String())
	}
	fmt.Fprintf(b.stderr, "model: %s: %d states, depth %d, %.1f s\n", w.Name, r.States, r.Depth, r.Elapsed.Seconds())
	if o.golden {
		err = w.Compare(r)
	}
	return r, err
}
