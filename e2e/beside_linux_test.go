package e2e

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var besideRounds = flag.Int("beside-rounds", 0, "how often each fault befalls Synod and etcd in TestFaultsBesideEtcd; 0 for the first of them, once")

const (
	// faultLasts is how long each fault is left as it is: a few of the times that an election may take.
	faultLasts = 8 * time.Second
	// killLasts is that for a dead leader, which nobody has to find out about.
	killLasts = 4 * time.Second
	// stallLasts is how long a sync takes on a disk that stalls, and stalled how long that is looked at.
	stallLasts, stalled = 30 * time.Second, 32 * time.Second
	// rowMark is what a line of the table begins with where it is said.
	rowMark = "row: "
)

// misfortune is something that befalls the leader, or the network around it, and that is undone later.
type misfortune struct {
	name    string
	members int
	lasts   time.Duration
	prepare func(c *cluster) // before it starts; may be nil
	befall  func(n *nemesis, s *steady, leader *member)
}

// misfortunes are those that Synod and etcd have to bear in turn.
func misfortunes() []misfortune {
	leaders := func(name string, lasts time.Duration, befall func(*nemesis, *member)) misfortune {
		return misfortune{name: name, members: 3, lasts: lasts, befall: func(n *nemesis, _ *steady, leader *member) { befall(n, leader) }}
	}
	all := []misfortune{
		leaders("kill -9 of the leader", killLasts, func(n *nemesis, leader *member) { n.kill(leader) }),
		leaders("the leader is stopped", faultLasts, func(n *nemesis, leader *member) { n.pause(leader) }),
		leaders("the disk of the leader is wiped", faultLasts, (*nemesis).wipe),
		leaders("an fdatasync of the leader fails", faultLasts, (*nemesis).failSync),
		leaders("each fdatasync of the leader takes 30 s", stalled, (*nemesis).stallSyncs),
		{name: "the disk of the leader fills up", members: 3, lasts: faultLasts, prepare: mountDisks, befall: (*nemesis).fillDisk},
		leaders("isolated: nobody reaches the leader", faultLasts, func(n *nemesis, leader *member) {
			for _, m := range append(n.others(leader), nil) {
				part(n.network, leader, m)
			}
			n.undoing = append(n.undoing, n.network.heal)
		}),
	}
	for _, p := range partialPartitions {
		all = append(all, misfortune{name: p.name, members: p.members, lasts: faultLasts, befall: func(n *nemesis, _ *steady, leader *member) {
			p.cut(n, leader)
			n.undoing = append(n.undoing, n.network.heal)
		}})
	}
	return all
}

// TestFaultsBesideEtcd has the same misfortunes befall clusters of Synod and of etcd in turn, with default settings, and prints for how long each took no writes. What Synod's clients were told is judged, and
// writes must resume before anything is undone; how soon is compared and not judged, since the machine may be busy. Each misfortune has a network of namespaces to itself.
func TestFaultsBesideEtcd(t *testing.T) {
	if *namespacesFlag {
		for _, f := range misfortunes() {
			t.Run(f.name, func(t *testing.T) { f.befallBoth(t, max(1, *besideRounds)) })
		}
		return
	}
	t.Parallel()
	if why := noNamespaces(); why != "" {
		t.Logf("NOT TRIED: nothing beside etcd, because %s", why)
		return
	}
	if !straceWorks(t) {
		return
	}
	buildEtcd(t)
	faults := misfortunes()
	if *besideRounds == 0 {
		faults = faults[:1]
	}
	rows := make([]string, len(faults))
	t.Run("each", func(t *testing.T) {
		for i, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				name := regexp.QuoteMeta(strings.ReplaceAll(f.name, " ", "_"))
				for _, line := range inNamespaces(t, "^TestFaultsBesideEtcd$/^"+name+"$", fmt.Sprintf("-beside-rounds=%d", *besideRounds)) {
					if _, row, found := strings.Cut(line, rowMark); found {
						rows[i] = row
					}
				}
			})
		}
	})
	t.Logf("no write was acknowledged for (ms):\n| fault | rounds | Synod: median | longest | etcd: median | longest |\n|---|---|---|---|---|---|\n%s", strings.Join(rows, "\n"))
}

