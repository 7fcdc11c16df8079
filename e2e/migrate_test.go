package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fill gives a store some history: versions, deletions, a compaction.
func (m *member) fill() {
	m.t.Helper()
	ctx := m.t.Context()
	for i := range 200 {
		if _, err := m.api.Put(ctx, fmt.Sprintf("key-%d", i%30), strings.Repeat("x", i)); err != nil {
			m.t.Fatal(err)
		}
		if i%9 == 0 {
			if _, err := m.api.Delete(ctx, fmt.Sprintf("key-%d", i%30)); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	if _, err := m.api.Compact(ctx, 50, clientv3.WithCompactPhysical()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) hashKV(revision int64) *pb.HashKVResponse {
	m.t.Helper()
	resp, err := m.api.HashKV(m.t.Context(), m.client, revision)
	if err != nil {
		m.t.Fatalf("%s: %v", m.name, err)
	}
	return (*pb.HashKVResponse)(resp)
}

// sameHistory demands that two members answer the same for every revision that can be read.
func sameHistory(t *testing.T, a, b *member) {
	t.Helper()
	last := a.hashKV(0)
	// Not for the revision of the compaction itself, for which etcd answers what it has remembered: see docs/etcd-api.md.
	for revision := last.CompactRevision + 1; revision <= last.HashRevision; revision += 13 {
		x, y := a.hashKV(revision), b.hashKV(revision)
		if x.Hash != y.Hash || x.CompactRevision != y.CompactRevision {
			t.Errorf("at revision %d: %s has hash %x, compacted at %d; %s has %x, compacted at %d", revision, a.name, x.Hash, x.CompactRevision, b.name, y.Hash, y.CompactRevision)
		}
	}
	if ra, rb := a.revision(), b.revision(); ra != rb {
		t.Errorf("%s is at revision %d, %s at %d", a.name, ra, b.name, rb)
	}
}

func run(t *testing.T, command string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
}

// TestWhatEtcdctlSavesFromSynodEtcdRestores moves a store from Synod to etcd: keys with their history, leases, users, roles and alarms.
func TestWhatEtcdctlSavesFromSynodEtcdRestores(t *testing.T) {
	etcdctl := buildTool(t, "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
	etcdutl := buildTool(t, "etcdutl", "go.etcd.io/etcd/etcdutl/v3")
	from := startCluster(t, 3).members[1]
	from.fill()
	from.guard()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	run(t, etcdctl, "--endpoints="+from.client, rootFlag, "snapshot", "save", file)
	run(t, etcdutl, "snapshot", "status", file)
	to := restoredEtcd(t, etcdutl, file)
	sameGuard(t, from, to)
	sameHistory(t, from, to)
	if _, err := to.api.Put(t.Context(), "after", "1"); err != nil {
		t.Error(err)
	}
}

// restoredEtcd starts a real etcd of one member with a snapshot that etcdutl restores.
func restoredEtcd(t *testing.T, etcdutl, file string) *member {
	t.Helper()
	client, peer := listenAddress(t), listenAddress(t)
	c := newCluster(t, []string{buildEtcd(t)}, []place{{client, peer, client, peer}})
	m := c.members[0]
	run(t, etcdutl, "snapshot", "restore", file, "--data-dir="+m.dir, "--name="+m.name, "--initial-cluster="+m.name+"=http://"+peer, "--initial-advertise-peer-urls=http://"+peer)
	c.start()
	return m
}

// TestWhatEtcdctlSavesFromEtcdSynodRestores moves a store from etcd to Synod, by a snapshot and by the copy of a stopped etcd's database.
func TestWhatEtcdctlSavesFromEtcdSynodRestores(t *testing.T) {
	etcdctl := buildTool(t, "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
	etcd := startClusterOf(t, []string{buildEtcd(t)}, 1).members[0]
	etcd.fill()
	etcd.guard()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	run(t, etcdctl, "--endpoints="+etcd.client, rootFlag, "snapshot", "save", file)
	restored := restoredSynod(t, file)
	sameGuard(t, etcd, restored.members[1])
	for _, m := range restored.members {
		m.api = m.as("root")
		compareBeside(t, etcd, m)
		sameHistory(t, etcd, m)
	}
	last := etcd.hashKV(0)
	etcd.signal(syscall.SIGTERM) // which etcd reports as its end
	<-etcd.exited
	copied := restoredSynod(t, filepath.Join(etcd.dir, "member", "snap", "db"), "--skip-hash-check").members[2]
	copied.api = copied.as("root")
	if got := copied.hashKV(0); got.Hash != last.Hash || got.HashRevision != last.HashRevision {
		t.Errorf("restored from the database: %v, etcd had %v", got, last)
	}
}

func restoredSynod(t *testing.T, file string, flags ...string) *cluster {
	t.Helper()
	var places []place
	for range 3 {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, serve(), places)
	for _, m := range c.members {
		run(t, serve()[0], append([]string{"snapshot", "restore", file, "--data-dir=" + m.dir}, flags...)...)
	}
	c.start()
	return c
}

// TestMembersThatBeganWithDifferentThingsFormNoCluster leaves one member without the snapshot.
func TestMembersThatBeganWithDifferentThingsFormNoCluster(t *testing.T) {
	etcdctl := buildTool(t, "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
	from := startCluster(t, 1).members[0]
	from.fill()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	run(t, etcdctl, "--endpoints="+from.client, "snapshot", "save", file)
	var places []place
	for range 2 {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, serve(), places)
	run(t, serve()[0], "snapshot", "restore", file, "--data-dir="+c.members[0].dir)
	startAll(c.members)
	c.members[0].awaitLine("correct the address or the cluster")
}
