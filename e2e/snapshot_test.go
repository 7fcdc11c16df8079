package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var storeMiB = flag.Int("store-mib", 320, "how much is written while a member is away, in MiB")

const (
	// walBytes is the least that --wal-bytes takes.
	walBytes = 128 << 20
	// bulkBytes is the size of each value of the bulk.
	bulkBytes = 1 << 20
	// calmFor is how long writes are measured without a transfer beside them.
	calmFor = 5 * time.Second
)

// TestAMemberThatMissedMoreThanTheLogComesBackBySnapshot writes more than the log keeps while a member is away. It comes back by a snapshot and is equal; how fast writes
// are beside the transfer, and how much memory it takes, is printed.
func TestAMemberThatMissedMoreThanTheLogComesBackBySnapshot(t *testing.T) {
	c := startCluster(t, 3)
	for _, m := range c.members {
		m.flags = append(m.flags, fmt.Sprintf("--wal-bytes=%d", walBytes))
		m.stop()
		m.start()
	}
	for _, m := range c.members {
		m.awaitReady()
	}
	away := c.follower()
	away.stop()
	writer := c.leader()
	writeBulk(t, writer)
	for _, m := range c.members {
		if m != away {
			m.awaitLine("the log is trimmed")
		}
	}
	calmUntil := time.Now().Add(calmFor)
	calm := measurePuts(writer, func() bool { return time.Now().After(calmUntil) })

	for _, m := range c.members {
		if m != away {
			forgetPeakMemory(t, m)
		}
	}
	began := time.Now()
	away.start()
	late := began.Add(transferPatience())
	beside := measurePuts(writer, func() bool { return away.says("a snapshot is installed") || time.Now().After(late) })
	took := time.Since(began)
	if time.Now().After(late) {
		t.Fatalf("no snapshot is installed within %v", took)
	}
	away.awaitReady()
	t.Logf("%d MiB written; back after %v; put p50 %v p99 %v, beside the transfer p50 %v p99 %v",
		*storeMiB, took.Round(time.Millisecond), percentile(calm, 50), percentile(calm, 99), percentile(beside, 50), percentile(beside, 99))
	for _, m := range c.members {
		t.Logf("%s (leads %v, was away %v): peak memory since then %s", m.name, m == writer, m == away, peakMemory(t, m))
	}
	c.agreeWithin(transferPatience())
}

// transferPatience bounds the wait for the transfer of the store: a sixteenth of the rate it is sent at.
func transferPatience() time.Duration { return 2*patience + time.Duration(*storeMiB)*time.Second/4 }

// writeBulk writes values that cannot be compressed.
func writeBulk(t testing.TB, m *member) {
	t.Helper()
	var clients sync.WaitGroup
	var next atomic.Int64 // a client that cannot go on leaves the rest to the others, and nobody waits for it
	for range 4 {
		clients.Go(func() {
			for n := next.Add(1) - 1; n < int64(*storeMiB); n = next.Add(1) - 1 {
				value := make([]byte, bulkBytes)
				random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
				random.Read(value) // never fails
				m.put(fmt.Sprintf("bulk-%06d", n), string(value))
			}
		})
	}
	clients.Wait()
}

// measurePuts writes small values, one after the other at the load's pace, until it is enough, and returns how long each took, ascending.
func measurePuts(m *member, enough func() bool) (took []time.Duration) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for !enough() {
		<-ticker.C
		began := time.Now()
		m.put("small", "value")
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// says reports whether a line of the process' log contains text.
func (p *process) says(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.lines, func(line string) bool { return strings.Contains(line, text) })
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100].Round(10 * time.Microsecond)
}

// forgetPeakMemory has the kernel count the peak from now on.
func forgetPeakMemory(t testing.TB, m *member) {
	t.Helper()
	if err := os.WriteFile("/proc/"+strconv.Itoa(m.command.Process.Pid)+"/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// peakMemory is the most memory that a member's process has had, as the kernel counts it.
func peakMemory(t testing.TB, m *member) string {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(m.command.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(peak)
		}
	}
	return "unknown"
}
