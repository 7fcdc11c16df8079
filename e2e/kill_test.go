package e2e

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"
)

var roundsFlag = flag.Int("rounds", 20, "how many times each test kills what it kills")

const (
	// resumeMedianMax bounds the median time from a kill to the next write while a majority is left, and resumeMax the longest,
	// loosely: the machine has others to serve.
	resumeMedianMax = time.Second
	resumeMax       = 5 * time.Second
	// restartMedianMax and restartMax are the same where killed members must first start and read their logs. That takes most of
	// the time, and on a busy machine more than electing a leader.
	restartMedianMax = 3 * time.Second
	restartMax       = 10 * time.Second
	// overlongMax bounds how many kills of a test, all plays of it taken together, may miss resumeMax or restartMax: else a play without them would excuse an election that
	// gets stuck now and then.
	overlongMax = 1
	// writesBetween is how many writes are acknowledged between two faults, and while a killed follower is away.
	writesBetween = 100
)

func TestNothingIsLostWhenTheLeaderIsKilled(t *testing.T) {
	survive(t, 3, func(c *cluster) []*member { return []*member{c.leader()} })
}

func TestNothingIsLostWhenAFollowerIsKilledAndReturns(t *testing.T) {
	survive(t, 3, func(c *cluster) []*member { return []*member{c.follower()} })
}

func TestNothingIsLostWhenAllMembersAreKilledAtOnce(t *testing.T) {
	survive(t, 3, func(c *cluster) []*member { return c.members })
}

func TestAMemberAloneLosesNothingWhenItIsKilled(t *testing.T) {
	survive(t, 1, func(c *cluster) []*member { return c.members })
}

// survive kills, again and again, the members that choose names, under load and with default settings, and brings them back. Writes resume
// soon after each kill: without the killed if a majority is left, else with them. At the end everything that any
// client was told is compared with what the cluster has kept.
func survive(t *testing.T, n int, choose func(*cluster) []*member) {
	overlong := 0
	bestOf(t, func(t *testing.T) error {
		c := startCluster(t, n)
		l := startLoad(c)
		var resumed []time.Duration
		medianMax, longestMax := resumeMedianMax, resumeMax
		for range *roundsFlag {
			l.awaitWrites(writesBetween)
			victims := choose(c)
			killed := time.Now()
			killAtOnce(victims)
			if majorityLeft := 2*(n-len(victims)) > n; majorityLeft {
				resumed = append(resumed, l.awaitResume(killed))
				l.awaitWrites(writesBetween)
				startAll(victims)
			} else {
				medianMax, longestMax = restartMedianMax, restartMax
				startAll(victims)
				resumed = append(resumed, l.awaitResume(killed))
			}
			for _, m := range victims {
				m.awaitReady()
			}
		}
		l.judge(c)
		slices.Sort(resumed)
		median, longest := resumed[len(resumed)/2], resumed[len(resumed)-1]
		t.Logf("writes resumed after kills: %s", figures(resumed))
		within, _ := slices.BinarySearch(resumed, longestMax)
		if overlong += len(resumed) - within; overlong > overlongMax {
			t.Errorf("writes took %v or more to resume after %d kills; want at most %d such kills", longestMax, overlong, overlongMax)
		}
		if median >= medianMax || longest >= longestMax {
			return fmt.Errorf("writes resume within %v in the median and %v at most; want less than %v and %v", median, longest, medianMax, longestMax)
		}
		return nil
	})
}

func killAtOnce(members []*member) {
	for _, m := range members {
		m.command.Process.Kill() // the only error is that it has ended, which awaiting it shows
	}
	for _, m := range members {
		<-m.exited
	}
}

func startAll(members []*member) {
	for _, m := range members {
		m.start()
	}
}

func TestClustersOfEverySizeFormAndServe(t *testing.T) {
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			c := startCluster(t, n)
			for i, m := range c.members {
				m.put("key", m.name)
				other := c.members[(i+1)%n]
				resp, err := other.api.Get(t.Context(), "key")
				if err != nil {
					t.Fatalf("get through %s: %v", other.name, err)
				}
				if len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != m.name {
					t.Errorf("%s does not see what %s has written: %v", other.name, m.name, resp.Kvs)
				}
			}
			c.agree()
			for _, m := range c.members {
				m.stop()
			}
		})
	}
}