// befallBoth plays so many rounds with each contender, who take turns, and says the row of the table.
func (f misfortune) befallBoth(t *testing.T, rounds int) {
	etcd := []string{buildEtcd(t)}
	var synods, etcds []time.Duration
	for round := range rounds {
		t.Run(fmt.Sprintf("Synod %d", round), func(t *testing.T) {
			c, w := newNamespacedCluster(t, serve(), f.members)
			gap, s := f.befallOne(t, c, w)
			synods = append(synods, gap)
			if gap >= f.lasts {
				t.Errorf("no write while it lasted, which was %v", f.lasts)
			}
			s.awaitAll()
			s.judge(c)
			chosenLog(t, c) // which compares what the members have voted for
		})
		t.Run(fmt.Sprintf("etcd %d", round), func(t *testing.T) {
			c, w := newNamespacedCluster(t, etcd, f.members)
			gap, s := f.befallOne(t, c, w)
			etcds = append(etcds, gap)
			s.stop()
		})
	}
	if t.Failed() || len(synods) == 0 || len(etcds) == 0 { // or one of them was not asked for
		return
	}
	t.Logf("%s| %s | %d | %s | %s |", rowMark, f.name, rounds, f.figures(synods), f.figures(etcds))
}

// befallOne plays one round and returns the longest time without a write while the misfortune lasted. In the end it is undone.
func (f misfortune) befallOne(t *testing.T, c *cluster, w network) (time.Duration, *steady) {
	t.Helper()
	n := &nemesis{t: t, cluster: c, network: w}
	if f.prepare != nil {
		f.prepare(c)
	}
	c.start()
	s := startSteady(c)
	s.awaitAll()
	s.awaitWrites(writesBetween)
	leader, began := c.leader(), time.Now()
	f.befall(n, s, leader)
	pass(f.lasts)
	gap := s.longestGap(began, time.Now())
	t.Logf("no write for %v", gap.Round(time.Millisecond))
	n.undo()
	return gap, s
}

// figures are the two columns of a contender, in milliseconds.
func (f misfortune) figures(gaps []time.Duration) string {
	slices.Sort(gaps)
	column := func(gap time.Duration) string {
		if gap >= f.lasts {
			return fmt.Sprintf("all of the %v", f.lasts)
		}
		return fmt.Sprint(gap.Milliseconds())
	}
	return column(gaps[len(gaps)/2]) + " | " + column(gaps[len(gaps)-1])
}

// wipe kills a member and starts it with an empty directory. That nobody lets it in is another test's.
func (n *nemesis) wipe(victim *member) {
	victim.kill()
	kept := victim.dir + ".kept"
	rename(n.t, victim.dir, kept)
	victim.start()
	n.undoing = append(n.undoing, func() {
		victim.kill()
		if err := os.RemoveAll(victim.dir); err != nil {
			n.t.Fatal(err)
		}
		rename(n.t, kept, victim.dir)
		victim.start()
	})
}

// failSync makes syncs of a member fail, of which the first must be its end.
func (n *nemesis) failSync(victim *member) {
	failing := interfere(n.t, victim, "error=EIO")
	n.undoing = append(n.undoing, func() {
		victim.exitCode()
		failing.undo()
		victim.start()
	})
}

func (n *nemesis) stallSyncs(victim *member) {
	slow := interfere(n.t, victim, fmt.Sprintf("delay_enter=%d", stallLasts.Microseconds()))
	n.undoing = append(n.undoing, slow.undo)
}

func mountDisks(c *cluster) {
	c.t.Helper()
	for _, m := range c.members {
		if err := m.mountDisk(diskBytes); err != nil {
			c.t.Fatal(err)
		}
	}
}
