package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rotFlag = flag.Int("rot-rounds", 3, "how many times each test of rotten bytes has some rot")

// TestBytesThatRotWhileAMemberIsDownCostNothing kills a member, changes a random byte in its log, its vital state or its store, and starts it again. It serves, repaired by the others, or refuses and says what to do; then
// it gets its disk back as it was. Nothing is lost either way.
func TestBytesThatRotWhileAMemberIsDownCostNothing(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	fates := map[string]int{}
	for range *rotFlag {
		for _, part := range []string{"log/vital", "log/*.log", "kv/db/*.sst"} {
			l.awaitWrites(writesBetween)
			m := c.follower()
			m.stop() // which writes the store out, so that there is something to rot
			kept := m.dir + ".kept"
			copyTree(t, m.dir, kept)
			path, offset := rot(t, filepath.Join(m.dir, part))
			m.start()
			if m.servesAllOrRefuses() {
				fates[part+": serves"]++
			} else {
				fates[part+": refuses"]++
				if err := os.RemoveAll(m.dir); err != nil {
					t.Fatal(err)
				}
				rename(t, kept, m.dir)
				m.start()
				if !m.servesAllOrRefuses() {
					t.Fatalf("%s refuses its disk as it was", m.name)
				}
			}
			if err := os.RemoveAll(kept); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(m.dir, "kv.aside")); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: byte %d of %s", m.name, offset, path)
		}
	}
	l.judge(c)
	t.Logf("fates: %v", fates)
}

// TestBytesThatRotUnderARunningMemberAreMadeGood changes bytes of a running member's vital state and of records of its log. It finds them, and repairs them without a restart.
func TestBytesThatRotUnderARunningMemberAreMadeGood(t *testing.T) {
	c := newCluster(t, serve(), placesFor(t, 3))
	for _, m := range c.members {
		m.flags = append(m.flags, "--scrub-rate-bytes=1000000000")
	}
	c.start()
	l := startLoad(c)
	for range *rotFlag {
		l.awaitWrites(writesBetween)
		m := c.members[rand.IntN(3)]
		vital := filepath.Join(m.dir, "log", "vital")
		damaged := flip(t, vital, int64(rand.IntN(4)*4096+rand.IntN(112)))
		segment, at := m.lastRecord("writer/")
		l.awaitWrites(writesBetween) // so that its slot is known to be chosen and it is not written again
		flip(t, segment, at)
		eventually(t, m.name+" makes its vital state good", func() bool {
			if !m.says(`"kind":"vital"`) && !damaged() { // a promise was written over it
				damaged = flip(t, vital, int64(rand.IntN(4)*4096+rand.IntN(112)))
			}
			return m.says(`"kind":"vital"`)
		})
		m.awaitLine(`been made good","member":"` + m.idInLog() + `","kind":"record"`)
		m.kill()
		m.start()
		m.awaitReady()
	}
	l.judge(c)
}

// idInLog is how a member names itself in its log.
func (m *member) idInLog() string {
	m.t.Helper()
	resp, err := m.api.Status(m.t.Context(), m.client)
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf("%x", resp.Header.MemberId)
}

// lastRecord returns where in the member's log a text occurs last.
func (m *member) lastRecord(text string) (segment string, at int64) {
	m.t.Helper()
	segments, err := filepath.Glob(filepath.Join(m.dir, "log", "*.log"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, path := range slices.Backward(segments) {
		content, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		if at := bytes.LastIndex(content, []byte(text)); at >= 0 {
			return path, int64(at)
		}
	}
	m.t.Fatalf("%q is nowhere in the log of %s", text, m.name)
	return "", 0
}

// rot changes a random byte of a random file that is no zero, or any if there is none, and says which.
func rot(t *testing.T, pattern string) (path string, offset int64) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file is %s: %v", pattern, err)
	}
	for range 100 { // most of a log is zeros yet
		path = files[rand.IntN(len(files))]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.TrimRight(content, "\x00")
		if len(content) > 0 {
			offset = rand.Int64N(int64(len(content)))
			break
		}
	}
	flip(t, path, offset)
	return path, offset
}

// flip changes one bit of a file. What it returns reports whether the byte is still what it has become.
func flip(t testing.TB, path string, offset int64) (still func() bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << rand.IntN(8)
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content[offset] == b[0]
	}
}

// servesOrRefuses waits until the member serves, or has ended and said what to do. One whose store turns out to be damaged ends once and is started again.
func (m *member) servesOrRefuses() bool {
	m.t.Helper()
	for range 3 {
		select {
		case <-m.ready:
			return true
		case <-m.exited:
		case <-time.After(patience):
			m.t.Fatalf("%s neither serves nor ends", m.name)
		}
		line := m.lastLine()
		if !strings.HasPrefix(line, "synod: ") {
			m.t.Fatalf("%s ended with %q", m.name, line)
		}
		if !strings.Contains(line, "is damaged") || strings.Contains(line, "replace") {
			if !strings.Contains(line, "replace the member") && !strings.Contains(line, "damaged again") {
				m.t.Errorf("the last line of %s does not say what to do: %q", m.name, line)
			}
			return false
		}
		m.start()
	}
	return false
}

// servesAllOrRefuses is servesOrRefuses for a member that then has to read its whole store, so that damage does not lie there until later. One that comes upon some ends, and is started again.
func (m *member) servesAllOrRefuses() bool {
	m.t.Helper()
	if !m.servesOrRefuses() {
		return false
	}
	ended := false
	eventually(m.t, m.name+" has read its store", func() bool {
		select {
		case <-m.exited:
			ended = true
			return true
		default:
		}
		_, err := m.api.HashKV(m.t.Context(), m.client, 0)
		return err == nil
	})
	if !ended {
		return true
	}
	if line := m.lastLine(); !strings.Contains(line, "is damaged") {
		m.t.Fatalf("%s ended with %q", m.name, line)
	}
	m.start()
	return m.servesOrRefuses()
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// placesFor returns places for n members.
func placesFor(t testing.TB, n int) (places []place) {
	for range n {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	return places
}

// diskCommand runs synod disk and returns what it says.
func diskCommand(args ...string) (said string, err error) {
	out, err := exec.Command(filepath.Join(programs, "synod"), append([]string{"disk"}, args...)...).CombinedOutput()
	return string(out), err
}
