package main

import (
	"context"
	"errors"
	"fmt"

	"synod.dev/synod/internal/load"
)

// The cells of this file show how the cost of a put changes as something grows. Their stages are their own, so that nothing else has grown.

// growthClients put, on growthConnections, where that is not what grows.
const growthClients, growthConnections = 100, 10

func growthCells() []*cell {
	growth := func(name, title, axis string, points, quickPoints []float64, measure func(context.Context, *bed, string, float64) (run, error)) *cell {
		return &cell{
			name: "growth-" + name, title: title, stage: "growth-" + name, contenders: []string{synod, etcd}, rounds: 1,
			columns: []figure{throughput, p50, p99, cpu, peak}, axis: axis, points: points, quickPoints: quickPoints, measure: measure,
		}
	}
	return []*cell{
		growth("clients", "Put, more and more clients", "clients",
			[]float64{1, 4, 16, 64, 256, 1024, 4096}, []float64{1, 16, 256, 4096}, measureClients),
		growth("values", "Put, 16 clients, larger and larger values", "bytes of a value",
			[]float64{16, 256, 4 << 10, 64 << 10, 256 << 10, 1 << 20}, []float64{16, 4 << 10, 64 << 10, 1 << 20}, measureValues),
		growth("members", "Put, 100 clients, more and more members", "members",
			[]float64{1, 3, 5, 7}, []float64{1, 3, 5}, measureMembers),
		growth("watchers", "Put, 100 clients, more and more watchers of other keys", "watchers",
			[]float64{1, 100, 1000, 10_000, 100_000}, []float64{1, 1000, 20_000}, measureWatchers),
		growth("keys", "Put, 100 clients, more and more keys in the store", "keys",
			[]float64{10_000, 100_000, 1_000_000, 10_000_000}, []float64{10_000, 100_000, 300_000}, measureKeys),
	}
}

// putAt drives puts at a cluster.
func (b *bed) putAt(ctx context.Context, c *cluster, clients, connections int, keys load.Keys, values load.Values) (run, error) {
	target, err := c.dial(ctx, connections)
	if err != nil {
		return run{}, err
	}
	defer target.Close()
	f, _, err := b.drive(ctx, c, load.Plan{Clients: clients}, target.Put(keys, values))
	return run{Figures: f}, err
}

func measureClients(ctx context.Context, b *bed, contender string, clients float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	return b.putAt(ctx, c, int(clients), max(1, int(clients)/10), benchKeys, load.NewValues(valueBytes))
}

// measureValues begins with an empty store each time, or the history of large values would fill it.
func measureValues(ctx context.Context, b *bed, contender string, bytes float64) (run, error) {
	return b.putAtFresh(ctx, contender, memberCount, 16, 4, load.NewValues(int(bytes)))
}

func measureMembers(ctx context.Context, b *bed, contender string, members float64) (run, error) {
	return b.putAtFresh(ctx, contender, int(members), growthClients, growthConnections, load.NewValues(valueBytes))
}

// putAtFresh drives puts at a cluster that is there for that alone.
func (b *bed) putAtFresh(ctx context.Context, contender string, members, clients, connections int, values load.Values) (_ run, err error) {
	c, err := b.fresh(ctx, contender, members)
	if err != nil {
		return run{}, err
	}
	defer func() { err = errors.Join(err, c.remove()) }()
	return b.putAt(ctx, c, clients, connections, benchKeys, values)
}

// measureWatchers has each watcher watch a key of its own that nobody writes.
func measureWatchers(ctx context.Context, b *bed, contender string, n float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	target, err := c.dial(ctx, growthConnections)
	if err != nil {
		return run{}, err
	}
	defer target.Close()
	watchers, err := target.Watch(ctx, load.Keys{Prefix: "idle/", Count: 1}, load.OwnKey, int(n), min(int(n), 100))
	if err != nil {
		return run{}, err
	}
	defer watchers.Close()
	r, err := b.putAt(ctx, c, growthClients, growthConnections, benchKeys, load.NewValues(valueBytes))
	return r, errors.Join(err, watchers.Err())
}

func measureKeys(ctx context.Context, b *bed, contender string, n float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	keys := load.Keys{Prefix: "grown/", Count: int(n)}
	if err := b.fill(ctx, contender, c, keys); err != nil {
		return run{}, fmt.Errorf("cannot put %d keys: %w", keys.Count, err)
	}
	if err := b.rest(ctx); err != nil {
		return run{}, err
	}
	return b.putAt(ctx, c, growthClients, growthConnections, keys, load.NewValues(valueBytes))
}
