package serverconfig

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// compactionPeriodLimit bounds --auto-compaction-retention with a period.
const compactionPeriodLimit = 366 * 24 * time.Hour

// checkCompaction reads --auto-compaction-retention by its mode and etcd's rules: with periodic a number is hours, with revision a count.
func (c *Config) checkCompaction() (err error) {
	count, notNumber := strconv.ParseUint(c.compactionRetention, 10, 63)
	switch c.compactionMode {
	case "revision":
		c.CompactionRevisions = int64(count)
		if notNumber != nil {
			err = fmt.Errorf("give a number of revisions")
		}
	case "periodic":
		c.CompactionPeriod = time.Duration(min(count, math.MaxInt32)) * time.Hour
		if notNumber != nil {
			c.CompactionPeriod, err = time.ParseDuration(c.compactionRetention)
		}
		if err != nil || c.CompactionPeriod < 0 || c.CompactionPeriod > compactionPeriodLimit || c.CompactionPeriod > 0 && c.CompactionPeriod < time.Second {
			err = fmt.Errorf("give hours or a duration such as 30m, from 1s to %v, or 0 for none", compactionPeriodLimit)
		}
	}
	if err != nil {
		return fmt.Errorf("--auto-compaction-retention %q: %w", c.compactionRetention, err)
	}
	return nil
}
