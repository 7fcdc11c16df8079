package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"synod.dev/synod/internal/load"
)

// The cells of this file are about a store with many keys, put one by one by many clients, as they come in practice.

// storeKeys are the keys of the big store.
func storeKeys(s scale) load.Keys { return load.Keys{Prefix: "store/", Count: s.keys} }

const (
	// repeats is how many times in a row a big read is measured, of which the median counts.
	repeats = 5
	// compactionClients put while a compaction is under way.
	compactionClients, compactionConnections = 100, 10
)

func storeCells(s scale) []*cell {
	two := []string{synod, etcd}
	count := grouped(s.keys)
	half := func(names ...figure) (bars []bar) {
		for _, name := range names {
			bars = append(bars, bar{figure: name, against: []string{etcd}, atMost: .5})
		}
		return bars
	}
	return []*cell{
		{
			name: "fill", title: "Put " + count + " keys of 256 bytes, 1,000 clients", stage: storeStage, contenders: two, rounds: 1,
			columns: []figure{throughput, p50, p99, p999, cpu, peak}, measure: measureFill,
		},
		{
			name: "memory", title: "Memory of a member with " + count + " keys, at rest", stage: storeStage, contenders: two, rounds: 1,
			columns: []figure{resident}, bars: half(resident), measure: measureMemory,
		},
		{
			name: "count", title: "Count " + count + " keys", stage: storeStage, contenders: two,
			columns: []figure{took, cpu, peak}, bars: []bar{{figure: took, against: []string{etcd}, atMost: .01}}, measure: measureCount,
		},
		{
			name: "list", title: "Read " + grouped(s.listed) + " of them with their values at once", stage: storeStage, contenders: two,
			columns: []figure{took, cpu, peak}, bars: half(took, peak), measure: measureList(false),
		},
		{
			name: "list-stream", title: "Read " + grouped(s.listed) + " of them with their values as a stream", stage: storeStage, contenders: two,
			columns: []figure{took, cpu, peak}, bars: half(took, peak), measure: measureList(true),
		},
		{
			name: "restart", title: "Stop three members with " + count + " keys and start them again", stage: storeStage, contenders: two,
			columns: []figure{started, resident}, bars: half(started), measure: measureRestart,
		},
		{
			name: "compact", title: "Put, 100 clients, while the history of " + count + " keys is compacted", stage: storeStage, contenders: two,
			columns: []figure{throughput, without, kept, took, p99, cpu, peak}, bars: []bar{{figure: kept, atLeast: .95}}, measure: measureCompaction,
		},
	}
}

// store returns the stage's cluster of a contender with the big store in it.
func (b *bed) store(ctx context.Context, contender string) (*cluster, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil || b.filled[contender] > 0 {
		return c, err
	}
	_, err = b.fillOneByOne(ctx, contender, c)
	return c, err
}

func (b *bed) fillOneByOne(ctx context.Context, contender string, c *cluster) (*load.Result, error) {
	target, err := c.dial(ctx, manyConnections)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	keys := storeKeys(b.scale)
	plan := load.Plan{Clients: manyClients, Requests: keys.Count, Timeout: requestBound}
	r := load.Run(ctx, plan, target.Fill(keys, load.NewValues(valueBytes)))
	if err := errors.Join(failure(r), ctx.Err()); err != nil {
		return nil, err
	}
	b.filled[contender] = keys.Count
	return r, nil
}

func measureFill(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	f, err := c.metered(func() (figures, float64, error) {
		r, err := b.fillOneByOne(ctx, contender, c)
		if err != nil {
			return nil, 0, err
		}
		return figuresOf(r), float64(r.Count()), nil
	})
	return run{Figures: f}, err
}

func measureMemory(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.store(ctx, contender)
	if err != nil {
		return run{}, err
	}
	if err := b.rest(ctx); err != nil {
		return run{}, err
	}
	now, _, err := c.memory()
	return run{Figures: figures{resident: now}}, err
}

func measureCount(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	keys := storeKeys(b.scale)
	return b.repeat(ctx, contender, func(t *load.Target) error {
		count, err := t.Count(ctx, keys)
		if err == nil && count != int64(keys.Count) {
			err = fmt.Errorf("%s counts %d keys of %d", contender, count, keys.Count)
		}
		return err
	})
}

func measureList(stream bool) func(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	return func(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
		return b.repeat(ctx, contender, func(t *load.Target) error {
			bytes, err := t.List(ctx, storeKeys(b.scale), b.scale.listed, stream)
			if err == nil && bytes < int64(b.scale.listed*valueBytes) {
				err = fmt.Errorf("%s lists %d bytes, which %d keys do not fit in", contender, bytes, b.scale.listed)
			}
			return err
		})
	}
}

// repeat measures the median time of a big read of the store, all of one member, and what it costs.
func (b *bed) repeat(ctx context.Context, contender string, read func(*load.Target) error) (run, error) {
	c, err := b.store(ctx, contender)
	if err != nil {
		return run{}, err
	}
	target, err := dial(ctx, c.endpoints()[:1], 1)
	if err != nil {
		return run{}, err
	}
	defer target.Close()
	f, err := c.metered(func() (figures, float64, error) {
		var times []float64
		for range repeats {
			began := time.Now()
			if err := read(target); err != nil {
				return nil, 0, err
			}
			times = append(times, ms(time.Since(began)))
		}
		slices.Sort(times)
		return figures{took: times[repeats/2]}, repeats, nil
	})
	return run{Figures: f}, err
}

func measureRestart(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.store(ctx, contender)
	if err != nil {
		return run{}, err
	}
	if err := c.stop(); err != nil {
		return run{}, err
	}
	duration, err := c.start(ctx)
	if err != nil {
		return run{}, err
	}
	if err := b.rest(ctx); err != nil {
		return run{}, err
	}
	now, _, err := c.memory()
	return run{Figures: figures{started: duration.Seconds(), resident: now}}, err
}

// measureCompaction gives every key a past, measures puts, compacts, and measures puts for as long as that takes.
func measureCompaction(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.store(ctx, contender)
	if err != nil {
		return run{}, err
	}
	b.filled[contender] = 0
	if err := b.fill(ctx, contender, c, storeKeys(b.scale)); err != nil {
		return run{}, err
	}
	target, err := c.dial(ctx, compactionConnections)
	if err != nil {
		return run{}, err
	}
	defer target.Close()
	put := target.Put(storeKeys(b.scale), load.NewValues(valueBytes))
	undisturbed, _, err := b.drive(ctx, c, load.Plan{Clients: compactionClients}, put)
	if err != nil {
		return run{}, err
	}
	f, err := c.metered(func() (figures, float64, error) { return putWhileCompacting(ctx, target, put) })
	if err != nil {
		return run{}, err
	}
	f[without] = undisturbed[throughput]
	f[kept] = f[throughput] / f[without]
	return run{Figures: f}, nil
}

func putWhileCompacting(ctx context.Context, target *load.Target, put load.Request) (figures, float64, error) {
	compacting, compacted := context.WithCancel(ctx)
	defer compacted()
	began := time.Now()
	running := load.Begin(compacting, load.Plan{Clients: compactionClients, Timeout: requestBound}, put)
	if err := target.Compact(ctx); err != nil {
		return nil, 0, err
	}
	duration := time.Since(began)
	compacted()
	r := running.Wait()
	f := figuresOf(r)
	f[took] = ms(duration)
	return f, float64(r.Count()), failure(r)
}
