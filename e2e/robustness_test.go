package e2e

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/tests/v3/robustness/client"
	"go.etcd.io/etcd/tests/v3/robustness/identity"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/report"
	"go.etcd.io/etcd/tests/v3/robustness/traffic"
	"go.etcd.io/etcd/tests/v3/robustness/validate"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/time/rate"
)

const (
	// stepsUnderEtcdsTraffic is how many faults there are during one run of etcd's traffic.
	stepsUnderEtcdsTraffic = 5
	// validateWithin is how long etcd's validators may take.
	validateWithin = 2 * time.Minute
	// rejectWithin is how long they may take for a history that was corrupted: where there is no order, all have to be tried.
	rejectWithin = 20 * time.Second
	// trafficKeys is how many keys etcd's traffic goes round.
	trafficKeys = 10
)

// TestEtcdsValidatorsAcceptWhatEtcdsTrafficSaw runs etcd's own robustness traffic against a cluster under faults and gives what its clients recorded to
// etcd's own validators, both as etcd has released them, together with the members' chosen log.
func TestEtcdsValidatorsAcceptWhatEtcdsTrafficSaw(t *testing.T) {
	for _, kind := range []struct {
		name    string
		traffic traffic.Traffic
		corrupt bool // and judge the judges
	}{
		{"puts, deletes and leases", traffic.EtcdPutDeleteLease, true},
		{"as Kubernetes", traffic.Kubernetes, false},
	} {
		t.Run(kind.name, func(t *testing.T) {
			c, w := newNetworkedCluster(t, 3)
			plan := drawSchedule(*seedFlag, len(c.members), faultsOf(w))[:stepsUnderEtcdsTraffic]
			t.Logf("nemesis over %s, seed %d:\n%s", w.form(), *seedFlag, plan)
			c.start()
			r := newEtcdTraffic(t, c, kind.traffic)
			reports := r.run(func() { (&nemesis{t: t, cluster: c, network: w}).carryOut(plan) })
			c.agree()
			prove(c)
			requests, err := etcdRequests(chosenLog(t, c))
			if err != nil {
				t.Fatal(err)
			}
			result := validate.ValidateAndReturnVisualize(r.log, validate.Config{ExpectRevisionUnique: kind.traffic.ExpectUniqueRevision()},
				reports, requests, validateWithin)
			demandSuccess(t, result)
			if kind.corrupt && !t.Failed() {
				r.demandRejections(reports, requests)
			}
			stats := traffic.CalculateStats(reports, 0, time.Since(r.began))
			watched := traffic.CalculateWatchStats(reports, 0, time.Since(r.began))
			t.Logf("validated: %d requests succeeded, %d failed, %d watches saw %d events, %d commands chosen",
				stats.Successes, stats.Failures, watched.Requests, watched.Events, len(requests))
			if stats.Successes == 0 || watched.Events == 0 {
				t.Error("no request succeeded or no event was watched, so nothing was checked")
			}
		})
	}
}

// demandSuccess takes nothing but success: what was not judged has not passed.
func demandSuccess(t *testing.T, result validate.RobustnessResult) {
	t.Helper()
	for name, r := range map[string]validate.Result{
		"assumptions": result.Assumptions, "linearization": result.Linearization.Result, "watch": result.Watch, "serializable reads": result.Serializable,
	} {
		if r.Status != validate.Success {
			t.Errorf("etcd's validator of %s says %q: %s", name, r.Status, r.Message)
		}
	}
}

// demandRejections corrupts what clients recorded, in every way that a broken cluster would, and demands that etcd's validators notice: what they accept of
// a true history proves something only because of that.
func (r *etcdTraffic) demandRejections(reports []report.ClientReport, requests []model.EtcdRequest) {
	r.t.Helper()
	for name, corrupt := range map[string]func([]report.ClientReport, []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest){
		"a watch event is dropped":                dropWatchEvent,
		"an acknowledged write is not in the log": dropChosenWrite,
		"two reads have each other's answer":      swapReads,
		"a read is staler by one revision":        readStale,
		"a read of the past shows what never was": falsifyPast,
		"a watch event comes before an older one": swapWatchEvents,
	} {
		corrupted, log := corrupt(cloneReports(reports), slices.Clone(requests))
		if corrupted == nil {
			r.t.Errorf("nothing was recorded to corrupt: %s", name)
			continue
		}
		if err := validate.ValidateAndReturnVisualize(zap.NewNop(), validate.Config{}, corrupted, log, rejectWithin).Error(); err == nil {
			r.t.Errorf("etcd's validators accept that %s", name)
		} else {
			r.t.Logf("rejected, as it should be: %s (%v)", name, err)
		}
	}
}

