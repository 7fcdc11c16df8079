package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// startClusterOfRoles starts members a, b and so on, as many as there are roles in the words of --initial-cluster-roles.
func startClusterOfRoles(t *testing.T, roles ...string) *cluster {
	t.Helper()
	var places []place
	var assigned []string
	for i, role := range roles {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
		assigned = append(assigned, fmt.Sprintf("%c=%s", 'a'+i, role))
	}
	c := newCluster(t, serve(), places)
	for _, m := range c.members {
		m.flags = append(m.flags, "--initial-cluster-roles="+strings.Join(assigned, ","), fmt.Sprintf("--wal-bytes=%d", walBytes))
	}
	c.start()
	return c
}

// of returns a part of the cluster: those with a store, for clients.
func (c *cluster) of(members ...*member) *cluster { return &cluster{t: c.t, members: members} }

// TestTwoFullMembersAndAWitnessLoseNothingWhenEachIsKilledInTurn kills each of the three under load, again and again; the other two go on, and nothing that was acknowledged is missing in the end.
func TestTwoFullMembersAndAWitnessLoseNothingWhenEachIsKilledInTurn(t *testing.T) {
	c := startClusterOfRoles(t, "full", "full", "witness")
	stores := c.of(c.members[:2]...)
	l := startLoad(stores)
	var resumed []time.Duration
	for turn := range max(3, *roundsFlag) {
		victim := c.members[turn%3]
		l.awaitWrites(writesBetween)
		killed := time.Now()
		killAtOnce([]*member{victim})
		resumed = append(resumed, l.awaitResume(killed))
		l.awaitWrites(writesBetween)
		victim.start()
		victim.awaitReady()
	}
	l.judge(stores)
	slices.Sort(resumed)
	t.Logf("writes resumed after %d kills: median %v, longest %v", len(resumed), resumed[len(resumed)/2].Round(time.Millisecond), resumed[len(resumed)-1].Round(time.Millisecond))
}

// TestWhatAFullMemberMissedSurvivesTheLossOfTheOther kills one full member, has the other and the witness acknowledge writes, and destroys that other. The first one and the witness have everything.
func TestWhatAFullMemberMissedSurvivesTheLossOfTheOther(t *testing.T) {
	c := startClusterOfRoles(t, "full", "full", "witness")
	away, lost := c.members[0], c.members[1]
	away.kill()
	const writes = 500
	for i := range writes {
		lost.put(fmt.Sprintf("k%03d", i), "v")
	}
	lost.kill()
	away.start()
	away.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := away.api.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || resp.Count != writes {
		t.Fatalf("%v, %v; want %d keys", resp, err, writes)
	}
}

func TestAReplicaServesLinearizableReadsAndWatchesAndHasNoVote(t *testing.T) {
	c := startClusterOfRoles(t, "full", "full", "full", "replica")
	replica := c.members[3]
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	watch := replica.api.Watch(ctx, "k", clientv3.WithCreatedNotify())
	<-watch
	const writes = 200
	for i := range writes {
		value := fmt.Sprint(i)
		c.members[i%3].put("k", value)
		resp, err := replica.api.Get(ctx, "k")
		if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != value {
			t.Fatalf("the replica reads %v, %v; %s was acknowledged", resp, err, value)
		}
	}
	for seen := 0; seen < writes; {
		select {
		case resp := <-watch:
			for _, e := range resp.Events {
				switch got := string(e.Kv.Value); got {
				case fmt.Sprint(seen):
					seen++
				case fmt.Sprint(seen - 1): // it was put twice
				default:
					t.Fatalf("event %d is of value %s", seen, got)
				}
			}
		case <-ctx.Done():
			t.Fatalf("%d events of %d have come", seen, writes)
		}
	}
	replica.put("through", "the replica")
	c.agree()

	killAtOnce(c.members[1:3])
	short, cancelShort := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancelShort()
	if _, err := c.members[0].api.Put(short, "k", "one voter of three"); err == nil {
		t.Error("a write is acknowledged by one voter of three and a replica")
	}
	startAll(c.members[1:3])
	if _, err := replica.api.Get(ctx, "k"); err != nil {
		t.Errorf("the voters are back: %v", err)
	}
}

func TestAWitnessSaysWhatItIsAndAnswersNoRequests(t *testing.T) {
	c := startClusterOfRoles(t, "full", "full", "witness")
	witness := c.members[2]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := witness.api.Put(ctx, "k", "v"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "use the endpoint of one that has") {
		t.Errorf("a write to the witness: %v", err)
	}
	if _, err := c.members[1].api.Get(ctx, "k"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{"/health": `"health":"true"`, "/metrics": `synod_role{role="acceptor"} 1`, "/version": "etcdserver", "/synod/status": `"roles":["acceptor"]`} {
		eventually(t, path+" says "+want, func() bool { return strings.Contains(fetch(t, "http://"+witness.client+path), want) }) // not while nobody leads
	}
	table, err := exec.Command(filepath.Join(programs, "synod"), "status", "--endpoints="+strings.Join([]string{c.members[0].client, c.members[1].client, witness.client}, ",")).CombinedOutput()
	if err != nil || !strings.Contains(string(table), "leader pal") {
		t.Fatalf("status: %v\n%s", err, table)
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); fields[0] == witness.name && fields[2] != "a" {
			t.Errorf("the witness is shown as %q", line)
		}
	}
}

// fetch returns what an HTTP server answers.
func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
