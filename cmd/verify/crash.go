package main

import (
	"math"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/crashimage"
	"synod.dev/synod/internal/runledger"
)

func newCrash(b *bench) *cobra.Command {
	var o crashimage.Options
	var minutes float64
	c := &cobra.Command{
		Use:   "crash",
		Short: "Recover the log from every image that a power cut can leave",
		Long: `Let the real log live on a disk in memory, cut the power before each call of the disk, build the images that this can leave,
and have each recovered and judged by what the log had acknowledged.

Life 0 is written by hand and has everything in it; the others are random, each from its number. A violation names its life:
--life replays it.`,
		Example: `  go run ./cmd/verify crash --images 100000
  go run ./cmd/verify crash --life 1234 --lives 1`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if minutes > 0 {
				o.Images = math.MaxInt
			}
			return b.crash(c, o, minutes)
		},
	}
	c.Flags().IntVar(&o.Images, "images", 100_000, "stop after this many distinct images")
	c.Flags().Uint64Var(&o.Life, "life", 0, "the first life")
	c.Flags().IntVar(&o.Lives, "lives", 0, "live at most this many lives; 0 for as many as it takes")
	c.Flags().Float64Var(&minutes, "minutes", 0, "go on for this long instead")
	return c
}

func (b *bench) crash(c *cobra.Command, o crashimage.Options, minutes float64) error {
	ctx, cancel := deadline(c.Context(), minutes)
	defer cancel()
	if !c.Flags().Changed("life") {
		first, err := b.resume("crash", 0)
		if err != nil {
			return err
		}
		o.Life = first
	}
	began := time.Now()
	o.Progress = func(images int, life uint64) { b.progress("crash: %d images, life %d", images, life) }
	r := crashimage.Run(ctx, o)
	return b.finish(runledger.Entry{
		Layer: "crash", First: o.Life, Next: r.Next, Events: int64(r.Calls), Faults: int64(r.Faults), States: int64(r.Images),
		Seconds: time.Since(began).Seconds(),
	}, r.String(), r.Violation)
}
