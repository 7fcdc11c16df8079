package main

import (
	"context"
	"errors"

	"synod.dev/synod/internal/load"
)

const (
	// equalSources connections have equalClients requests under way each, and one has greedyClients.
	equalSources, equalClients, greedyClients = 10, 32, 1024
)

func fairnessCells() []*cell {
	return []*cell{{
		name: "fairness", title: "Ten equal clients with 32 requests under way each, beside one with 1,024", stage: loadStage, contenders: []string{synod, etcd},
		columns: []figure{throughput, jain, jainAll, greedy, p99, cpu, peak},
		bars:    []bar{{figure: jain, atLeast: .99}},
		measure: measureFairness,
	}}
}

// measureFairness loads a cluster from equal connections and one that asks for much more. The index is that of the equal ones, 1 if all get the same;
// with the greedy one included it is 1 if that gets no more than each of them, and greedy is how much more it gets.
func measureFairness(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	f, err := c.metered(func() (figures, float64, error) {
		results, answered, err := b.compete(ctx, c)
		if err != nil {
			return nil, 0, err
		}
		return fairnessOf(results), float64(answered), nil
	})
	return run{Figures: f}, err
}

// compete returns what each source got, the greedy one last, and how many requests were answered in all.
func (b *bed) compete(ctx context.Context, c *cluster) (results []*load.Result, answered int64, err error) {
	leader, err := c.leader(ctx) // all go there, or those who are nearer to it would get more
	if err != nil {
		return nil, 0, err
	}
	var targets []*load.Target
	for range equalSources + 1 {
		target, err := dial(ctx, []string{leader.client}, 1)
		if err != nil {
			return nil, 0, err
		}
		defer target.Close()
		targets = append(targets, target)
	}
	var running []*load.Running
	for i, target := range targets {
		plan := load.Plan{Clients: equalClients, Warm: b.scale.seconds / 2, Duration: b.scale.seconds, Timeout: requestBound}
		if i == equalSources {
			plan.Clients = greedyClients
		}
		running = append(running, load.Begin(ctx, plan, target.Put(benchKeys, load.NewValues(valueBytes))))
	}
	failed := ctx.Err()
	for _, r := range running {
		result := r.Wait()
		results = append(results, result)
		answered += r.Answered()
		failed = errors.Join(failed, failure(result))
	}
	return results, answered, failed
}

// fairnessOf are the figures of competing sources, of which the last is the greedy one.
func fairnessOf(results []*load.Result) figures {
	f, shares := figures{}, []float64{}
	for i, r := range results {
		shares = append(shares, r.Throughput())
		f[throughput] += r.Throughput()
		if i < len(results)-1 {
			f[p99] = max(f[p99], ms(r.Quantile(.99)))
		}
	}
	equal, most := shares[:len(shares)-1], shares[len(shares)-1]
	f[jain], f[jainAll] = jainIndex(equal), jainIndex(shares)
	f[greedy] = most / ((f[throughput] - most) / float64(len(equal)))
	return f
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
