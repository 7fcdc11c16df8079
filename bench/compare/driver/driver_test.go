package driver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow takes a millisecond for each command, and fails every tenth.
type slow struct{ proposed atomic.Int64 }

func (s *slow) Propose(context.Context, []byte) error {
	<-time.After(time.Millisecond)
	if s.proposed.Add(1)%10 == 0 {
		return errors.New("refused")
	}
	return nil
}

func (s *slow) Close() error { return nil }

func TestCommandsAfterTheWarmUpAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slow)
		latencies, failed := drive(s, 4, 128, time.Second, 2*time.Second)
		if n := s.proposed.Load(); n != 4*3000 || failed != 1200 {
			t.Errorf("%d commands, %d failed", n, failed)
		}
		if n := len(latencies); n < 7190 || n > 7200 { // those that begin as the warm-up ends are not measured
			t.Errorf("%d commands measured", n)
		}
		for _, l := range latencies {
			if l != time.Millisecond {
				t.Fatalf("a command took %v", l)
			}
		}
	})
}

func TestAddressesAreDistinct(t *testing.T) {
	addresses, err := Addresses()
	if err != nil || len(addresses) != Replicas || addresses[0] == addresses[1] || addresses[1] == addresses[2] || addresses[0] == addresses[2] {
		t.Errorf("%v, %v", addresses, err)
	}
}
