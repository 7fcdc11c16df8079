package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/wal"
)

func TestRepairDoesNothingUnlessItIsToldToAndThenLeavesTheDirectorySound(t *testing.T) {
	dir := writeMember(t, 3, chosenPuts(t, 5)...)
	logDir := filepath.Join(dir, "log")
	content, err := os.ReadFile(filepath.Join(logDir, "vital"))
	if err != nil {
		t.Fatal(err)
	}
	content[5000] ^= 1
	for name, content := range map[string][]byte{"vital": content, "segment.tmp": nil, "a-stranger.tmp": []byte("?"), "a-stranger": []byte("?")} {
		if err := os.WriteFile(filepath.Join(logDir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(t, filepath.Join(dir, "kv", "db"), ".sst")
	before := treeOf(t, dir)
	said, code := runDisk("repair", dir)
	if code != exitFailure || treeOf(t, dir) != before {
		t.Errorf("without --yes: exit code %d, and the directory must not change: %s", code, said)
	}
	for _, want := range []string{"to do: let the log in", "to do: give " + filepath.Join(logDir, "a-stranger.tmp"), "to do: set the store in", "add --yes"} {
		if !strings.Contains(said, want) {
			t.Errorf("want %q in:\n%s", want, said)
		}
	}
	if said, code := runDisk("repair", dir, "--yes"); code != 0 || strings.Count(said, "done: ") != 3 {
		t.Errorf("exit code %d: %s", code, said)
	}
	if names := listing(t, dir); !slices.Contains(names, "kv.aside") || slices.Contains(names, "kv") {
		t.Errorf("in the directory: %v", names)
	}
	if names := listing(t, logDir); !slices.Contains(names, "a-stranger.tmp.aside") || !slices.Contains(names, "a-stranger") || slices.Contains(names, "segment.tmp") {
		t.Errorf("in the log's: %v", names)
	}
	if said, code := runDisk("check", dir); code != 0 || strings.Contains(said, "damage") || !strings.Contains(said, "promised 1.b.1; log up to LSN 5 and slot 5") {
		t.Errorf("after the repair: exit code %d: %s", code, said)
	}
}

// A repair must not make a member out of one that may not vote.
func TestRepairTouchesNothingWhereAVoteMayBeLost(t *testing.T) {
	dir := writeMember(t, 2, chosenPuts(t, 5)...)
	segment := filepath.Join(dir, "log", "00000001.log")
	content, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	content[512+20] ^= 1
	if err := os.WriteFile(segment, content, 0o600); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, "kv", "db"), ".sst")
	before := treeOf(t, dir)
	if said, code := runDisk("repair", dir, "--yes"); code != exitFailure || !strings.Contains(said, "replace the member") || treeOf(t, dir) != before {
		t.Errorf("exit code %d: %s", code, said)
	}
}

func TestRepairKeepsTheOnlyStoreOfAMemberAlone(t *testing.T) {
	dir := writeMember(t, 3, chosenPuts(t, 5)...)
	log, err := wal.Open(disk.OS(), filepath.Join(dir, "log"), wal.Options{Cluster: 0xc, Node: testNode})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Trim(2); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, "kv", "db"), ".sst")
	before := treeOf(t, dir)
	if said, code := runDisk("repair", dir, "--yes"); code != exitFailure || !strings.Contains(said, "restore a backup") || treeOf(t, dir) != before {
		t.Errorf("exit code %d: %s", code, said)
	}
}

func TestADirectoryInUseIsNotRepaired(t *testing.T) {
	dir := writeMember(t, 3, chosenPuts(t, 5)...)
	lock, err := disk.OS().Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if said, code := runDisk("repair", dir, "--yes"); code != exitUsage || !strings.Contains(said, "in use") {
		t.Errorf("exit code %d: %s", code, said)
	}
}
