package etcdapi

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/version"

	"synod.dev/synod"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

// measured is a store as far as there is something to measure.
type measured interface {
	Size() int64
	DiskSize() int64
	Revision() int64
	CompactRevision() int64
	Keys() int64
	AuthRevision() uint64
	Counts() kv.Counts
	WatchStats() kv.WatchStats
}

// nodeCollector reads the node's status and the store's figures when it is asked.
type nodeCollector struct {
	node     Replicator
	store    measured
	readings []reading
}

// reading is one figure taken from what the node and the store say of themselves.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	take func(*figures) float64
}

// figures are asked for once for all readings.
type figures struct {
	synod.Status
	measured
	counts  kv.Counts
	watches kv.WatchStats
	learner bool
	roles   paxos.Role
}

// newNodeCollector reads node and store; store is nil on a member that has none.
func newNodeCollector(node Replicator, store measured, quota int64) *nodeCollector {
	c := &nodeCollector{node: node, store: store}
	c.readNode()
	if store != nil {
		c.readStore(quota)
	}
	c.readVersions()
	return c
}

func (c *nodeCollector) gauge(name, help string, take func(*figures) float64) {
	c.readings = append(c.readings, reading{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, take})
}

func (c *nodeCollector) counter(name, help string, take func(*figures) uint64) {
	c.readings = append(c.readings, reading{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, func(f *figures) float64 { return float64(take(f)) }})
}

// fact shows what does not change, in a label.
func (c *nodeCollector) fact(name, help, label, value string) {
	c.readings = append(c.readings, reading{prometheus.NewDesc(name, help, nil, prometheus.Labels{label: value}), prometheus.GaugeValue, func(*figures) float64 { return 1 }})
}

func (c *nodeCollector) readVersions() {
	c.fact("etcd_cluster_version", "1, labelled with the minor version of etcd whose API the cluster serves.", "cluster_version", version.Cluster(version.Version))
	c.fact("etcd_server_version", "1, labelled with the version of etcd whose API is served.", "server_version", version.Version)
	c.fact("etcd_server_go_version", "1, labelled with the version of Go.", "server_go_version", runtime.Version())
	c.fact("etcd_server_id", "1, labelled with this member's ID in hexadecimal.", "server_id", fmt.Sprintf("%x", uint64(c.node.Status().ID)))
}

func (c *nodeCollector) readNode() {
	c.gauge("etcd_server_has_leader", "1 if this member follows a leader, or is one.", func(f *figures) float64 { return indicator(f.Leader != 0) })
	c.gauge("etcd_server_is_leader", "1 if this member is the leader.", func(f *figures) float64 { return indicator(f.Leader != 0 && f.Leader == f.ID) })
	c.gauge("etcd_server_is_learner", "1 if this member only learns.", func(f *figures) float64 { return indicator(f.learner) })
	c.counter("etcd_server_proposals_committed_total", "Slots that are chosen, as far as this member knows.", func(f *figures) uint64 { return uint64(f.Chosen) })
	c.counter("etcd_server_proposals_applied_total", "Slots that this member has applied.", func(f *figures) uint64 { return uint64(f.Applied) })
	c.gauge("etcd_server_proposals_pending", "Commands of this member's clients that wait for an outcome.", func(f *figures) float64 { return float64(f.Pending) })
	c.gauge("etcd_server_snapshot_apply_in_progress_total", "1 while this member fetches a snapshot from another.", func(f *figures) float64 { return indicator(f.Transfer != nil) })
	for _, role := range []paxos.Role{paxos.Proposer, paxos.Acceptor, paxos.Learner} {
		c.readings = append(c.readings, reading{prometheus.NewDesc("synod_role", "1 for each role that this member has in the latest configuration.", nil, prometheus.Labels{"role": role.String()}),
			prometheus.GaugeValue, func(f *figures) float64 { return indicator(f.roles&role != 0) }})
	}
	c.gauge("synod_log_trimmed_slot", "The slot up to which this member's log is trimmed.", func(f *figures) float64 { return float64(f.Trimmed) })
	c.gauge("synod_log_released_slot", "The slot up to which enough members hold everything for witnesses to forget it; 0 without witnesses.", func(f *figures) float64 { return float64(f.Released) })
	c.gauge("synod_ballot_round", "The round of the ballot of the leader that this member follows.", func(f *figures) float64 { return float64(f.Ballot.Round) })
}

