package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAMemberWhoseDiskFailsStopsAndSaysSo makes a sync of the log fail under load. That member can know nothing any more of what it has
// written: it must stop, say why, and leave the others to go on. With the disk in order it comes back.
func TestAMemberWhoseDiskFailsStopsAndSaysSo(t *testing.T) {
	if !straceWorks(t) {
		return
	}
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3)
			s := startClients(c, 1)
			s.awaitWrite(time.Now())
			victim := c.leader()
			if who == "follower" {
				victim = c.follower()
			}
			failing := interfere(t, victim, "error=EIO")
			code := victim.exitCode()
			resumed := s.awaitWrite(time.Now())
			failing.undo()
			if line := victim.lastLine(); code != 1 || !strings.Contains(line, "cannot write the log") || !strings.Contains(line, "input/output error") {
				t.Errorf("%s ended with exit code %d and %q; want 1 and why", victim.name, code, line)
			}
			victim.start()
			victim.awaitReady()
			s.awaitWrite(time.Now())
			s.judge(c)
			t.Logf("writes resumed %v after the member had stopped", resumed.Round(time.Millisecond))
		})
	}
}

// TestALeaderWhoseDiskIsSlowSlowsNobodyDownForLong makes each sync of the leader's log take 200 ms: others' votes are enough.
func TestALeaderWhoseDiskIsSlowSlowsNobodyDownForLong(t *testing.T) {
	t.Parallel()
	if !straceWorks(t) {
		return
	}
	bestOf(t, func(t *testing.T) error {
		gap, _ := underSlowDisk(t, 200*time.Millisecond)
		if limit := 2 * time.Second; gap > limit {
			return fmt.Errorf("no write for %v; want at most %v", gap, limit)
		}
		return nil
	})
}

// TestALeaderWhoseDiskStallsHandsOver makes each sync of the leader's log take longer than others should wait for it, or so long that it is as good as dead.
func TestALeaderWhoseDiskStallsHandsOver(t *testing.T) {
	if !straceWorks(t) {
		return
	}
	for _, stall := range []time.Duration{5 * time.Second, 30 * time.Second} {
		t.Run(stall.String(), func(t *testing.T) {
			t.Parallel()
			bestOf(t, func(t *testing.T) error {
				gap, changes := underSlowDisk(t, stall)
				if gap > handOverMax || changes == 0 || changes > changesMax {
					return fmt.Errorf("no write for %v and %d changes of leader; want at most %v, and 1 to %d", gap, changes, handOverMax, changesMax)
				}
				return nil
			})
		})
	}
}

// handOverMax bounds the time without a write when the leader's disk dies slowly: two election timeouts, and one for the busy machine.
const handOverMax = 3 * time.Second

// underSlowDisk makes the leader's syncs take so long, for a while, and returns the longest time without a write and how often
// the leader changed.
func underSlowDisk(t *testing.T, sync time.Duration) (gap time.Duration, changes int) {
	t.Helper()
	c := startCluster(t, 3)
	s := startClients(c, 1)
	s.awaitWrite(time.Now())
	before := elections(c)
	slow := interfere(t, c.leader(), fmt.Sprintf("delay_enter=%d", sync.Microseconds()))
	begin := time.Since(s.began)
	pass(partialLasts)
	end := time.Since(s.began)
	changes = elections(c) - before
	slow.undo()
	s.awaitWrite(time.Now())
	s.judge(c)
	gap = s.longestGap(begin, end, "")
	t.Logf("with syncs of %v: no write for %v at most, %d changes of leader", sync, gap.Round(time.Millisecond), changes)
	return gap, changes
}

// straceWorks says whether strace is there and may look into a process; if not, faults of disks are not tried, and the output says so.
func straceWorks(t *testing.T) bool {
	t.Helper()
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	tracer, err := startTracer(sleeper.Process.Pid, "error=EIO")
	if err != nil {
		t.Logf("NOT TRIED: no faults of disks, because strace does not work here: %v", err)
		return false
	}
	tracer.undo()
	return true
}

// tracer is strace at work on a process.
type tracer struct{ command *exec.Cmd }

// interfere does something to each sync of a member's log from now on.
func interfere(t *testing.T, m *member, how string) tracer {
	t.Helper()
	tracer, err := startTracer(m.command.Process.Pid, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.undo)
	return tracer
}

// startTracer returns once strace is attached to the process.
func startTracer(pid int, how string) (tracer, error) {
	c := exec.Command("strace", "-f", "-p", fmt.Sprint(pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:"+how)
	c.SysProcAttr = boundToTest()
	stderr, err := c.StderrPipe()
	if err != nil {
		return tracer{}, err
	}
	if err := c.Start(); err != nil {
		return tracer{}, err
	}
	said := bufio.NewScanner(stderr)
	var line string
	for said.Scan() {
		if line = said.Text(); strings.Contains(line, "attached") {
			go func() {
				for said.Scan() { // or it would wait for its reader
				}
			}()
			return tracer{c}, nil
		}
	}
	return tracer{}, fmt.Errorf("%s: %w", line, c.Wait())
}

// undo lets the process go on untouched. To undo again does nothing.
func (tr tracer) undo() {
	tr.command.Process.Signal(syscall.SIGTERM) // the only error is that it has ended
	tr.command.Wait()
}
