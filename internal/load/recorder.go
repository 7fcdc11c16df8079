package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// shardCount is over how many histograms the clients spread what they record, so that they do not wait for each other.
	shardCount = 16
	// Latencies are recorded in nanoseconds, from a microsecond to ten minutes, three digits of them. A longer one counts as the longest.
	latencyMin, latencyMax, latencyDigits = int64(time.Microsecond), int64(10 * time.Minute), 3
)

// Result is what a run has measured. It does not change any more.
type Result struct {
	Latency *hdrhistogram.Histogram // of the requests that succeeded, in nanoseconds
	Elapsed time.Duration           // from the end of the warm-up to that of the run
	Failed  int64                   // requests that failed, even in the warm-up
	Err     error                   // of one of them
	Overdue int64                   // requests that fell due but were never made, since the server did not bear the rate; their waiting is in Latency
}

// Count is how many requests succeeded.
func (r *Result) Count() int64 { return r.Latency.TotalCount() - r.Overdue }

// Throughput is how many requests succeeded in a second.
func (r *Result) Throughput() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Count()) / r.Elapsed.Seconds()
}

// Mean is the mean latency.
func (r *Result) Mean() time.Duration { return time.Duration(r.Latency.Mean()) }

// Quantile is the latency that the fraction q of the requests, 0 to 1, does not exceed; 0 if there are none.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q * 100))
}

// recorder takes what clients measure. All its methods may be called by any goroutine.
type recorder struct {
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	latency *hdrhistogram.Histogram
	failed  int64
	err     error
	overdue int64
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(latencyMin, latencyMax, latencyDigits)
}

func newRecorder() *recorder {
	r := new(recorder)
	for i := range r.shards {
		r.shards[i].latency = newHistogram()
	}
	return r
}

func (r *recorder) shard(client int) *shard { return &r.shards[client%shardCount] }

func (r *recorder) answered(client int, took time.Duration) {
	s := r.shard(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(took)
}

func (r *recorder) overdue(client int, waited time.Duration) {
	s := r.shard(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue++
	s.record(waited)
}

func (r *recorder) failed(client int, err error) {
	s := r.shard(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	if s.err == nil {
		s.err = err
	}
}

func (s *shard) record(took time.Duration) {
	if err := s.latency.RecordValue(min(int64(took), latencyMax)); err != nil {
		panic(err) // it is in the histogram's range
	}
}

func (r *recorder) result(elapsed time.Duration) *Result {
	all := &Result{Latency: newHistogram(), Elapsed: elapsed}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		all.Latency.Merge(s.latency)
		all.Failed += s.failed
		all.Overdue += s.overdue
		if all.Err == nil {
			all.Err = s.err
		}
		s.mu.Unlock()
	}
	return all
}
