package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synod.dev/synod/internal/load"
)

const (
	// probeBound is how long a client waits for an answer after the leader has died before it tries again.
	probeBound = 100 * time.Millisecond
	// probeRate is how often, in a second, the clients together do so at most.
	probeRate = 200
	// killWarmth is how long clients write before the leader is killed.
	killWarmth = time.Second
	// killClients write then.
	killClients = 20
)

func killCells(s scale) []*cell {
	return []*cell{{
		name: "kill-leader", title: "kill -9 of the leader: until a write succeeds that began after it", stage: killStage, contenders: []string{synod, etcd},
		columns: []figure{away}, rounds: s.kills, measure: measureKill,
	}}
}

// measureKill kills the leader under load, has a client of each other member try to write until one succeeds, and brings the killed one back.
func measureKill(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
	c, err := b.cluster(ctx, contender)
	if err != nil {
		return run{}, err
	}
	if err := writeAwhile(ctx, c); err != nil {
		return run{}, err
	}
	leader, err := c.leader(ctx)
	if err != nil {
		return run{}, err
	}
	survivors, err := c.without(leader).dial(ctx, memberCount-1)
	if err != nil {
		return run{}, err
	}
	defer survivors.Close()
	began := time.Now()
	if err := leader.kill(); err != nil {
		return run{}, err
	}
	gone, err := awaitWrite(ctx, survivors, began)
	if err != nil {
		return run{}, err
	}
	if err := leader.start(); err != nil {
		return run{}, err
	}
	return run{Figures: figures{away: ms(gone)}}, leader.awaitReady(ctx)
}

func writeAwhile(ctx context.Context, c *cluster) error {
	target, err := c.dial(ctx, killClients)
	if err != nil {
		return err
	}
	defer target.Close()
	return failure(load.Run(ctx, load.Plan{Clients: killClients, Duration: killWarmth, Timeout: requestBound}, target.Put(benchKeys, load.NewValues(valueBytes))))
}

// awaitWrite returns how long after began the first write succeeds, of one client for each connection of the target.
func awaitWrite(ctx context.Context, target *load.Target, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	first := make(chan time.Duration, 1)
	put := target.Put(benchKeys, load.NewValues(valueBytes))
	load.Run(ctx, load.Plan{Clients: memberCount - 1, Rate: probeRate, Timeout: probeBound}, func(ctx context.Context, client, n int) error {
		if err := put(ctx, client, n); err != nil {
			return err
		}
		select {
		case first <- time.Since(began):
		default:
		}
		cancel()
		return nil
	})
	select {
	case gone := <-first:
		return gone, nil
	default:
		return 0, fmt.Errorf("no write succeeds within %v of the leader's end", readyBound)
	}
}

// leader returns the member that leads and says so itself.
func (c *cluster) leader(ctx context.Context) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		for _, m := range c.members {
			if leads, err := m.leads(ctx); err == nil && leads {
				return m, nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, errors.New("no member says that it leads")
		}
	}
}

func (m *member) leads(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	target, err := load.Dial([]string{m.client}, 1, nil)
	if err != nil {
		return false, err
	}
	defer target.Close()
	return target.Leads(ctx)
}

// without is the cluster but for one member.
func (c *cluster) without(left *member) *cluster {
	others := &cluster{}
	for _, m := range c.members {
		if m != left {
			others.members = append(others.members, m)
		}
	}
	return others
}