func (c *nodeCollector) readStore(quota int64) {
	size := func(f *figures) float64 { return float64(f.Size()) }
	c.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes that keys, values and their history take.", size)
	c.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "The same: nothing is held that is not in use.", size)
	c.gauge("etcd_server_quota_backend_bytes", "What that is bounded by; 0 for no bound.", func(*figures) float64 { return float64(max(quota, 0)) })
	c.gauge("synod_store_disk_bytes", "Bytes that the store's database takes on disk.", func(f *figures) float64 { return float64(f.DiskSize()) })
	c.gauge("etcd_debugging_mvcc_current_revision", "The store's revision.", func(f *figures) float64 { return float64(f.Revision()) })
	c.gauge("etcd_debugging_mvcc_compact_revision", "The revision that the store was last compacted at.", func(f *figures) float64 { return float64(f.CompactRevision()) })
	c.gauge("etcd_debugging_mvcc_keys_total", "Keys that exist.", func(f *figures) float64 { return float64(f.Keys()) })
	c.gauge("etcd_debugging_auth_revision", "The revision of users and roles.", func(f *figures) float64 { return float64(f.AuthRevision()) })

	c.counter("etcd_mvcc_put_total", "Puts executed.", func(f *figures) uint64 { return f.counts.Puts })
	c.counter("etcd_mvcc_delete_total", "Deletes executed, and keys that went with their lease.", func(f *figures) uint64 { return f.counts.Deletes })
	c.counter("etcd_mvcc_txn_total", "Transactions executed.", func(f *figures) uint64 { return f.counts.Txns })
	c.counter("etcd_mvcc_range_total", "Ranges read from this member.", func(f *figures) uint64 { return f.counts.Ranges })
	c.counter("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of the keys and values that were put.", func(f *figures) uint64 { return f.counts.PutBytes })
	c.counter("etcd_debugging_lease_granted_total", "Leases granted.", func(f *figures) uint64 { return f.counts.LeasesGranted })
	c.counter("etcd_debugging_lease_revoked_total", "Leases revoked, those that ran out not among them.", func(f *figures) uint64 { return f.counts.LeasesRevoked })
	c.counter("etcd_debugging_lease_renewed_total", "Leases renewed.", func(f *figures) uint64 { return f.counts.LeasesRenewed })
	c.counter("etcd_debugging_server_lease_expired_total", "Leases that ran out.", func(f *figures) uint64 { return f.counts.LeasesExpired })

	c.gauge("etcd_debugging_mvcc_watch_stream_total", "Streams that watch.", func(f *figures) float64 { return float64(f.watches.Streams) })
	c.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", func(f *figures) float64 { return float64(f.watches.Watchers) })
	c.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind and fed from history.", func(f *figures) float64 { return float64(f.watches.Behind) })
	c.counter("etcd_debugging_mvcc_events_total", "Events given to watchers.", func(f *figures) uint64 { return uint64(f.watches.Events) })
	c.gauge("synod_watch_held_bytes", "Bytes of events that wait to be sent, those that watchers share counted once.", func(f *figures) float64 { return float64(f.watches.HeldBytes) })
}

func indicator(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Figures of another member, by its ID in hexadecimal.
var (
	knownPeer    = prometheus.NewDesc("etcd_network_known_peers", "1 for each other member.", []string{"Local", "Remote"}, nil)
	activePeer   = prometheus.NewDesc("etcd_network_active_peers", "1 for each other member that has been heard of lately.", []string{"Local", "Remote"}, nil)
	peerSent     = prometheus.NewDesc("etcd_network_peer_sent_bytes_total", "Bytes sent to another member.", []string{"To"}, nil)
	peerReceived = prometheus.NewDesc("etcd_network_peer_received_bytes_total", "Bytes received from another member.", []string{"From"}, nil)
	peerFigures  = []*prometheus.Desc{knownPeer, activePeer, peerSent, peerReceived}
)

func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, r := range c.readings {
		descs <- r.desc
	}
	for _, desc := range peerFigures {
		descs <- desc
	}
}

func (c *nodeCollector) Collect(found chan<- prometheus.Metric) {
	f := &figures{Status: c.node.Status(), measured: c.store}
	if c.store != nil {
		f.counts, f.watches = c.store.Counts(), c.store.WatchStats()
	}
	if self, ok := c.node.Membership().Member(f.ID); ok {
		f.learner, f.roles = !votes(self), self.Roles
	}
	for _, r := range c.readings {
		found <- prometheus.MustNewConstMetric(r.desc, r.kind, r.take(f))
	}
	local := hexID(f.ID)
	for _, m := range f.Members {
		if m.Self {
			continue
		}
		remote := hexID(m.ID)
		found <- prometheus.MustNewConstMetric(knownPeer, prometheus.GaugeValue, 1, local, remote)
		found <- prometheus.MustNewConstMetric(activePeer, prometheus.GaugeValue, indicator(m.Connected), local, remote)
		found <- prometheus.MustNewConstMetric(peerSent, prometheus.CounterValue, float64(m.BytesSent), remote)
		found <- prometheus.MustNewConstMetric(peerReceived, prometheus.CounterValue, float64(m.BytesReceived), remote)
	}
}
