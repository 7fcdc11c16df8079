package transport

import (
	"testing"
	"time"
)

func TestRetriesComeQuicklyAtFirstAndOnceASecondInTheEnd(t *testing.T) {
	var retry backoff
	between := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s retry after %v, want %v to %v", what, got, least, most)
		}
	}
	between("first", retry.next(0), retryMin/2, retryMin)
	between("second", retry.next(0), retryMin, 2*retryMin)
	for range 10 {
		retry.next(0)
	}
	seen := map[time.Duration]bool{}
	for range 10 {
		wait := retry.next(0)
		between("late", wait, retryMax/2, retryMax)
		seen[wait] = true
	}
	if len(seen) < 2 {
		t.Error("retries have no jitter")
	}
	between("the broken connection's", retry.next(retryMax), retryMax/2, retryMax)
	between("the lasting connection's", retry.next(retryMax+1), retryMin/2, retryMin)
}