// etcdTraffic is etcd's robustness traffic against a cluster.
type etcdTraffic struct {
	t         *testing.T
	log       *zap.Logger
	traffic   traffic.Traffic
	endpoints []string
	ids       identity.Provider
	began     time.Time
}

func newEtcdTraffic(t *testing.T, c *cluster, kind traffic.Traffic) *etcdTraffic {
	r := &etcdTraffic{t: t, log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)), traffic: kind, ids: identity.NewIDProvider(), began: time.Now()}
	for _, m := range c.members {
		r.endpoints = append(r.endpoints, m.client)
	}
	return r
}

// run makes requests while during runs, and watches all of what happens from every member. It returns what all clients recorded.
func (r *etcdTraffic) run(during func()) []report.ClientReport {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	requests, watches := client.NewSet(r.ids, r.began), client.NewSet(r.ids, r.began)
	defer requests.Close()
	defer watches.Close()
	if err := traffic.CheckEmptyDatabaseAtStart(ctx, r.log, r.endpoints, requests); err != nil {
		r.t.Fatal(err)
	}
	last := make(chan int64, 1)
	watched := make(chan error, 1)
	go func() {
		watched <- client.CollectClusterWatchEvents(ctx, client.CollectClusterWatchEventsParam{
			Lg: r.log, Endpoints: r.endpoints, MaxRevisionChan: last, ClientSet: watches,
		})
	}()
	r.request(ctx, requests, during)
	last <- report.OperationsMaxRevision(requests.Reports())
	close(last)
	select {
	case err := <-watched:
		if err != nil {
			r.t.Errorf("watching every member to the end: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("a member's watch does not come to the end of what has happened")
	}
	return slices.Concat(requests.Reports(), watches.Reports())
}

// request makes requests, watches and compactions while during runs, and a last write that must succeed.
func (r *etcdTraffic) request(ctx context.Context, set *client.ClientSet, during func()) {
	var (
		profile = traffic.KeyValueMedium
		limiter = rate.NewLimiter(rate.Limit(profile.MaximalQPS), profile.BurstableQPS)
		keys    = traffic.NewKeyStore(trafficKeys, "key")
		storage = traffic.NewKubernetesStorage()
		finish  = make(chan struct{})
		running sync.WaitGroup
	)
	begin := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	begin(traffic.SimulateKeyValueTraffic(ctx, &running, &profile, r.endpoints, set, r.traffic, traffic.RunTrafficLoopParam{
		QPSLimiter: limiter, IDs: r.ids, LeaseIDStorage: identity.NewLeaseIDStorage(), KeyStore: keys, Storage: storage, Finish: finish,
		NonUniqueRequestConcurrencyLimiter: traffic.NewConcurrencyLimiter(profile.MaxNonUniqueRequestConcurrency),
	}))
	begin(traffic.SimulateWatchTraffic(ctx, &running, &traffic.WatchDefault, r.endpoints, set, r.traffic, traffic.RunWatchLoopParam{
		Config: traffic.WatchDefault, QPSLimiter: limiter, KeyStore: keys, Storage: storage, Finish: finish, Logger: r.log,
	}))
	begin(traffic.SimulateCompactionTraffic(ctx, &running, &traffic.CompactionDefault, r.endpoints, set, r.traffic, traffic.RunCompactLoopParam{
		Period: traffic.CompactionDefault.Period, Finish: finish,
	}))
	during()
	close(finish)
	running.Wait()
	final, err := set.NewClient(r.endpoints)
	begin(err)
	_, err = final.Put(ctx, "tombstone", "true")
	begin(err)
}

// etcdRequests are the log's requests as etcd's validators know them.
func etcdRequests(log []logged) ([]model.EtcdRequest, error) {
	var all []model.EtcdRequest
	for _, l := range log {
		r, err := l.etcdRequest()
		if err != nil {
			return nil, err
		}
		if r != nil {
			all = append(all, *r)
		}
	}
	return all, nil
}
