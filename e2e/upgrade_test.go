package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// stopBound is how long a member may take to stop: what it promises, and some for a busy machine.
const stopBound = 15 * time.Second

// TestAnUpgradeMemberByMemberFailsNoRequest stops and starts each member of a cluster in turn, the leader at its time, under load by etcd's client with all
// endpoints and its own rules of what it tries again. Those let a write through to its caller that may have happened, so that a few may fail as Unavailable; no read may fail, and no member take long to stop.
// Leaders last through a pause of the machine, so that requests are lost only to members that stop.
func TestAnUpgradeMemberByMemberFailsNoRequest(t *testing.T) {
	c := startLastingCluster(t, serve())
	traffic := startTraffic(t, c)
	for round := range 2 {
		for _, m := range c.members {
			traffic.await(200)
			led := c.leader() == m
			began := time.Now()
			m.stop()
			if took := time.Since(began); took > stopBound {
				t.Errorf("%s took %v to stop", m.name, took)
			}
			traffic.await(200) // the others go on
			m.start()
			m.awaitReady()
			t.Logf("round %d: restarted %s (it led: %v); %d writes so far, %d unknown", round, m.name, led, traffic.written.Load(), traffic.unknown.Load())
		}
	}
	traffic.stop()
	if unknown := traffic.unknown.Load(); unknown > trafficWriters {
		t.Errorf("%d writes have an unknown outcome, %d have been made: more than one for each of %d writers", unknown, traffic.written.Load(), trafficWriters)
	}
	c.agree()
}

// trafficWriters and trafficReaders are how many clients of each kind the traffic has. All writers may be under way when a leader is lost.
const trafficWriters, trafficReaders = 8, 4

// traffic is clients that write and read through all endpoints until they are told to stop.
type traffic struct {
	t                      *testing.T
	stopping               chan struct{}
	clients                sync.WaitGroup
	written, read, unknown atomic.Int64
}

func startTraffic(t *testing.T, c *cluster) *traffic {
	t.Helper()
	f := &traffic{t: t, stopping: make(chan struct{})}
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.client)
	}
	for i := range trafficWriters + trafficReaders {
		client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		f.clients.Go(func() {
			for turn := 0; f.goesOn(); turn++ {
				if key := fmt.Sprintf("client/%d", i); i < trafficWriters {
					f.write(client, key, turn)
				} else {
					f.readOne(client, key)
				}
			}
		})
	}
	t.Cleanup(f.stop)
	return f
}

func (f *traffic) goesOn() bool {
	select {
	case <-f.stopping:
		return false
	case <-time.After(pace):
		return true
	}
}

func (f *traffic) write(client *clientv3.Client, key string, turn int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.Put(ctx, key, fmt.Sprint(turn))
	known, isEtcds := errors.AsType[rpctypes.EtcdError](err)
	switch {
	case err == nil:
		f.written.Add(1)
	case isEtcds && known.Code() == codes.Unavailable, status.Code(err) == codes.Unavailable:
		f.unknown.Add(1)
		f.t.Logf("a write that may have happened: %v", err)
	default:
		f.t.Errorf("put %s: %v", key, err)
	}
}

func (f *traffic) readOne(client *clientv3.Client, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := client.Get(ctx, key); err != nil {
		f.t.Errorf("get %s: %v", key, err)
		return
	}
	f.read.Add(1)
}

// await waits for n more writes.
func (f *traffic) await(n int64) {
	f.t.Helper()
	goal := f.written.Load() + n
	eventually(f.t, fmt.Sprintf("%d more writes", n), func() bool { return f.written.Load() >= goal })
}

func (f *traffic) stop() {
	select {
	case <-f.stopping:
	default:
		close(f.stopping)
	}
	f.clients.Wait()
}
