// Command dragonboat is dragonboat v4 as a contender, with one shard and the log that does best, which is its default, on Pebble.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/statemachine"

	"synod.dev/synod/bench/compare/driver"
)

// shard is the one group that all commands go to.
const shard = 1

func main() { driver.Main("dragonboat/pebble", open) }

// nothing is a state machine without a state.
type nothing struct{}

func (nothing) Update(statemachine.Entry) (statemachine.Result, error) {
	return statemachine.Result{}, nil
}
func (nothing) Lookup(any) (any, error) { return nil, nil }
func (nothing) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	_, err := w.Write([]byte{0}) // it wants something
	return err
}
func (nothing) RecoverFromSnapshot(io.Reader, []statemachine.SnapshotFile, <-chan struct{}) error {
	return nil
}
func (nothing) Close() error { return nil }

type cluster struct {
	hosts  []*dragonboat.NodeHost
	leader *dragonboat.NodeHost
}

func open(dir string) (driver.Cluster, error) {
	for _, name := range []string{"raft", "rsm", "logdb", "transport", "dragonboat", "grpc", "config", "registry", "settings"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	addresses, err := driver.Addresses()
	if err != nil {
		return nil, err
	}
	members := map[uint64]dragonboat.Target{}
	for i, address := range addresses {
		members[uint64(i+1)] = address
	}
	c := new(cluster)
	for i, address := range addresses {
		host, err := start(filepath.Join(dir, fmt.Sprint(i+1)), uint64(i+1), address, members)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.hosts = append(c.hosts, host)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for c.leader == nil {
		<-poll.C
		if leader, _, known, err := c.hosts[0].GetLeaderID(shard); err == nil && known {
			c.leader = c.hosts[leader-1]
		}
	}
	return c, nil
}

func start(dir string, replica uint64, address string, members map[uint64]dragonboat.Target) (*dragonboat.NodeHost, error) {
	host, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		NodeHostDir: dir, RTTMillisecond: 50, RaftAddress: address,
		Expert: config.ExpertConfig{LogDB: config.GetSmallMemLogDBConfig()},
	})
	if err != nil {
		return nil, err
	}
	create := func(uint64, uint64) statemachine.IStateMachine { return nothing{} }
	err = host.StartReplica(members, false, create, config.Config{ShardID: shard, ReplicaID: replica, ElectionRTT: 10, HeartbeatRTT: 1, CheckQuorum: true})
	if err != nil {
		host.Close()
		return nil, err
	}
	return host, nil
}

func (c *cluster) Propose(ctx context.Context, command []byte) error {
	_, err := c.leader.SyncPropose(ctx, c.leader.GetNoOPSession(shard), command)
	return err
}

func (c *cluster) Close() error {
	for _, host := range c.hosts {
		host.Close()
	}
	return nil
}
