package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

// writeMember makes a member's data directory: a log with the records, and a store that has applied its first slots.
func writeMember(t *testing.T, applied int, records ...*paxos.Record) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "member")
	writeLog(t, filepath.Join(dir, "log"), records...)
	store, err := kv.Open(kv.Config{Dir: filepath.Join(dir, "kv"), Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records[:applied] {
		if err := applyTo(store, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chosenPuts are records of slots 1 to n, one put each, all of one leader; the last of them is not known to be chosen.
func chosenPuts(t *testing.T, n int) (records []*paxos.Record) {
	for slot := range paxos.Slot(n) {
		records = append(records, accept(slot+1, ballotOf(1, 0xb), slot, putValue(t, "key"+strings.Repeat("x", int(slot)))))
	}
	return records
}

// runDisk runs a command and returns all it says and its exit code.
func runDisk(args ...string) (said string, code int) {
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"synod", "disk"}, args...), &stdout, &stderr)
	return stdout.String() + stderr.String(), code
}

func TestCheckSaysHowMuchADirectoryHoldsAndEndsWithZeroIfItIsSound(t *testing.T) {
	records := chosenPuts(t, 5)
	poor, rich := writeMember(t, 2, records[:3]...), writeMember(t, 3, records...)
	said, code := runDisk("check", poor, rich)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	for _, want := range []string{
		"holds everything up to slot 3, proven up to 2, and knows of choices up to 2\n",
		"store at slot 3, revision 4, 3 keys; holds everything up to slot 5, proven up to 4, and knows of choices up to 4\n",
		rich + " holds most: up to slot 5",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("want %q in:\n%s", want, said)
		}
	}
}

func TestCheckEndsWithOneIfSomethingIsWrongAndWithTwoIfItCannotTell(t *testing.T) {
	dir := writeMember(t, 3, chosenPuts(t, 5)...)
	before := treeOf(t, dir)
	lock, err := disk.OS().Lock(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if said, code := runDisk("check", dir); code != exitUsage || !strings.Contains(said, "is in use by another process") {
		t.Errorf("of a directory in use: exit code %d: %s", code, said)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if said, code := runDisk("check", filepath.Join(dir, "nothing")); code != exitUsage {
		t.Errorf("of a directory that is not there: exit code %d: %s", code, said)
	}
	if said, code := runDisk("check"); code != exitUsage {
		t.Errorf("of nothing: exit code %d: %s", code, said)
	}
	damage(t, filepath.Join(dir, "log"), "keyxxx")
	said, code := runDisk("check", dir)
	if code != exitFailure || !strings.Contains(said, "damage: ") || !strings.Contains(said, "the record of slot 4") || !strings.Contains(said, "1 slots unknown") {
		t.Errorf("of a damaged record: exit code %d: %s", code, said)
	}
	damage(t, filepath.Join(dir, "log"), "jeyxxx") // as it was
	if after := treeOf(t, dir); after != before {
		t.Errorf("the check has changed something:\n%s\nwas\n%s", after, before)
	}
}

// treeOf renders names and contents below dir.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(content))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// applyTo has a store execute what a record holds for it.
func applyTo(store *kv.Store, r *paxos.Record) error {
	commands, err := storeCommands(r)
	if err != nil {
		return err
	}
	store.Apply(commands)
	store.Advance(r.Slot)
	return nil
}
