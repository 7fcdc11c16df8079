package synod

import (
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// checkDirectory returns what CheckDisk says of a node's directory.
func checkDirectory(t *testing.T, files disk.FS, dir string) (worst disk.Severity, lines string) {
	t.Helper()
	to := disk.Inspection{
		Found:    func(f disk.Finding) { worst, lines = max(worst, f.Severity), lines+f.String()+"\n" },
		Progress: func(string, int64, int64) {},
	}
	if _, err := checkDisk(files, dir, to); err != nil {
		t.Fatal(err)
	}
	return worst, lines
}

// checkNode returns what CheckDisk says of a node's directory, and of a machine at a slot.
func checkNode(t *testing.T, files disk.FS, applied paxos.Slot) (worst disk.Severity, lines string) {
	t.Helper()
	to := disk.Inspection{
		Found:    func(f disk.Finding) { worst, lines = max(worst, f.Severity), lines+f.String()+"\n" },
		Progress: func(string, int64, int64) {},
	}
	h, err := checkDisk(files, "/log", to)
	if err != nil {
		t.Fatal(err)
	}
	h.CheckMachine("machine", applied, to)
	return worst, lines
}

// trimmedDisk is the disk of a node in memory that has trimmed its log and has a snapshot.
func trimmedDisk(t *testing.T) (files *disk.Mem, applied, trimmed paxos.Slot) {
	t.Helper()
	files = disk.NewMem()
	node, _, err := alone(t, "in memory", files)
	if err != nil {
		t.Fatal(err)
	}
	g := &gallery{t: t, kind: "in memory", ctx: within(t, 60e9)}
	g.take(node, 40*photoBytes)
	g.awaitTrimmed(node, 1)
	status := node.Status()
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	return files, status.Applied, status.Trimmed
}

func TestCheckFindsWhatIsWrongInANodesDirectory(t *testing.T) {
	files, applied, trimmed := trimmedDisk(t)
	if worst, lines := checkNode(t, files, applied); worst != disk.Notice {
		t.Fatalf("in a sound directory: %s", lines)
	}
	if worst, lines := checkNode(t, files, applied+1000); worst != disk.Fatal || !strings.Contains(lines, "do not belong together") {
		t.Errorf("of a machine above its log: %s", lines)
	}
	if worst, lines := checkNode(t, files, trimmed-1); worst != disk.Damage || !strings.Contains(lines, "begins after slot") {
		t.Errorf("of a machine that lacks what is trimmed: %s", lines)
	}
	names, err := files.ReadDir("/log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, ok := snapshotSlot(name); ok {
			image := files.Crash(disk.KeepAll)
			if err := image.Flip(filepath.Join("/log", name), 100, 1); err != nil {
				t.Fatal(err)
			}
			if worst, lines := checkNode(t, image, applied); worst != disk.Damage || !strings.Contains(lines, "the snapshot is not whole") {
				t.Errorf("of a damaged snapshot: %s", lines)
			}
		}
	}
	for _, own := range []slotFile{intentFile, releasedFile} {
		image := files.Crash(disk.KeepAll)
		if err := own.write(image, "/log", 1, 1); err != nil {
			t.Fatal(err)
		}
		if worst, lines := checkNode(t, image, applied); strings.Contains(lines, "does not know") {
			t.Errorf("of %s: %v %s", own.name, worst, lines)
		}
	}
	for name, want := range map[string]string{membershipName: "cannot tell who the members are", "a-stranger": "does not know the file", "stranger.tmp": "it is given another name"} {
		image := files.Crash(disk.KeepAll)
		if err := disk.Replace(image, "/log/"+name, []byte("bytes")); err != nil {
			t.Fatal(err)
		}
		if _, lines := checkNode(t, image, applied); !strings.Contains(lines, want) {
			t.Errorf("of %s: %q, want %q", name, lines, want)
		}
	}
}
