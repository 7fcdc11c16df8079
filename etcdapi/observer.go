package etcdapi

import (
	"log/slog"
	"sync/atomic"
	"time"

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
	slow    slowApplies

	scrubs, scrubbed prometheus.Counter
	damaged, mended  *prometheus.CounterVec // by kind
	diverged         chan struct{}          // one token: members differ and none knows which is right
}

// NewObserver returns an Observer that has seen nothing.
func NewObserver() *Observer {
	return &Observer{
		diverged: make(chan struct{}, 1),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_server_leader_changes_seen_total",
			Help: "Leader changes that this member has seen.",
		}),
		slow: slowApplies{count: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_server_slow_apply_total",
			Help: "Calls of the store that took longer than --warning-apply-duration.",
		})},
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
		scrubs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "synod_disk_scrubs_total",
			Help: "Passes over everything that is on this member's disk.",
		}),
		scrubbed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "synod_disk_scrubbed_bytes_total",
			Help: "Bytes that were read again in finished passes.",
		}),
		damaged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "synod_disk_damaged_total",
			Help: "What was found on this member's disk that is not what was written.",
		}, []string{"kind"}),
		mended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "synod_disk_mended_total",
			Help: "What of that has been made good.",
		}, []string{"kind"}),
	}
}

// LogSlowApplies has calls of the store counted and logged that take longer than bound; 0 for none. It comes before Events.
func (o *Observer) LogSlowApplies(bound time.Duration, logger *slog.Logger) {
	o.slow.bound, o.slow.logger = bound, logger
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
		Applied: o.slow.observe,
		Scrubbed: func(s synod.Scrubbed) {
			o.scrubs.Inc()
			o.scrubbed.Add(float64(s.Bytes))
		},
		Damaged: func(d synod.Damaged) { o.damaged.WithLabelValues(d.What).Inc() },
		Mended:  func(d synod.Damaged) { o.mended.WithLabelValues(d.What).Inc() },
		Diverged: func(synod.Divergence) {
			select {
			case o.diverged <- struct{}{}:
			default:
			}
		},
	}
}
