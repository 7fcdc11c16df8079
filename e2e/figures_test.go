package e2e

import (
	"fmt"
	"slices"
	"time"
)

// figures sums up times.
func figures(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%d times, median %v, longest %v", len(times),
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}
