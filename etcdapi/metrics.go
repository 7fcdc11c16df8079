package etcdapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
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
	readsFailed     prometheus.Counter
	promotions      prometheus.Counter
	clients         *clientVersions

	leaseTTLs, hashes, hashesAt, snapshotsMade prometheus.Histogram

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

func newMetrics(node Replicator, store measured, quota int64, observer *Observer) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.proposalsFailed = m.counter("etcd_server_proposals_failed_total", "Proposals that failed or whose outcome is unknown.")
	m.healthSuccess = m.counter("etcd_server_health_success", "Health checks that succeeded.")
	m.healthFailure = m.counter("etcd_server_health_failures", "Health checks that failed.")
	m.sent = m.counter("etcd_network_client_grpc_sent_bytes_total", "Bytes of gRPC messages sent to clients.")
	m.received = m.counter("etcd_network_client_grpc_received_bytes_total", "Bytes of gRPC messages received from clients.")
	m.readsFailed = m.counter("etcd_server_read_indexes_failed_total", "Linearizable reads that could not be confirmed.")
	m.promotions = m.counter("etcd_server_learner_promote_successes", "Learners that this member has had promoted.")
	m.clients = newClientVersions()
	m.leaseTTLs = histogram("etcd_debugging_lease_ttl_total", "TTLs of the leases granted through this member, in seconds.", prometheus.ExponentialBuckets(1, 2, 24))
	m.hashes = histogram("etcd_mvcc_hash_duration_seconds", "Hashes of the whole state.", prometheus.ExponentialBuckets(.01, 2, 15))
	m.hashesAt = histogram("etcd_mvcc_hash_rev_duration_seconds", "Hashes of all revisions up to one.", prometheus.ExponentialBuckets(.01, 2, 15))
	m.snapshotsMade = histogram("etcd_disk_backend_snapshot_duration_seconds", "Snapshots made for clients.", prometheus.ExponentialBuckets(.01, 2, 17))
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
		observer.changes, observer.sync, observer.written, observer.slow.count, observer.scrubs, observer.scrubbed, observer.damaged, observer.mended,
		m.clients.requests, m.leaseTTLs, m.hashes, m.hashesAt, m.snapshotsMade,
		newNodeCollector(node, store, quota),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}
