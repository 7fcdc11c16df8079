package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAMemberWhoseDiskIsFullStopsAndTheOthersGoOn lets a real file system run full under a member: it stops and says so, the others go on, and with room again it comes back with everything.
func TestAMemberWhoseDiskIsFullStopsAndTheOthersGoOn(t *testing.T) {
	const roomBytes, valueBytes = 330 << 20, 1 << 20
	c := newCluster(t, serve(), placesFor(t, 3))
	victim := c.members[2]
	if err := os.MkdirAll(victim.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", victim.dir, "tmpfs", 0, "size=330m"); err != nil {
		t.Logf("NOT TRIED: no disk that runs full, because this user cannot mount one: %v", err)
		return
	}
	t.Cleanup(func() {
		victim.kill()
		if err := syscall.Unmount(victim.dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	c.start()
	filler := filepath.Join(victim.dir, "filler")
	fill(t, filler, roomBytes)
	value := strings.Repeat("v", valueBytes)
	written := 0
	for ended := false; !ended && written < 512; written++ {
		if _, err := c.members[0].api.Put(t.Context(), "key", value); err != nil {
			t.Fatalf("put %d: %v", written, err)
		}
		select {
		case <-victim.exited:
			ended = true
		default:
		}
	}
	if code := victim.exitCode(); code != 1 || !strings.Contains(victim.lastLine(), "no space left on device") {
		t.Errorf("it ended with exit code %d and %q", code, victim.lastLine())
	}
	if _, err := c.members[1].api.Put(t.Context(), "key", "the last"); err != nil {
		t.Errorf("without the full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	victim.start()
	victim.awaitReady()
	c.agree()
	t.Logf("it ended after %d values of 1 MiB", written)
}

// fill writes a file until the disk is full, or it has so many bytes.
func fill(t *testing.T, path string, bytes int) {
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
