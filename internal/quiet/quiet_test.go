package quiet

import (
	"testing"
	"time"
)

func TestAMatterIsLoggedOnceInAnIntervalAndSaysHowOftenItWasNot(t *testing.T) {
	var m Matter
	start := time.Unix(1, 0)
	for _, step := range []struct {
		at    time.Duration
		muted int
		ok    bool
	}{
		{0, 0, true}, {0, 0, false}, {Interval - 1, 0, false}, {Interval, 2, true}, {Interval + 1, 0, false}, {2 * Interval, 1, true}, {4 * Interval, 0, true},
	} {
		if muted, ok := m.May(start.Add(step.at)); muted != step.muted || ok != step.ok {
			t.Errorf("after %v: %d, %t; want %d, %t", step.at, muted, ok, step.muted, step.ok)
		}
	}
}
