package kv

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// testClock is a monotonic clock that passes when it is told to. It begins late, as the clock of a machine that has been up for long.
type testClock struct{ now time.Duration }

func (c *testClock) pass(d time.Duration) { c.now += d }

func (c *testClock) open(t fataler, fs vfs.FS) *fixture {
	t.Helper()
	failed := func(err error) { t.Errorf("the store has failed: %v", err) }
	s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, CacheBytes: 8 << 20, Fail: failed, Elapsed: func() time.Duration { return c.now }})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return &fixture{Store: s, t: t, slot: s.Applied()}
}
