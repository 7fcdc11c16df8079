package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/disk"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// recovered runs the command and returns the keys that the new directory holds, and what was said.
func recovered(t *testing.T, dirs ...string) (keys, said string) {
	t.Helper()
	into := filepath.Join(t.TempDir(), "new")
	before := map[string]string{}
	for _, dir := range dirs {
		before[dir] = treeOf(t, dir)
	}
	said, code := runDisk(append([]string{"recover", "--data-dir", into}, dirs...)...)
	if code == 0 || len(listing(t, filepath.Dir(into))) > 0 {
		t.Fatalf("without --accept-loss: exit code %d, %v: %s", code, listing(t, filepath.Dir(into)), said)
	}
	if said, code = runDisk(append([]string{"recover", "--accept-loss", "--data-dir", into}, dirs...)...); code != 0 {
		return "", said
	}
	for _, dir := range dirs {
		if after := treeOf(t, dir); after != before[dir] {
			t.Errorf("%s has been changed", dir)
		}
	}
	if left := listing(t, filepath.Dir(into)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	store, err := kv.Open(kv.Config{Dir: filepath.Join(into, "kv"), Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	resp, err := store.Range(context.Background(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, pair := range resp.Kvs {
		all = append(all, string(pair.Key))
	}
	if store.Applied() != 0 {
		t.Errorf("the new log begins at slot 1, and the store is at slot %d", store.Applied())
	}
	config := &serverconfig.Config{DataDir: into, Members: []serverconfig.Member{{ID: 0xa}}}
	if id, err := clusterID(config); err != nil || id == serverconfig.ClusterID(config.Members) {
		t.Errorf("the new cluster's identity is %x, %v: as that of the old one", id, err)
	}
	return strings.Join(all, " "), said
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRecoveryKeepsWhatTheDisksProveAndWhatTheyVotedFor(t *testing.T) {
	b1, b2 := ballotOf(1, 0xb), ballotOf(2, 0xc)
	put := func(slot paxos.Slot, b paxos.Ballot, chosen paxos.Slot, key string) *paxos.Record {
		return accept(slot, b, chosen, putValue(t, key))
	}
	base := []*paxos.Record{put(1, b1, 0, "k1"), put(2, b1, 1, "k2"), put(3, b1, 2, "k3")}
	with := func(more ...*paxos.Record) []*paxos.Record {
		return append(append([]*paxos.Record{}, base...), more...)
	}
	for _, test := range []struct {
		name  string
		disks []string
		keys  string
		said  string
	}{
		{"one disk, votes included", []string{writeMember(t, 2, with(put(4, b1, 3, "k4"))...)}, "k1 k2 k3 k4", "slots up to 3, which are proven to be chosen; slots 4 to 4, which were voted for"},
		{"the store alone is ahead of nothing", []string{writeMember(t, 3, base...)}, "k1 k2 k3", "slots up to 3"},
		{"the higher ballot's vote of two disks", []string{writeMember(t, 1, with(put(4, b1, 2, "old"))...), writeMember(t, 2, with(put(4, b2, 2, "new"))...)}, "k1 k2 k3 new", ""},
		{"what is proven before a vote of a higher ballot", []string{writeMember(t, 1, with(put(4, b1, 3, "proven"), put(5, b1, 4, "k5"))...), writeMember(t, 2, with(put(4, b2, 2, "vote"))...)}, "k1 k2 k3 k5 proven", ""},
		{"nothing beyond a gap", []string{writeMember(t, 1, with(put(5, b1, 4, "beyond"))...)}, "k1 k2 k3", "lost: slots 4 to 4, which were chosen and are on none of these disks"},
		{"the other disk fills the gap", []string{writeMember(t, 1, with(put(5, b1, 4, "k5"))...), writeMember(t, 0, put(4, b1, 3, "k4"))}, "k1 k2 k3 k4 k5", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, said := recovered(t, test.disks...)
			if keys != test.keys || !strings.Contains(said, test.said) {
				t.Errorf("recovered %q, want %q and %q:\n%s", keys, test.keys, test.said, said)
			}
		})
	}
}

func TestRecoveryGoesBackToTheLogIfTheStoreIsDamagedAndRefusesIfThatIsTrimmed(t *testing.T) {
	records := chosenPuts(t, 3)
	dir := writeMember(t, 3, records...)
	spoil(t, filepath.Join(dir, "kv", "db"), ".sst")
	if keys, said := recovered(t, dir); keys != "key keyx keyxx" || !strings.Contains(said, "kept: the beginning of the log") {
		t.Errorf("recovered %q:\n%s", keys, said)
	}
	log, err := wal.Open(disk.OS(), filepath.Join(dir, "log"), wal.Options{Cluster: 0xc, Node: testNode})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Trim(1); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, said := recovered(t, dir); !strings.Contains(said, "restore a backup") {
		t.Errorf("of a store that is lost for good: %s", said)
	}
}

// A region of the log whose records are unknown may have held a later record of any slot: what precedes it proves nothing.
func TestRecoveryLeavesALogAsideThatCannotBeTrusted(t *testing.T) {
	dir := writeMember(t, 2, chosenPuts(t, 5)...)
	segment := filepath.Join(dir, "log", "00000001.log")
	content, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	content[512+20] ^= 1 // the second batch's header
	if err := os.WriteFile(segment, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, said := recovered(t, dir); keys != "key keyx" || !strings.Contains(said, "its log cannot be trusted and is left aside") {
		t.Errorf("recovered %q:\n%s", keys, said)
	}
}

// spoil changes a byte in the middle of each file in dir whose name ends so.
func spoil(t *testing.T, dir, suffix string) {
	t.Helper()
	for _, name := range listing(t, dir) {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/4] ^= 0x10
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
