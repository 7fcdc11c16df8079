package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// playsMax is how often a scenario may be played until it keeps its bounds.
const playsMax = 3

// bestOf plays a scenario until it keeps its bounds on time, each time as a test of its own with a fresh cluster, and fails the test if it never does. A busy machine may
// pause a process, the test or a disk for longer than any bound that means something, but not every time; a regression is there every time. So play returns which bound
// was missed, and fails its own test, and with it this one, if anything is wrong that no pause explains.
func bestOf(t *testing.T, play func(t *testing.T) error) {
	t.Helper()
	for n := 1; ; n++ {
		var missed error
		t.Run(fmt.Sprintf("play %d", n), func(t *testing.T) { missed = play(t) })
		if missed == nil || t.Failed() {
			return
		}
		t.Logf("play %d: %v", n, missed)
		if n == playsMax {
			t.Fatalf("a bound was missed in each of %d plays", playsMax)
		}
	}
}

// figures sums up times.
func figures(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%d times, median %v, longest %v", len(times),
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}
