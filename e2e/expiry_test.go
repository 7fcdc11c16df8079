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
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
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
	for ttl, first := *expiringTTLFlag, 1; !grantAll(t, c, first, *expiringFlag, ttl); ttl, first = 2*ttl, first+*expiringFlag {
		t.Logf("the first leases of a TTL of %d s have ended before all were granted", ttl)
	}
	t.Logf("memory of %d leases with a key each: %d KiB a member before, %d after", *expiringFlag, bare, c.memory())
	left := func() int64 {
		resp, err := c.members[0].api.Get(within(t), "leased/", clientv3.WithPrefix(), clientv3.WithCountOnly())
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

// grantAll grants leases by many clients, each with a key, and renews all of them together. It reports whether that was done before the first of them ended; else none is left.
func grantAll(t *testing.T, c *cluster, first, count int, ttl int64) bool {
	t.Helper()
	const clients = 64
	next := atomic.Int64{}
	next.Store(int64(first) - 1)
	last := int64(first + count - 1)
	var late atomic.Bool
	var wait sync.WaitGroup
	began := time.Now()
	inTime := func() bool { return time.Since(began) < time.Duration(ttl)*time.Second }
	for i := range clients {
		api := c.members[i%len(c.members)].api
		wait.Go(func() {
			for id := next.Add(1); id <= last && !late.Load(); id = next.Add(1) {
				err := insist(t, func(ctx context.Context) error {
					_, err := pb.NewLeaseClient(api.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
					if err != nil && rpctypes.Error(err) != rpctypes.ErrLeaseExist { // by an earlier attempt
						return err
					}
					_, err = api.Put(ctx, fmt.Sprintf("leased/%d", id), "", clientv3.WithLease(clientv3.LeaseID(id)))
					return err
				})
				if err != nil {
					if inTime() {
						t.Errorf("lease %d: %v", id, err)
					}
					late.Store(true)
				}
			}
		})
	}
	wait.Wait()
	granted := time.Since(began)
	for id := int64(first); id <= last && !late.Load(); {
		renewed, ttls, err := renewAll(t, c.leader(), id, last)
		if id += renewed; err != nil && !isSlow(err) {
			t.Fatalf("a renewal: %v", err)
		}
		if slices.ContainsFunc(ttls, func(told int64) bool { return told != ttl }) {
			if inTime() {
				t.Fatalf("renewals tell TTLs of %v", slices.Compact(ttls))
			}
			late.Store(true)
		}
	}
	if late.Load() {
		eventually(t, "no lease is left", func() bool {
			resp, err := c.members[0].api.Leases(within(t))
			return err == nil && len(resp.Leases) == 0
		})
		return false
	}
	t.Logf("%d leases granted with a key each in %v, renewed within %v", count, granted.Round(time.Millisecond), (time.Since(began) - granted).Round(time.Millisecond))
	return true
}

// renewAll renews leases over one stream, and returns how many of them before the stream ended, with the TTLs told.
func renewAll(t *testing.T, m *member, first, last int64) (renewed int64, ttls []int64, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), insistTimeout)
	defer cancel()
	stream, err := pb.NewLeaseClient(m.api.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return 0, nil, err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		for id := first; id <= last; id++ {
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
				return // Recv says why
			}
		}
	})
	for range last - first + 1 {
		resp, err := stream.Recv()
		if err != nil {
			return renewed, ttls, err
		}
		renewed++
		ttls = append(ttls, resp.TTL)
	}
	return renewed, ttls, nil
}

// timePuts puts as fast as one client can as long as a condition holds, which is looked at now and then, and sums up how long each took.
func timePuts(t *testing.T, c *cluster, as func() bool) string {
	t.Helper()
	const lookEvery = 100
	var times []time.Duration
	for i := 0; i == 0 || i%lookEvery != 0 || as(); i++ {
		began := time.Now()
		c.members[i%len(c.members)].put("k", "v")
		times = append(times, time.Since(began))
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
