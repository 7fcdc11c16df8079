package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	expiringFlag    = flag.Int("expiring-leases", 2000, "how many leases end at once while puts are timed")
	expiringTTLFlag = flag.Int64("expiring-ttl", 10, "their TTL in seconds: enough to grant all of them")
	expiringProgram = flag.String("expiring-program", "", "another server that takes etcd's flags, to be measured instead of synod")
)

// TestPutsGoOnWhileManyLeasesEnd grants leases with a key each and times the puts of one client before they end, and while they do.
func TestPutsGoOnWhileManyLeasesEnd(t *testing.T) {
	program := serve()
	if *expiringProgram != "" {
		program = []string{*expiringProgram}
	}
	c := startClusterOf(t, program, 3)
	bare := c.memory()
	grantAll(t, c, *expiringFlag, *expiringTTLFlag)
	t.Logf("memory of %d leases with a key each: %d KiB a member before, %d after", *expiringFlag, bare, c.memory())
	left := func() int64 {
		resp, err := c.members[0].api.Get(t.Context(), "leased/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count
	}
	all := int64(*expiringFlag)
	t.Logf("puts before any ends: %s", timePuts(t, c, func() bool { return left() == all }))
	t.Logf("puts while they end:  %s", timePuts(t, c, func() bool { return left() > 0 }))
	c.agree()
}

// grantAll grants leases by many clients, each with a key, and renews all of them together.
func grantAll(t *testing.T, c *cluster, count int, ttl int64) {
	t.Helper()
	const clients = 64
	var next atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	for i := range clients {
		api := c.members[i%len(c.members)].api
		wait.Go(func() {
			for id := next.Add(1); id <= int64(count); id = next.Add(1) {
				_, err := pb.NewLeaseClient(api.ActiveConnection()).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: ttl})
				if err == nil {
					_, err = api.Put(t.Context(), fmt.Sprintf("leased/%d", id), "", clientv3.WithLease(clientv3.LeaseID(id)))
				}
				if err != nil {
					t.Errorf("lease %d: %v", id, err)
					return
				}
			}
		})
	}
	wait.Wait()
	granted := time.Since(began)
	stream, err := pb.NewLeaseClient(c.leader().api.ActiveConnection()).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wait.Go(func() {
		for id := range count {
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id + 1)}); err != nil {
				return // Recv says why
			}
		}
	})
	for range count {
		if resp, err := stream.Recv(); err != nil || resp.TTL != ttl {
			t.Fatalf("a renewal: %v, %v", resp, err)
		}
	}
	wait.Wait()
	t.Logf("%d leases granted with a key each in %v, renewed within %v", count, granted.Round(time.Millisecond), (time.Since(began) - granted).Round(time.Millisecond))
}

// timePuts puts as fast as one client can as long as a condition holds, which is looked at now and then, and sums up how long each took.
func timePuts(t *testing.T, c *cluster, as func() bool) string {
	t.Helper()
	const lookEvery = 100
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	var times []time.Duration
	for i := 0; i%lookEvery != 0 || as(); i++ {
		began := time.Now()
		if _, err := c.members[i%len(c.members)].api.Put(ctx, "k", "v"); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	if len(times) == 0 {
		t.Fatal("no time for a single put: give a longer TTL")
	}
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[len(times)*percent/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d puts, p50 %v, p99 %v, longest %v", len(times), at(50), at(99), times[len(times)-1].Round(10*time.Microsecond))
}

// memory is the resident memory of the members on average, in KiB; 0 where the system does not say.
func (c *cluster) memory() int {
	sum := 0
	for _, m := range c.members {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.command.Process.Pid))
		if err != nil {
			return 0
		}
		kib := 0
		_, line, _ := strings.Cut(string(status), "VmRSS:")
		if _, err := fmt.Sscan(line, &kib); err != nil {
			c.t.Fatal(err)
		}
		sum += kib
	}
	return sum / len(c.members)
}
