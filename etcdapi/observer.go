package etcdapi

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"synod.dev/synod"
)

// Observer counts a node's events for /metrics. Make it first, open the node with its Events, then give both to New, so
// that none is missed.
type Observer struct {
	leader  atomic.Uint64 // as of the last change; 0 for none
	changes prometheus.Counter
	sync    prometheus.Histogram
	written prometheus.Counter
}

// NewObserver returns an Observer that has seen nothing.
func NewObserver() *Observer {
	return &Observer{
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_server_leader_changes_seen_total",
			Help: "Leader changes that this member has seen.",
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_disk_wal_write_bytes_total",
			Help: "Bytes written to this member's log.",
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_wal_fsync_duration_seconds",
			Help: "Group commits of this member's log, write and sync together.",
			// 1 ms to 8 s as etcd has them, with finer ones below for disks of today.
			Buckets: append([]float64{0.0001, 0.00025, 0.0005}, prometheus.ExponentialBuckets(0.001, 2, 14)...),
		}),
	}
}

// Events returns the listener to open the node with. Its functions return at once and may be called from any goroutine.
func (o *Observer) Events() *synod.EventListener {
	return &synod.EventListener{
		LeaderChanged: func(change synod.LeaderChange) {
			leader := uint64(change.Leader)
			if old := o.leader.Swap(leader); leader != 0 && leader != old {
				o.changes.Inc()
			}
		},
		Synced: func(s synod.SyncDone) {
			o.sync.Observe(s.Duration.Seconds())
			o.written.Add(float64(s.Bytes))
		},
	}
}
