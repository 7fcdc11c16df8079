package main

import (
	"context"
	"fmt"
	"time"

	"synod.dev/synod/internal/load"
)

const (
	// audience is how many watchers watch one key, each on a stream of its own.
	audience = 1000
	// watchWriters is how many write that key at a time.
	watchWriters = 64
	// deliveryBound is how long events may take to reach all watchers.
	deliveryBound = 5 * time.Minute
)

func watchCells() []*cell {
	return []*cell{{
		name: "watch", title: "1,000 watchers of one key: events that reach them", stage: loadStage, contenders: []string{synod, etcd},
		columns: []figure{events, p50, p99, cpu, peak},
		bars:    []bar{{figure: events, against: []string{etcd}, atLeast: 3}},
		measure: measureWatch,
	}}
}

// measureWatch writes a key until all watchers have been told of every write. Requests, for what they cost, are the events.
func measureWatch(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	target, err := c.dial(ctx, 10)
	if err != nil {
		return run{}, err
	}
	defer target.Close()
	keys := load.Keys{Prefix: "watched/", Count: 1}
	watchers, err := target.Watch(ctx, keys, load.OneKey, audience, audience)
	if err != nil {
		return run{}, err
	}
	defer watchers.Close()
	f, err := c.metered(func() (figures, float64, error) {
		began := time.Now()
		r := load.Run(ctx, load.Plan{Clients: watchWriters, Requests: b.scale.puts, Timeout: requestBound}, target.Put(keys, load.NewValues(valueBytes)))
		if err := failure(r); err != nil {
			return nil, 0, err
		}
		want := int64(b.scale.puts * audience)
		if err := awaitEvents(ctx, watchers, want); err != nil {
			return nil, 0, err
		}
		f := figuresOf(r)
		f[events] = float64(want) / time.Since(began).Seconds()
		return f, float64(want), nil
	})
	return run{Figures: f}, err
}

func awaitEvents(ctx context.Context, w *load.Watchers, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, deliveryBound)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for w.Events() < want && w.Err() == nil {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d events came: %w", w.Events(), want, ctx.Err())
		}
	}
	return w.Err()
}
