package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/internal/load"
)

// The stages. Cells of the same stage stand together in the list of cells.
const (
	loadStage    = "load"
	storeStage   = "store"
	killStage    = "kill"
	libraryStage = "library"
)

// memberCount is how many members a cluster has, unless that is what is measured.
const memberCount = 3

// bed is where cells are measured: the programs, and the clusters of the stage.
type bed struct {
	bin, work string // folders: programs, and the members' data
	scale     scale
	lock      io.Closer // of the folder that work is in

	stage    string
	clusters map[string]*cluster // by contender
	filled   map[string]int      // by contender: how many keys have been put in order
	peaks    map[string]float64  // by contender: most puts in a second, once measured
	made     int                 // clusters so far
}

// enter begins a stage: the clusters of the last one go.
func (b *bed) enter(stage string) error {
	if b.stage == stage {
		return nil
	}
	b.stage = stage
	return b.clear()
}

// clear stops all clusters and removes their data.
func (b *bed) clear() error {
	var errs []error
	for _, c := range b.clusters {
		errs = append(errs, c.remove())
	}
	b.clusters, b.filled, b.peaks = map[string]*cluster{}, map[string]int{}, map[string]float64{}
	return errors.Join(errs...)
}

// cluster returns the stage's cluster of a contender, which it starts if need be.
func (b *bed) cluster(ctx context.Context, contender string) (*cluster, error) {
	if c := b.clusters[contender]; c != nil {
		return c, nil
	}
	c, err := b.fresh(ctx, contender, memberCount)
	if err == nil {
		b.clusters[contender] = c
	}
	return c, err
}

// fresh starts a cluster that is the caller's to remove.
func (b *bed) fresh(ctx context.Context, contender string, members int) (*cluster, error) {
	b.made++
	c, err := newCluster(contender, b.bin, filepath.Join(b.work, fmt.Sprint("cluster", b.made)), members)
	if err != nil {
		return nil, err
	}
	if _, err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

// fillBatch is how many keys are put by one transaction, of 128 that a server takes, where it does not matter how they came.
const fillBatch = 100

// fill brings the number of keys that have been put in order to keys.Count.
func (b *bed) fill(ctx context.Context, contender string, c *cluster, keys load.Keys) error {
	target, err := c.dial(ctx, 10)
	if err != nil {
		return err
	}
	defer target.Close()
	done := b.filled[contender]
	if done >= keys.Count {
		return nil
	}
	putMany := target.FillMany(keys, load.NewValues(valueBytes), fillBatch)
	first, batches := done/fillBatch, (keys.Count+fillBatch-1)/fillBatch
	plan := load.Plan{Clients: 16, Requests: batches - first, Timeout: requestBound}
	r := load.Run(ctx, plan, func(ctx context.Context, client, n int) error { return putMany(ctx, client, n+first) })
	b.filled[contender] = keys.Count
	return failure(r)
}

const (
	// valueBytes is the size of a value, unless that is what is measured.
	valueBytes = 256
	// requestBound is how long one request may take before it has failed.
	requestBound = 30 * time.Second
)

// drive makes requests at a cluster and measures them, and what they cost it.
func (b *bed) drive(ctx context.Context, c *cluster, plan load.Plan, request load.Request) (figures, *load.Result, error) {
	plan.Warm, plan.Duration, plan.Timeout = b.scale.seconds/5, b.scale.seconds, requestBound
	var r *load.Result
	f, err := c.metered(func() (figures, float64, error) {
		running := load.Begin(ctx, plan, request)
		r = running.Wait()
		return figuresOf(r), float64(running.Answered()), errors.Join(failure(r), ctx.Err())
	})
	return f, r, err
}

// failure is an error if any request has failed: then the figures mean nothing.
func failure(r *load.Result) error {
	if r.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d requests failed, one of them with: %w", r.Failed, r.Failed+r.Count(), r.Err)
}

func figuresOf(r *load.Result) figures {
	return figures{
		throughput: r.Throughput(), mean: ms(r.Mean()), p50: ms(r.Quantile(.5)), p99: ms(r.Quantile(.99)), p999: ms(r.Quantile(.999)), longest: ms(r.Quantile(1)),
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// distribution is what the report draws of latencies.
func distribution(r *load.Result) []quantile {
	var all []quantile
	for _, q := range []float64{0, .1, .25, .5, .75, .9, .95, .99, .995, .999, .9995, .9999} {
		all = append(all, quantile{q, ms(r.Quantile(q))})
	}
	return all
}

// rest leaves the members alone for a time, in which they can put in order what has been written.
func (b *bed) rest(ctx context.Context) error {
	timer := time.NewTimer(b.scale.rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newBed makes a bed whose members keep their data under dir, which it takes for itself: two benches at once would measure each other. What one has
// left there that was killed is removed.
func newBed(bin, dir string, s scale) (*bed, error) {
	lock, err := disk.OS().Lock(dir)
	if errors.Is(err, disk.ErrLocked) {
		return nil, fmt.Errorf("another bench runs in %s; wait until it has ended", dir)
	}
	if err != nil {
		return nil, err
	}
	b := &bed{bin: bin, work: filepath.Join(dir, "run"), scale: s, lock: lock}
	if err := errors.Join(os.RemoveAll(b.work), os.MkdirAll(b.work, 0o700), b.clear()); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// close stops everything and removes the members' data.
func (b *bed) close() error { return errors.Join(b.clear(), os.RemoveAll(b.work), b.lock.Close()) }
