// Command synod is the library itself as a contender.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"synod.dev/synod"
	"synod.dev/synod/bench/compare/driver"
	"synod.dev/synod/paxos"
)

func main() { driver.Main("synod", open) }

// nothing is a state machine without a state: what is measured is the way to it.
type nothing struct{}

func (nothing) Apply(commands []synod.Command) []any { return make([]any, len(commands)) }
func (nothing) Applied() paxos.Slot                  { return 0 }

type cluster struct {
	nodes  []*synod.Node
	leader *synod.Node
}

func open(dir string) (driver.Cluster, error) {
	addresses, err := driver.Addresses()
	if err != nil {
		return nil, err
	}
	var members []synod.Member
	for i, address := range addresses {
		members = append(members, synod.Member{ID: paxos.NodeID(i + 1), Address: address})
	}
	c := new(cluster)
	leaders := make(chan paxos.NodeID, 16)
	for _, m := range members {
		events := &synod.EventListener{LeaderChanged: func(l synod.LeaderChange) {
			if l.Leader == m.ID {
				leaders <- m.ID
			}
		}}
		node, err := synod.Open(synod.Config{Events: events, ID: m.ID, Members: members, Dir: filepath.Join(dir, fmt.Sprint(m.ID)), Machine: nothing{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.nodes = append(c.nodes, node)
	}
	c.leader = c.nodes[<-leaders-1]
	return c, nil
}

func (c *cluster) Propose(ctx context.Context, command []byte) error {
	_, err := c.leader.Propose(ctx, command)
	return err
}

func (c *cluster) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}
