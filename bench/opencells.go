package main

import (
	"context"
	"math"
	"sync"

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
		{
			name: "fairness", title: "Ten equal clients with 32 requests under way each, beside one with 1,024", stage: loadStage, contenders: two,
			columns: []figure{throughput, jain, jainAll, greedy, p99, cpu, peak},
			bars:    []bar{{figure: jain, atLeast: .99}},
			measure: measureFairness,
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

const (
	equalSources, equalClients = 10, 32
	greedyClients              = 1024
)

// measureFairness loads a cluster from equal connections and one that asks for much more. The index is that of the equal ones, 1 if all get the same;
// with the greedy one included it is 1 if that gets no more than each of them, and greedy is how much more it gets.
func measureFairness(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	f, err := c.metered(func() (figures, float64, error) { return b.compete(ctx, c) })
	return run{Figures: f}, err
}

func (b *bed) compete(ctx context.Context, c *cluster) (figures, float64, error) {
	leader, err := c.leader(ctx) // all go there, or those who are nearer to it would get more
	if err != nil {
		return nil, 0, err
	}
	results := make([]*load.Result, equalSources+1) // the last is the greedy one
	var answered int64
	runs := make([]*load.Running, len(results))
	for i := range results {
		target, err := dial(ctx, []string{leader.client}, 1)
		if err != nil {
			return nil, 0, err
		}
		defer target.Close()
		plan := load.Plan{Clients: equalClients, Warm: b.scale.seconds / 2, Duration: b.scale.seconds, Timeout: requestBound}
		if i == equalSources {
			plan.Clients = greedyClients
		}
		runs[i] = load.Begin(ctx, plan, target.Put(benchKeys, load.NewValues(valueBytes)))
	}
	var waiting sync.WaitGroup
	for i, r := range runs {
		waiting.Go(func() { results[i] = r.Wait() })
	}
	waiting.Wait()
	f, shares := figures{}, []float64{}
	for i, r := range results {
		if err := failure(r); err != nil {
			return nil, 0, err
		}
		f[throughput] += r.Throughput()
		answered += runs[i].Answered()
		shares = append(shares, r.Throughput())
		if i < equalSources {
			f[p99] = max(f[p99], ms(r.Quantile(.99)))
		}
	}
	most := shares[equalSources]
	f[jain], f[jainAll], f[greedy] = jainIndex(shares[:equalSources]), jainIndex(shares), most/((f[throughput]-most)/equalSources)
	return f, float64(answered), ctx.Err()
}

// jainIndex is the fairness index of Jain, Chiu and Hawe (1984): 1 if all are alike, 1/n if one has everything.
func jainIndex(shares []float64) float64 {
	var sum, squares float64
	for _, share := range shares {
		sum += share
		squares += share * share
	}
	return sum * sum / (float64(len(shares)) * squares)
}
