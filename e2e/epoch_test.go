package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// slowness says that a server did not answer in time. What it has done is unknown, so the histories of the two may differ from then on.
type slowness struct {
	request int // the number of the request
	err     error
}

func (s *slowness) Error() string {
	return fmt.Sprintf("not answered in time: %v", s.err)
}

// isSlow reports whether an error tells of a server that is too busy, or gone, rather than of the request.
func isSlow(err error) bool {
	code := status.Code(err)
	if known, ok := errors.AsType[rpctypes.EtcdError](err); ok { // of etcd's client, which no longer is a status
		code = known.Code()
	}
	switch code {
	case codes.DeadlineExceeded, codes.Unavailable:
		return true
	}
	return err != nil && (errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "too many requests"))
}

// brokenMax is how many of some epochs may be broken by slowness: three of a hundred, and two.
func brokenMax(epochs int) int { return 2 + epochs*3/100 }

// epochs are some runs of which several are under way at a time.
type epochs struct {
	number int
	run    func(epoch int) error // from several goroutines

	mu     sync.Mutex
	begun  int
	broken int   // runs that slowness broke
	err    error // why no more are begun
}

// runAll runs each epoch, some at a time. One that slowness broke is run again. Twice at the same request is no accident of a busy machine, though: the request itself is
// what a server does not answer. Nor may many be broken, or the run would show little.
func (e *epochs) runAll(atATime int) error {
	var wait sync.WaitGroup
	for range atATime {
		wait.Go(func() {
			for epoch, ok := e.next(); ok; epoch, ok = e.next() {
				e.runOne(epoch)
			}
		})
	}
	wait.Wait()
	return e.err
}

// next takes an epoch that nobody has begun, if there is one and none has failed.
func (e *epochs) next() (epoch int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.begun == e.number || e.err != nil {
		return 0, false
	}
	e.begun++
	return e.begun - 1, true
}

// runOne runs an epoch until slowness does not break it.
func (e *epochs) runOne(epoch int) {
	var before *slowness
	for {
		err := e.run(epoch)
		var slow *slowness
		if errors.As(err, &slow) {
			err = e.judge(slow, before, err)
		}
		if err != nil || slow == nil {
			e.mu.Lock()
			e.err = errors.Join(e.err, err)
			e.mu.Unlock()
			return
		}
		before = slow
	}
}

// judge counts a run that slowness broke, and returns why there must not be another one, or nil.
func (e *epochs) judge(slow, before *slowness, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken++
	switch {
	case before != nil && before.request == slow.request:
		return fmt.Errorf("twice: %w", err)
	case e.broken > brokenMax(e.number):
		return fmt.Errorf("%d runs of %d epochs were broken; try again while the machine is less busy: %w", e.broken, e.number, err)
	}
	return nil
}

func TestSlownessIsToldFromARefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		slow bool
	}{
		{nil, false},
		{rpctypes.ErrGRPCLeaderChanged, true},
		{rpctypes.ErrLeaderChanged, true}, // the same from etcd's client
		{fmt.Errorf("put: %w", rpctypes.ErrTimeout), true},
		{status.Error(codes.DeadlineExceeded, "late"), true},
		{fmt.Errorf("put: %w", context.DeadlineExceeded), true},
		{rpctypes.ErrTooManyRequests, true},
		{rpctypes.ErrGRPCCompacted, false},
		{rpctypes.ErrCompacted, false},
		{errors.New("different"), false},
	} {
		if got := isSlow(c.err); got != c.slow {
			t.Errorf("%v: slow is %v", c.err, got)
		}
	}
}

func TestAnEpochThatSlownessBrokeIsRunAgain(t *testing.T) {
	late := func(request int) error {
		return fmt.Errorf("epoch: %w", &slowness{request, errors.New("late")})
	}
	different := errors.New("different")
	for _, c := range []struct {
		name     string
		epochs   int
		outcomes []error // of one run after the other
		broken   int
		fails    string
	}{
		{"none is broken", 3, []error{nil, nil, nil}, 0, ""},
		{"one is", 2, []error{nil, late(5), nil}, 1, ""},
		{"a difference ends the run", 3, []error{nil, different}, 0, "different"},
		{"a difference is not hidden by slowness before it", 2, []error{late(5), different}, 1, "different"},
		{"twice at the same request", 100, []error{late(5), late(5)}, 2, "twice: epoch: not answered in time"},
		{"at other requests", 100, []error{late(5), late(6)}, 2, ""},
		{"at the same request of another epoch", 100, []error{late(5), nil, late(5)}, 2, ""},
		{"too many", 2, []error{late(5), nil, late(6), late(7)}, 3, "3 runs of 2 epochs were broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			e := epochs{number: c.epochs, run: func(int) error {
				if runs++; runs > len(c.outcomes) {
					return nil
				}
				return c.outcomes[runs-1]
			}}
			err := e.runAll(1)
			if e.broken != c.broken {
				t.Errorf("%d runs broken, not %d", e.broken, c.broken)
			}
			if c.fails == "" && (err != nil || runs < c.epochs+c.broken) {
				t.Errorf("%d runs, %v", runs, err)
			}
			if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%v, not %q", err, c.fails)
			}
		})
	}
}

func TestEpochsAreAllRunOnceHoweverManyAtATime(t *testing.T) {
	const number = 100
	var ran [number]atomic.Int32
	e := epochs{number: number, run: func(epoch int) error {
		ran[epoch].Add(1)
		return nil
	}}
	if err := e.runAll(7); err != nil {
		t.Fatal(err)
	}
	for epoch := range ran {
		if n := ran[epoch].Load(); n != 1 {
			t.Errorf("epoch %d was run %d times", epoch, n)
		}
	}
}
