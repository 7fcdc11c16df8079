// Command etcdraft is etcd-io/raft with etcd's log as a contender, put together as etcd does: the leader sends before it writes.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"

	"synod.dev/synod/bench/compare/driver"
)

const (
	tick          = 50 * time.Millisecond
	electionTicks = 10
	batchMax      = 1 << 20 // bytes of a message
	inflightMax   = 512     // messages to a follower that are not answered
)

func main() { driver.Main("etcd-raft/etcd-wal", open) }

type cluster struct {
	replicas []*replica
	leader   *replica
}

func open(dir string) (driver.Cluster, error) {
	addresses, err := driver.Addresses()
	if err != nil {
		return nil, err
	}
	c := new(cluster)
	var peers []raft.Peer
	for i := range addresses {
		peers = append(peers, raft.Peer{ID: uint64(i + 1)})
	}
	for i, peer := range peers {
		r, err := newReplica(filepath.Join(dir, fmt.Sprint(peer.ID)), peer.ID, peers)
		if err != nil {
			return nil, err
		}
		if err := r.listen(addresses[i]); err != nil {
			return nil, err
		}
		c.replicas = append(c.replicas, r)
	}
	for _, r := range c.replicas {
		for i, address := range addresses {
			if to := uint64(i + 1); to != r.id {
				r.links[to] = dial(address, func() { r.node.ReportUnreachable(to) })
			}
		}
	}
	for _, r := range c.replicas {
		go r.run()
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for c.leader == nil {
		<-poll.C
		for _, r := range c.replicas {
			if r.node.Status().RaftState == raft.StateLeader {
				c.leader = r
			}
		}
	}
	return c, nil
}

func newReplica(dir string, id uint64, peers []raft.Peer) (*replica, error) {
	stable, err := wal.Create(zap.NewNop(), dir, nil)
	if err != nil {
		return nil, err
	}
	r := &replica{id: id, stable: stable, entries: raft.NewMemoryStorage(), links: map[uint64]*link{}, waiting: map[uint64]chan struct{}{}}
	r.node = raft.StartNode(&raft.Config{
		ID: id, ElectionTick: electionTicks, HeartbeatTick: 1, Storage: r.entries, MaxSizePerMsg: batchMax, MaxInflightMsgs: inflightMax,
		CheckQuorum: true, PreVote: true, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	}, peers)
	return r, nil
}

func (c *cluster) Propose(ctx context.Context, command []byte) error {
	return c.leader.propose(ctx, command)
}

// Close leaves the replicas to the end of the process: they have nothing to lose.
func (c *cluster) Close() error { return nil }
