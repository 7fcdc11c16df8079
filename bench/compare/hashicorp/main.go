// Command hashicorp is hashicorp/raft as a contender, with the log that does best: raft-wal, and large batches.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"synod.dev/synod/bench/compare/driver"
)

const (
	// maxAppend is how many entries a leader sends at once; its default of 64 costs it half of its throughput with many clients.
	maxAppend = 1024
	// cacheSize is how many entries are kept in memory for followers, as its own users do.
	cacheSize = 512
	// applyBound is how long a command may wait to be taken.
	applyBound = 10 * time.Second
)

func main() { driver.Main("hashicorp/raft-wal", open) }

// nothing is a state machine without a state.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

type cluster struct {
	replicas []*raft.Raft
	leader   *raft.Raft
}

func open(dir string) (driver.Cluster, error) {
	addresses, err := driver.Addresses()
	if err != nil {
		return nil, err
	}
	var servers []raft.Server
	for i, address := range addresses {
		servers = append(servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i + 1)), Address: raft.ServerAddress(address)})
	}
	c := new(cluster)
	for _, s := range servers {
		r, err := start(filepath.Join(dir, string(s.ID)), s, servers)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.replicas = append(c.replicas, r)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for c.leader == nil {
		<-poll.C
		for _, r := range c.replicas {
			if r.State() == raft.Leader {
				c.leader = r
			}
		}
	}
	return c, nil
}

func start(dir string, self raft.Server, servers []raft.Server) (*raft.Raft, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := wal.Open(dir)
	if err != nil {
		return nil, err
	}
	cached, err := raft.NewLogCache(cacheSize, log)
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, 2, io.Discard)
	if err != nil {
		return nil, err
	}
	transport, err := raft.NewTCPTransport(string(self.Address), nil, driver.Replicas, applyBound, io.Discard)
	if err != nil {
		return nil, err
	}
	config := raft.DefaultConfig()
	config.LocalID, config.BatchApplyCh, config.MaxAppendEntries = self.ID, true, maxAppend
	config.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Error})
	if err := raft.BootstrapCluster(config, cached, log, snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		return nil, err
	}
	return raft.NewRaft(config, nothing{}, cached, log, snapshots, transport)
}

func (c *cluster) Propose(_ context.Context, command []byte) error {
	return c.leader.Apply(command, applyBound).Error()
}

func (c *cluster) Close() error {
	var errs []error
	for _, r := range c.replicas {
		errs = append(errs, r.Shutdown().Error())
	}
	return errors.Join(errs...)
}
