package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestClientResumesItsWatchOnAnotherMember lets etcd's own client watch a cluster of three while each member in turn is killed and comes back.
func TestClientResumesItsWatchOnAnotherMember(t *testing.T) {
	c := startCluster(t, 3)
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.client)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: startBound})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := client.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(1))
	const rounds, writes = 3, 40
	var wrote []int64
	for round := range rounds {
		for i := range writes {
			if i == writes/2 {
				c.members[round].process.kill()
			}
			for {
				r, err := client.Put(ctx, fmt.Sprint("k", i), fmt.Sprint(round))
				if err == nil {
					wrote = append(wrote, r.Header.Revision)
					break
				}
				if ctx.Err() != nil {
					t.Fatal(err)
				}
			}
		}
		c.members[round].start()
	}
	var last int64
	heard := map[int64]bool{}
	for !heard[wrote[len(wrote)-1]] {
		r, ok := <-told
		if !ok || r.Err() != nil {
			t.Fatalf("the watch ended after revision %d: %v", last, r.Err())
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision <= last {
				t.Fatalf("revision %d after %d", e.Kv.ModRevision, last)
			}
			if e.IsModify() && e.PrevKv == nil {
				t.Errorf("revision %d without what it replaced", e.Kv.ModRevision)
			}
			last = e.Kv.ModRevision
			heard[last] = true
		}
	}
	for _, revision := range wrote {
		if !heard[revision] {
			t.Errorf("the write at revision %d was acknowledged and not heard of", revision)
		}
	}
}
