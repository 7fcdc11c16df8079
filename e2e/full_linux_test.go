package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskBytes is the room for a member whose disk can be filled: more than it takes while another's fills up.
const diskBytes = 512 << 20

// TestAMemberWhoseDiskIsFullStopsAndTheOthersGoOn lets a real file system run full under a member, which may be the leader: it stops and says so, the others go on, and with room again it comes back with everything.
func TestAMemberWhoseDiskIsFullStopsAndTheOthersGoOn(t *testing.T) {
	c := newCluster(t, serve(), placesFor(t, 3))
	victim := c.members[rand.IntN(len(c.members))]
	if err := victim.mountDisk(diskBytes); err != nil {
		t.Logf("NOT TRIED: no disk that runs full, because this user cannot mount one: %v", err)
		return
	}
	c.start()
	s := startSteady(c)
	s.awaitAll()
	led := c.leader() == victim
	n := &nemesis{t: t, cluster: c}
	n.fillDisk(s, victim)
	if code := victim.exitCode(); code != 1 || !strings.Contains(victim.lastLine(), "no space left on device") {
		t.Errorf("it ended with exit code %d and %q", code, victim.lastLine())
	}
	s.awaitWrites(writesBetween)
	n.undo()
	s.awaitAll()
	s.judge(c)
	t.Logf("it led: %v", led)
}

// mountDisk gives a member that has not started yet a file system of its own for its data. The error is that this user cannot.
func (m *member) mountDisk(roomBytes int) error {
	m.t.Helper()
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", m.dir, "tmpfs", 0, fmt.Sprintf("size=%d", roomBytes)); err != nil {
		return err
	}
	m.t.Cleanup(func() {
		m.kill()
		if err := syscall.Unmount(m.dir, 0); err != nil {
			m.t.Errorf("unmount: %v", err)
		}
	})
	return nil
}

// fill writes a file until the disk is full, or it has so many bytes.
func fill(t testing.TB, path string, bytes int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := make([]byte, 1<<20)
	for n := 0; n < bytes; n += len(piece) {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// fillDisk takes all room on a member's disk, and has large values written until that is its end: what it has set aside may last for a while.
func (n *nemesis) fillDisk(s *steady, victim *member) {
	const writers, valueBytes, valuesMax = 2, 512 << 10, 1000 // of each
	filler := filepath.Join(victim.dir, "filler")
	fill(n.t, filler, diskBytes)
	process, through := victim.process, n.from(victim, 1)
	for writer := range writers {
		s.clients.Go(func() {
			for i := range valuesMax {
				select {
				case <-process.exited:
					return
				case <-s.stopping:
					return
				default:
					s.note(s.putValue(through, fmt.Sprintf("large/%d", writer), fmt.Sprint(i, strings.Repeat(" ", valueBytes)), steadyTimeout))
				}
			}
		})
	}
	n.undoing = append(n.undoing, func() {
		victim.exitCode()
		if err := os.Remove(filler); err != nil {
			n.t.Fatal(err)
		}
		victim.start()
	})
}
