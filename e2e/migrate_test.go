package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fill gives a store some history: versions, deletions, a compaction.
func (m *member) fill() {
	m.t.Helper()
	for i := range 200 {
		key := fmt.Sprintf("key-%d", i%30)
		m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Put(ctx, key, strings.Repeat("x", i)) })
		if i%9 == 0 {
			m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Delete(ctx, key) })
		}
	}
	m.accomplish(rpctypes.ErrCompacted, func(ctx context.Context) (any, error) { return m.api.Compact(ctx, 50, clientv3.WithCompactPhysical()) })
}

// accomplish insists on a request, which must not be refused but with done: what a member says once an earlier attempt has done it.
func (m *member) accomplish(done error, ask func(context.Context) (any, error)) {
	m.t.Helper()
	if refused := m.refusal(ask); refused != nil && !errors.Is(refused, done) {
		m.t.Fatalf("%s: %v", m.name, refused)
	}
}

// refusal insists on a request and returns what refuses it, as etcd's client names it.
func (m *member) refusal(ask func(context.Context) (any, error)) error {
	m.t.Helper()
	return insist(m.t, func(ctx context.Context) error {
		_, err := ask(ctx)
		return rpctypes.Error(err)
	})
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

func run(t testing.TB, command string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
}

// saved has etcdctl save a snapshot of a member's store and returns the file.
func (m *member) saved(etcdctl string, flags ...string) string {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "snapshot.db")
	args := append([]string{"snapshot", "save", file, "--endpoints=" + m.client}, flags...)
	run(m.t, etcdctl, append(args, ctlPatience...)...)
	return file
}

// TestWhatEtcdctlSavesFromSynodEtcdRestores moves a store from Synod to etcd: keys with their history, leases, users, roles and alarms.
func TestWhatEtcdctlSavesFromSynodEtcdRestores(t *testing.T) {
	etcdctl := buildTool(t, "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
	etcdutl := buildTool(t, "etcdutl", "go.etcd.io/etcd/etcdutl/v3")
	from := startLastingCluster(t, serve()).members[1]
	from.fill()
	from.guard()
	file := from.saved(etcdctl, rootFlag)
	run(t, etcdutl, "snapshot", "status", file)
	to := restoredEtcd(t, etcdutl, file)
	sameGuard(t, from, to)
	sameHistory(t, from, to)
	to.accomplish(nil, func(ctx context.Context) (any, error) { return to.api.Put(ctx, "after", "1") })
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
	file := etcd.saved(etcdctl, rootFlag)
	restored := restoredSynod(t, file)
	sameGuard(t, etcd, restored.members[1])
	for _, m := range restored.members {
		m.api = m.as("root")
		compareBeside(t, etcd, m)
		sameHistory(t, etcd, m)
	}
	last := etcd.hashKV(0)
	etcd.signal(syscall.SIGTERM) // which etcd reports as its end
	etcd.exitCode()
	copied := restoredSynod(t, filepath.Join(etcd.dir, "member", "snap", "db"), "--skip-hash-check").members[2]
	copied.api = copied.as("root")
	if got := copied.hashKV(0); got.Hash != last.Hash || got.HashRevision != last.HashRevision {
		t.Errorf("restored from the database: %v, etcd had %v", got, last)
	}
}

// restoredSynod starts three members with a snapshot that each of them restores.
func restoredSynod(t *testing.T, file string, flags ...string) *cluster {
	t.Helper()
	var places []place
	for range 3 {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, serve(), places)
	for _, m := range c.members {
		m.flags = append(m.flags, lastingLeader)
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
	file := from.saved(etcdctl)
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
