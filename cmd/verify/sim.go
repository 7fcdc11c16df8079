package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/sim"
)

// simOptions say which seeds are played.
type simOptions struct {
	seeds    uint64
	base     uint64
	minutes  float64
	steps    int
	shrink   bool
	trace    bool
	schedule string
}

func newSim(b *bench) *cobra.Command {
	var o simOptions
	c := &cobra.Command{
		Use:   "sim",
		Short: "Play whole clusters in simulated time, under faults, from seeds",
		Long: `Play clusters of real replicas and logs in simulated time. A seed draws everything: the cluster, the network, the disks, the clocks, the faults and the requests. The
same seed gives the same run on every machine.

It stops at the first violation, with the command that plays that seed again and with a shortened schedule of what was done to the cluster.
Without --seed-base the seeds begin at one from the clock, which is printed, or, with --ledger, after the last that has passed at this commit.`,
		Example: `  go run ./cmd/verify sim --seeds 1000
  go run ./cmd/verify sim --seed-base 4711 --seeds 1 --trace
  go run ./cmd/verify sim --schedule found.schedule
  go run ./cmd/verify sim --minutes 600 --ledger runs.ndjson`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.schedule != "" {
				return b.playSchedule(o)
			}
			return b.sim(c, o)
		},
	}
	c.Flags().Uint64Var(&o.seeds, "seeds", 1000, "how many seeds")
	c.Flags().Uint64Var(&o.base, "seed-base", 0, "the first seed")
	c.Flags().Float64Var(&o.minutes, "minutes", 0, "go on for this long instead")
	c.Flags().IntVar(&o.steps, "steps", 0, "events of a seed before everything must finish; 0 for 100,000")
	c.Flags().BoolVar(&o.shrink, "shrink", true, "shorten the schedule of a violation")
	c.Flags().BoolVar(&o.trace, "trace", false, "print each event of the one seed on stderr")
	c.Flags().StringVar(&o.schedule, "schedule", "", "play the schedule in this file and nothing else")
	return c
}

// simSlice is how many seeds are one line of the ledger: what an interruption can cost.
const simSlice = 1000

func (b *bench) sim(c *cobra.Command, o simOptions) error {
	ctx, cancel := deadline(c.Context(), o.minutes)
	defer cancel()
	if err := b.chooseSeeds(&o, c.Flags().Changed("seed-base")); err != nil {
		return err
	}
	began := time.Now()
	total := newPlayed(o.base)
	for (o.minutes > 0 || total.seeds < o.seeds) && ctx.Err() == nil {
		n := uint64(simSlice)
		if o.minutes == 0 {
			n = min(n, o.seeds-total.seeds)
		}
		slice := b.playSeeds(ctx, o, o.base+total.seeds, n)
		violation := b.explain(o, slice.violated)
		if err := b.record(slice.entry(), violation); err != nil {
			return err
		}
		if violation != nil {
			return violation
		}
		total.add(slice)
	}
	fmt.Fprint(b.stdout, total.counts())
	if err := total.unreached(); err != nil {
		return err
	}
	return b.conclude("sim", total.String(), time.Since(began), nil)
}

// chooseSeeds decides where to begin unless that was said.
func (b *bench) chooseSeeds(o *simOptions, said bool) error {
	if o.trace && o.seeds != 1 {
		return usageError{errors.New("--trace is for one seed: say --seeds 1")}
	}
	if !said {
		next, err := b.resume("sim", 0)
		if err != nil {
			return err
		}
		if o.base = next; next == 0 {
			o.base = uint64(time.Now().Unix()) << 16
		}
	}
	fmt.Fprintf(b.stderr, "sim: seeds from %d on\n", o.base)
	return nil
}

// playSeeds plays seeds on all processors until one is violated or ctx is done.
func (b *bench) playSeeds(ctx context.Context, o simOptions, first, n uint64) *played {
	var mu sync.Mutex
	all := newPlayed(first)
	next := first
	claim := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == first+n || all.violated != nil || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	began := time.Now()
	var players sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		players.Go(func() {
			for seed, ok := claim(); ok; seed, ok = claim() {
				r := sim.Run(sim.Options{Seed: seed, Steps: o.steps, Trace: b.traceTo(o)})
				mu.Lock()
				all.take(r)
				b.progress("sim: seed %d, %d seeds, %d events", seed, all.seeds, all.events)
				mu.Unlock()
			}
		})
	}
	players.Wait()
	all.seconds = time.Since(began).Seconds()
	return all
}

func (b *bench) traceTo(o simOptions) io.Writer {
	if o.trace {
		return b.stderr
	}
	return nil
}

// playSchedule plays one schedule again.
func (b *bench) playSchedule(o simOptions) error {
	f, err := os.Open(o.schedule)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	s, err := sim.ReadSchedule(f)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", o.schedule, err)}
	}
	began := time.Now()
	r := sim.Run(sim.Options{Schedule: s, Trace: b.traceTo(o)})
	one := newPlayed(s.Seed)
	one.take(r)
	return b.conclude("sim", one.String(), time.Since(began), r.Violation)
}

// explain says what a seed violated, how to play it again, and, shortened, what had been done to the cluster.
func (b *bench) explain(o simOptions, r *sim.Result) error {
	if r == nil {
		return nil
	}
	steps := ""
	if o.steps != 0 {
		steps = fmt.Sprintf(" --steps %d", o.steps)
	}
	said := fmt.Errorf("%w\nseed %d: go run ./cmd/verify sim --seeds 1 --seed-base %d%s", r.Violation, r.Seed, r.Seed, steps)
	if !o.shrink {
		return said
	}
	fmt.Fprintf(b.stderr, "sim: seed %d: %v: shortening its schedule\n", r.Seed, r.Violation)
	short := sim.Shrink(sim.Options{Seed: r.Seed, Steps: o.steps})
	var text strings.Builder
	if _, err := short.WriteTo(&text); err != nil {
		return errors.Join(said, err)
	}
	return fmt.Errorf("%w\nshortened, to be put in a file for --schedule:\n%s", said, text.String())
}
