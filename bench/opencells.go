package main

import (
	"context"
	"math"

	"synod.dev/synod/internal/load"
)

// The cells of this file are driven by our own driver, with its open loop.

// manyClients and manyConnections are for loads that are to be as high as they can be.
const manyClients, manyConnections = 1000, 100

// benchKeys are the keys of loads that are not about the size of the store.
var benchKeys = load.Keys{Prefix: "bench/", Count: 10_000}

func openCells() []*cell {
	two := []string{synod, etcd}
	return []*cell{
		{
			name: "put-half-rate", title: "Puts that fall due at half the rate that etcd reaches", stage: loadStage, contenders: two,
			columns: []figure{throughput, p50, p99, p999, longest, cpu, peak},
			bars:    []bar{{figure: p999, against: []string{etcd}, atMost: .5}},
			measure: measureHalfRate,
		},
		{
			name: "put-rates", title: "Puts that fall due at a rate: latency against throughput", stage: loadStage, contenders: two,
			columns: []figure{throughput, p50, p99, p999, cpu, peak},
			axis:    "rate over the highest of the same contender", points: []float64{.1, .25, .5, .6, .7, .8, .9, 1}, quickPoints: []float64{.25, .5, .75, .9}, rounds: 1,
			measure: measureAtRate,
		},
	}
}

// peakOf is how many puts a second a contender answers at most. It is measured once a stage.
func (b *bed) peakOf(ctx context.Context, contender string) (float64, error) {
	if b.peaks[contender] > 0 {
		return b.peaks[contender], nil
	}
	_, r, err := b.put(ctx, contender, load.Plan{Clients: manyClients})
	if err != nil {
		return 0, err
	}
	b.peaks[contender] = r.Throughput()
	return b.peaks[contender], nil
}

// put drives puts of benchKeys at the stage's cluster of a contender.
func (b *bed) put(ctx context.Context, contender string, plan load.Plan) (figures, *load.Result, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return nil, nil, err
	}
	target, err := c.dial(ctx, manyConnections)
	if err != nil {
		return nil, nil, err
	}
	defer target.Close()
	return b.drive(ctx, c, plan, target.Put(benchKeys, load.NewValues(valueBytes)))
}

// measureHalfRate has both contenders bear the same rate.
func measureHalfRate(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	highest, err := b.peakOf(ctx, etcd)
	if err != nil {
		return run{}, err
	}
	return b.putAtRate(ctx, contender, highest/2)
}

// measureAtRate has each bear a part of what it can.
func measureAtRate(ctx context.Context, b *bed, contender string, part float64) (run, error) {
	highest, err := b.peakOf(ctx, contender)
	if err != nil {
		return run{}, err
	}
	return b.putAtRate(ctx, contender, part*highest)
}

func (b *bed) putAtRate(ctx context.Context, contender string, rate float64) (run, error) {
	f, r, err := b.put(ctx, contender, load.Plan{Clients: manyClients, Rate: math.Ceil(rate)})
	if err != nil {
		return run{}, err
	}
	return run{Figures: f, Quantiles: distribution(r)}, nil
}
