package etcdapi

import (
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.etcd.io/etcd/api/v3/version"

	"synod.dev/synod"
	"synod.dev/synod/kv"
)

// metrics are what /metrics shows, under etcd's names where the notion is etcd's. What the node and the store already know
// is asked of them when Prometheus comes; only what happens to requests is counted here, in counters
// that are looked up once, when the server is made.
type metrics struct {
	registry *prometheus.Registry

	proposalsFailed prometheus.Counter
	healthSuccess   prometheus.Counter
	healthFailure   prometheus.Counter
	checks          *prometheus.CounterVec // by type, name, status
	checked         *prometheus.GaugeVec   // by type, name
	sent, received  prometheus.Counter     // bytes of gRPC messages

	ranges, puts, deleteRanges, txns, readTxns, compactions, authChanges outcomeDurations
	leaseGrants, leaseRevokes                                            outcomeDurations

	methods map[string]*method // by full gRPC method name; never changes once the server serves
	grpc    *methodVecs
}

// outcomeDurations are the latencies of one type of request, of those that failed and those that succeeded.
type outcomeDurations struct{ failure, success prometheus.Observer }

func (d outcomeDurations) observe(start time.Time, err error) {
	seconds := time.Since(start).Seconds()
	if err != nil {
		d.failure.Observe(seconds)
	} else {
		d.success.Observe(seconds)
	}
}

func newMetrics(node Replicator, store sized, observer *Observer) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.proposalsFailed = m.counter("etcd_server_proposals_failed_total", "Proposals that failed or whose outcome is unknown.")
	m.healthSuccess = m.counter("etcd_server_health_success", "Health checks that succeeded.")
	m.healthFailure = m.counter("etcd_server_health_failures", "Health checks that failed.")
	m.sent = m.counter("etcd_network_client_grpc_sent_bytes_total", "Bytes of gRPC messages sent to clients.")
	m.received = m.counter("etcd_network_client_grpc_received_bytes_total", "Bytes of gRPC messages received from clients.")
	m.checks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "etcd_server_healthchecks_total", Help: "Checks behind /livez and /readyz.",
	}, []string{"type", "name", "status"})
	m.checked = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "etcd_server_healthcheck", Help: "1 if the check succeeded when it was last asked.",
	}, []string{"type", "name"})

	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "etcd_server_request_duration_seconds", Help: "Latency of requests by type and outcome.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	}, []string{"type", "success"})
	of := func(kind string) outcomeDurations {
		return outcomeDurations{durations.WithLabelValues(kind, "false"), durations.WithLabelValues(kind, "true")}
	}
	m.ranges, m.puts, m.deleteRanges = of("Range"), of("Put"), of("DeleteRange")
	m.txns, m.readTxns, m.compactions, m.authChanges = of("Txn"), of("ReadonlyTxn"), of("Compaction"), of("Auth")
	m.leaseGrants, m.leaseRevokes = of("LeaseGrant"), of("LeaseRevoke")
	m.grpc = newMethodVecs()
	m.registry.MustRegister(m.checks, m.checked, durations, m.grpc.started, m.grpc.handled, m.grpc.received, m.grpc.sent,
		observer.changes, observer.sync, newNodeCollector(node, store),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

// sized is a store as far as there is something to measure.
type sized interface {
	Size() int64
	DiskSize() int64
	Revision() int64
	CompactRevision() int64
	WatchStats() kv.WatchStats
}

// nodeCollector reads the node's status and the store's size when it is asked.
type nodeCollector struct {
	node     Replicator
	store    sized
	readings []reading
}

// reading is one figure taken from what the node and the store say of themselves.
type reading struct {
	desc *prometheus.Desc
	take func(synod.Status, sized) float64
}

func newNodeCollector(node Replicator, store sized) *nodeCollector {
	c := &nodeCollector{node: node, store: store}
	add := func(name, help string, labels prometheus.Labels, take func(synod.Status, sized) float64) {
		c.readings = append(c.readings, reading{prometheus.NewDesc(name, help, nil, labels), take})
	}
	one := func(synod.Status, sized) float64 { return 1 }

	add("etcd_server_has_leader", "1 if this member follows a leader, or is one.", nil,
		func(s synod.Status, _ sized) float64 { return indicator(s.Leader != 0) })
	add("etcd_server_is_leader", "1 if this member is the leader.", nil,
		func(s synod.Status, _ sized) float64 { return indicator(s.Leader != 0 && s.Leader == s.ID) })
	add("etcd_server_is_learner", "1 if this member only learns.", nil,
		func(synod.Status, sized) float64 { return 0 })
	add("etcd_server_proposals_committed_total", "Slots that are chosen, as far as this member knows.", nil,
		func(s synod.Status, _ sized) float64 { return float64(s.Chosen) })
	add("etcd_server_proposals_applied_total", "Slots that this member has applied.", nil,
		func(s synod.Status, _ sized) float64 { return float64(s.Applied) })
	add("etcd_server_proposals_pending", "Commands of this member's clients that wait for an outcome.", nil,
		func(s synod.Status, _ sized) float64 { return float64(s.Pending) })
	add("etcd_cluster_version", "1, labelled with the minor version of etcd whose API the cluster serves.",
		prometheus.Labels{"cluster_version": version.Cluster(version.Version)}, one)
	add("etcd_server_version", "1, labelled with the version of etcd whose API is served.",
		prometheus.Labels{"server_version": version.Version}, one)
	add("etcd_server_go_version", "1, labelled with the version of Go.",
		prometheus.Labels{"server_go_version": runtime.Version()}, one)
	add("etcd_server_id", "1, labelled with this member's ID in hexadecimal.",
		prometheus.Labels{"server_id": fmt.Sprintf("%x", uint64(node.Status().ID))}, one)
	add("etcd_mvcc_db_total_size_in_bytes", "Bytes that keys, values and their history take.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.Size()) })
	add("etcd_mvcc_db_total_size_in_use_in_bytes", "The same: nothing is held that is not in use.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.Size()) })
	add("synod_store_disk_bytes", "Bytes that the store's database takes on disk.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.DiskSize()) })
	add("etcd_debugging_mvcc_current_revision", "The store's revision.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.Revision()) })
	add("etcd_debugging_mvcc_compact_revision", "The revision that the store was last compacted at.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.CompactRevision()) })
	add("etcd_debugging_mvcc_watch_stream_total", "Streams that watch.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.WatchStats().Streams) })
	add("etcd_debugging_mvcc_watcher_total", "Watchers.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.WatchStats().Watchers) })
	add("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind and fed from history.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.WatchStats().Behind) })
	add("etcd_debugging_mvcc_events_total", "Events given to watchers.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.WatchStats().Events) })
	add("synod_watch_held_bytes", "Bytes of events that wait to be sent, those that watchers share counted once.", nil,
		func(_ synod.Status, s sized) float64 { return float64(s.WatchStats().HeldBytes) })
	add("synod_ballot_round", "The round of the ballot of the leader that this member follows.", nil,
		func(s synod.Status, _ sized) float64 { return float64(s.Ballot.Round) })
	return c
}

func indicator(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, r := range c.readings {
		descs <- r.desc
	}
}

func (c *nodeCollector) Collect(found chan<- prometheus.Metric) {
	status := c.node.Status()
	for _, r := range c.readings {
		found <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, r.take(status, c.store))
	}
}
