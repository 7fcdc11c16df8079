package e2e

import (
	"encoding/hex"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAWipedMemberIsRefusedAndNothingIsLost kills a member and empties its data directory. What it promised there is forgotten, so
// it must not vote again; brought back with its directory restored, it is welcome.
func TestAWipedMemberIsRefusedAndNothingIsLost(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	l.awaitWrites(writesBetween)
	m := c.leader()
	m.kill()
	kept := m.dir + ".kept"
	rename(t, m.dir, kept)
	m.start()
	m.endsRefused("wiped or replaced")
	l.awaitWrites(writesBetween)

	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	rename(t, kept, m.dir)
	m.start()
	m.awaitReady()
	l.awaitWrites(writesBetween)
	l.judge(c)
}

// TestAMemberWithTheDirectoryOfAnotherIsRefused swaps the directories of two members, as a slip in a deployment would.
func TestAMemberWithTheDirectoryOfAnotherIsRefused(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	l.awaitWrites(writesBetween)
	a, b := c.members[0], c.members[1]
	killAtOnce([]*member{a, b})
	swap := func() {
		aside := a.dir + ".aside"
		rename(t, a.dir, aside)
		rename(t, b.dir, a.dir)
		rename(t, aside, b.dir)
	}
	swap()
	for _, m := range []*member{a, b} {
		m.start()
		m.endsRefused("directory belongs to another member")
	}
	swap()
	startAll([]*member{a, b})
	a.awaitReady()
	b.awaitReady()
	l.awaitWrites(writesBetween)
	l.judge(c)
}

// TestAMemberOfAnotherClusterIsRefused starts, in the place of a dead member and under its name, one that was given another cluster token.
func TestAMemberOfAnotherClusterIsRefused(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	l.awaitWrites(writesBetween)
	m := c.leader()
	m.kill()
	dir, flags := m.dir, m.flags
	m.dir, m.flags = dir+".impostor", append(slices.Clone(flags), "--initial-cluster-token=another")
	m.start()
	m.awaitLine("correct the address or the cluster") // the others' reason
	l.awaitWrites(writesBetween)
	select {
	case <-m.ready:
		t.Error("a member of another cluster serves")
	default:
	}
	m.kill()
	m.dir, m.flags = dir, flags
	m.start()
	m.awaitReady()
	l.judge(c)
}

// TestGarbageOnThePeerPortHarmsNothing throws bytes at the ports on which members listen for each other, under load: random ones, and the
// beginning of a handshake with random ones behind it.
func TestGarbageOnThePeerPortHarmsNothing(t *testing.T) {
	const seed, connections = 1, 300
	magic, err := hex.DecodeString("53594e440100") // SYND 1.0
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, 3)
	l := startLoad(c)
	random := rand.NewChaCha8([32]byte{seed})
	for i := range connections {
		garbage := make([]byte, 1+int(random.Uint64()%65536))
		random.Read(garbage)
		if i%2 == 0 {
			garbage = append(magic, garbage...)
		}
		throw(t, c.members[i%3].peer, garbage)
	}
	l.awaitWrites(writesBetween)
	for _, m := range c.members {
		select {
		case <-m.exited:
			t.Errorf("%s has ended", m.name)
		default:
		}
	}
	l.judge(c)
}

// throw writes garbage to a port, or as much of it as the other side takes before it hangs up.
func throw(t *testing.T, address string, garbage []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("the peer port does not answer any more: %v", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn.Write(garbage) // it may be cut off half-way, and should
}

// endsRefused demands that the member ends by itself, with a failure and a last line that gives the reason.
func (m *member) endsRefused(reason string) {
	m.t.Helper()
	if code := m.exitCode(); code != 1 {
		m.t.Errorf("%s ended with exit code %d, want 1", m.name, code)
	}
	line := m.lastLine()
	if !strings.HasPrefix(line, "synod: ") || !strings.Contains(line, reason) {
		m.t.Errorf("the last line of %s is %q; want the reason, %q", m.name, line, reason)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
