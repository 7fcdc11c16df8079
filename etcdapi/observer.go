package etcdapi

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// Observer follows a node through its events, so that a request can learn who leads, and at which ballot, from one atomic
// load. Make it first, open the node with its Events, then give both to New. It is safe for concurrent use.
type Observer struct {
	leader  atomic.Uint64 // 0 while there is none
	round   atomic.Uint64 // of the highest ballot seen
	changes prometheus.Counter
	sync    prometheus.Histogram
}

// NewObserver returns an Observer that has seen nothing: no leader.
func NewObserver() *Observer {
	return &Observer{
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_server_leader_changes_seen_total",
			Help: "Leader changes that this member has seen.",
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_wal_fsync_duration_seconds",
			Help: "Group commits of this member's log, write and sync together.",
			// 1 ms to 8 s as etcd has them, with finer ones below for disks of today.
			Buckets: append([]float64{0.0001, 0.00025, 0.0005}, prometheus.ExponentialBuckets(0.001, 2, 14)...),
		}),
	}
}

// Events returns the listener to open the node with.
func (o *Observer) Events() *synod.EventListener {
	return &synod.EventListener{
		LeaderChanged: o.leaderChanged,
		Synced:        func(s synod.SyncDone) { o.sync.Observe(s.Duration.Seconds()) },
	}
}

// leaderChanged keeps the highest round, because etcd's term never goes back, not even while there is no leader.
func (o *Observer) leaderChanged(change synod.LeaderChange) {
	for {
		round := o.round.Load()
		if change.Ballot.Round <= round || o.round.CompareAndSwap(round, change.Ballot.Round) {
			break
		}
	}
	if old := o.leader.Swap(uint64(change.Leader)); change.Leader != 0 && old != uint64(change.Leader) {
		o.changes.Inc()
	}
}

// Leader returns the member that this node follows, or 0 while there is none.
func (o *Observer) Leader() paxos.NodeID { return paxos.NodeID(o.leader.Load()) }

// Round returns the round of the highest ballot that a leader was seen with: what etcd calls the term.
func (o *Observer) Round() uint64 { return o.round.Load() }
