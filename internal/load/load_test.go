package load

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// These tests run on the simulated time of testing/synctest, in which all durations are exact but for the three digits of the histogram.

// lasting is a request that takes d.
func lasting(d time.Duration) Request {
	return func(ctx context.Context, _, _ int) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// about compares durations to the digits that are recorded.
func about(got, want time.Duration) bool { return (got - want).Abs() <= want/500+2*time.Microsecond }

func TestClosedLoopMakesTheNextRequestWhenTheLastIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Plan{Clients: 7, Warm: time.Second, Duration: 2 * time.Second}, lasting(10*time.Millisecond))
		if r.Count() != 7*200 || r.Throughput() != 700 || r.Failed != 0 || r.Overdue != 0 {
			t.Errorf("%d requests, %.1f a second, %d failed, %d overdue", r.Count(), r.Throughput(), r.Failed, r.Overdue)
		}
		for _, q := range []float64{0, .5, .999, 1} {
			if !about(r.Quantile(q), 10*time.Millisecond) {
				t.Errorf("quantile %v is %v", q, r.Quantile(q))
			}
		}
	})
}

func TestOpenLoopMakesRequestsAtItsRateHoweverLongTheyTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, latency := range []time.Duration{time.Millisecond, 50 * time.Millisecond} {
			r := Run(t.Context(), Plan{Clients: 100, Rate: 1000, Warm: time.Second, Duration: 3 * time.Second}, lasting(latency))
			if r.Count() != 3000 || r.Overdue != 0 || !about(r.Quantile(.999), latency) {
				t.Errorf("%d requests of %v, %d overdue, p99.9 %v", r.Count(), latency, r.Overdue, r.Quantile(.999))
			}
		}
	})
}

func TestOpenLoopCountsTheWaitOfRequestsThatAStallKeptFromBeingMade(t *testing.T) {
	stall := func(ctx context.Context, _, n int) error {
		if n == 1000 {
			return lasting(time.Second)(ctx, 0, n)
		}
		return lasting(time.Microsecond)(ctx, 0, n)
	}
	synctest.Test(t, func(t *testing.T) {
		closed := Run(t.Context(), Plan{Clients: 1, Requests: 10_000}, stall)
		if closed.Quantile(.999) > time.Millisecond {
			t.Errorf("closed loop: one slow request of 10,000 is not p99.9, which is %v", closed.Quantile(.999))
		}
		open := Run(t.Context(), Plan{Clients: 1, Rate: 1000, Duration: 10 * time.Second}, stall)
		if open.Count() != 10_000 {
			t.Errorf("open loop: %d requests", open.Count())
		}
		// A thousand requests fell due in the second that the stall took, and waited for what was left of it.
		if !about(open.Quantile(1), time.Second) || open.Quantile(.95) < 450*time.Millisecond || open.Quantile(.89) > time.Millisecond {
			t.Errorf("open loop: p89 %v, p95 %v, longest %v", open.Quantile(.89), open.Quantile(.95), open.Quantile(1))
		}
	})
}

func TestServerThatDoesNotBearTheRateShowsInThroughputAndLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Plan{Clients: 2, Rate: 1000, Duration: 2 * time.Second}, lasting(10*time.Millisecond)) // which is 200 a second
		if r.Count()+r.Overdue != 2000 || r.Overdue < 1300 || r.Throughput() > 201 {
			t.Errorf("%d answered, %d overdue, %.1f a second", r.Count(), r.Overdue, r.Throughput())
		}
		if r.Quantile(.5) < time.Second {
			t.Errorf("the median request waited %v only", r.Quantile(.5))
		}
	})
}

func TestEachRequestOfABoundedRunIsMadeOnce(t *testing.T) {
	for _, rate := range []float64{0, 500} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			made := map[int]int{}
			r := Run(t.Context(), Plan{Clients: 3, Rate: rate, Requests: 100}, func(ctx context.Context, client, n int) error {
				mu.Lock()
				made[n]++
				mu.Unlock()
				return lasting(time.Millisecond)(ctx, client, n)
			})
			for n := range 100 {
				if made[n] != 1 {
					t.Errorf("rate %v: request %d was made %d times", rate, n, made[n])
				}
			}
			if len(made) != 100 || r.Count() != 100 {
				t.Errorf("rate %v: %d requests made, %d counted", rate, len(made), r.Count())
			}
		})
	}
}

func TestFailedRequestsAreCountedAndNotMeasured(t *testing.T) {
	refused := errors.New("refused")
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Plan{Clients: 2, Requests: 10}, func(ctx context.Context, client, n int) error {
			if n%5 == 0 {
				return refused
			}
			return lasting(time.Millisecond)(ctx, client, n)
		})
		if r.Count() != 8 || r.Failed != 2 || !errors.Is(r.Err, refused) {
			t.Errorf("%d succeeded, %d failed, %v", r.Count(), r.Failed, r.Err)
		}
	})
}

func TestRequestThatTakesTooLongHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Plan{Clients: 1, Requests: 1, Timeout: time.Second}, lasting(time.Hour))
		if r.Failed != 1 || !errors.Is(r.Err, context.DeadlineExceeded) || r.Elapsed != time.Second {
			t.Errorf("%d failed with %v after %v", r.Failed, r.Err, r.Elapsed)
		}
	})
}

func TestRunThatIsStoppedCountsWhatWasAnsweredAndAbandonsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1005*time.Millisecond)
		defer cancel()
		run := Begin(ctx, Plan{Clients: 4}, lasting(10*time.Millisecond))
		r := run.Wait()
		if r.Count() != 400 || run.Answered() != 400 || r.Failed != 0 {
			t.Errorf("%d measured, %d answered, %d failed", r.Count(), run.Answered(), r.Failed)
		}
	})
}

func TestRunThatEndsInItsWarmUpHasMeasuredNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Plan{Clients: 1, Requests: 10, Warm: time.Minute}, lasting(time.Millisecond))
		if r.Count() != 0 || r.Elapsed != 0 || r.Throughput() != 0 || r.Mean() != 0 || r.Quantile(.99) != 0 {
			t.Errorf("%d requests in %v", r.Count(), r.Elapsed)
		}
	})
}
