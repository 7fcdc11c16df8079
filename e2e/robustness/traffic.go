package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/tests/v3/robustness/client"
	"go.etcd.io/etcd/tests/v3/robustness/identity"
	"go.etcd.io/etcd/tests/v3/robustness/report"
	"go.etcd.io/etcd/tests/v3/robustness/traffic"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// trafficKeys is how many keys the traffic goes round.
	trafficKeys = 10
	// finalAttempts is how often the last write is attempted: a leader may change at any time.
	finalAttempts = 10
	// patience bounds the time until every member's watch has seen everything.
	patience = time.Minute
)

// etcdTraffic is etcd's robustness traffic against a cluster.
type etcdTraffic struct {
	log       *zap.Logger
	traffic   traffic.Traffic
	endpoints []string
	ids       identity.Provider
	began     time.Time
}

// run makes requests while during runs, and watches all of what happens from every member. It returns what all clients recorded.
func (r *etcdTraffic) run(during func()) ([]report.ClientReport, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	requests, watches := client.NewSet(r.ids, r.began), client.NewSet(r.ids, r.began)
	defer requests.Close()
	defer watches.Close()
	if err := traffic.CheckEmptyDatabaseAtStart(ctx, r.log, r.endpoints, requests); err != nil {
		return nil, err
	}
	last := make(chan int64, 1)
	watched := make(chan error, 1)
	go func() {
		watched <- client.CollectClusterWatchEvents(ctx, client.CollectClusterWatchEventsParam{
			Lg: r.log, Endpoints: r.endpoints, MaxRevisionChan: last, ClientSet: watches,
		})
	}()
	if err := r.request(ctx, requests, during); err != nil {
		return nil, err
	}
	last <- report.OperationsMaxRevision(requests.Reports())
	close(last)
	select {
	case err := <-watched:
		if err != nil {
			return nil, fmt.Errorf("watching every member to the end: %w", err)
		}
	case <-time.After(patience):
		return nil, errors.New("a member's watch does not come to the end of what has happened")
	}
	return slices.Concat(requests.Reports(), watches.Reports()), nil
}

// request makes requests, watches and compactions while during runs, and a last write that must succeed.
func (r *etcdTraffic) request(ctx context.Context, set *client.ClientSet, during func()) error {
	var (
		profile = traffic.KeyValueMedium
		limiter = rate.NewLimiter(rate.Limit(profile.MaximalQPS), profile.BurstableQPS)
		keys    = traffic.NewKeyStore(trafficKeys, "key")
		storage = traffic.NewKubernetesStorage()
		finish  = make(chan struct{})
		running sync.WaitGroup
	)
	err := errors.Join(traffic.SimulateKeyValueTraffic(ctx, &running, &profile, r.endpoints, set, r.traffic, traffic.RunTrafficLoopParam{
		QPSLimiter: limiter, IDs: r.ids, LeaseIDStorage: identity.NewLeaseIDStorage(), KeyStore: keys, Storage: storage, Finish: finish,
		NonUniqueRequestConcurrencyLimiter: traffic.NewConcurrencyLimiter(profile.MaxNonUniqueRequestConcurrency),
	}),
		traffic.SimulateWatchTraffic(ctx, &running, &traffic.WatchDefault, r.endpoints, set, r.traffic, traffic.RunWatchLoopParam{
			Config: traffic.WatchDefault, QPSLimiter: limiter, KeyStore: keys, Storage: storage, Finish: finish, Logger: r.log,
		}))
	compactor, failed := set.NewClient(r.endpoints)
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	running.Go(func() { compact(ctx, compactor, finish) })
	during()
	close(finish)
	running.Wait()
	final, err := set.NewClient(r.endpoints)
	if err != nil {
		return err
	}
	for attempt := range finalAttempts {
		if _, err = final.Put(ctx, "tombstone", strconv.Itoa(attempt)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the last write, attempted %d times: %w", finalAttempts, err)
}

// compact compacts now and then, as etcd's own loop does, up to a revision that is not there yet at most. Etcd's panics when the member that it asks is another one by then, which has not come as far.
func compact(ctx context.Context, c *client.RecordingClient, finish <-chan struct{}) {
	defer c.Close()
	const ahead = 5
	last := int64(2)
	ticker := time.NewTicker(traffic.CompactionDefault.Period)
	defer ticker.Stop()
	for {
		select {
		case <-finish:
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, traffic.RequestTimeout)
		status, err := c.Status(bounded, c.Endpoints()[0])
		cancel()
		if err != nil || status.Header.Revision+ahead <= last {
			continue
		}
		revision := last + rand.Int64N(status.Header.Revision+ahead-last)
		if _, err := c.Compact(ctx, revision); err == nil {
			last = revision
		}
	}
}
