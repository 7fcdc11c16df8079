package main

import (
	"crypto/tls"
	"log/slog"
	"net"

	"synod.dev/synod"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
)

// commandOverhead is what a command may be longer than the request in it, in bytes.
const commandOverhead = 1 << 10

// openNode starts replicating the machines, each under its number in the log. A member that does not learn has none.
func openNode(config *serverconfig.Config, self identity, peers net.Listener, peerTLS *tls.Config, machines map[byte]synod.StateMachine, observer *etcdapi.Observer, logger *slog.Logger) (*synod.Node, error) {
	var machine synod.StateMachine
	if len(machines) > 0 {
		several, err := synod.NewMachines(machines)
		if err != nil {
			return nil, err
		}
		machine = several
	}
	return synod.Open(synod.Config{
		ID:              self.id,
		Cluster:         self.cluster,
		Members:         self.members,
		Phase1:          self.phase1,
		Phase2:          self.phase2,
		Join:            self.join,
		ReplaceWiped:    config.ReplaceWiped,
		Dir:             config.LogDir(),
		Machine:         machine,
		Listener:        peers,
		TLS:             peerTLS,
		Heartbeat:       config.Heartbeat,
		ElectionTimeout: config.ElectionTimeout,
		MaxCommandBytes: config.MaxRequestBytes + commandOverhead,
		LogBytes:        config.LogBytes,
		SnapshotRate:    config.SnapshotRate,
		ScrubRate:       scrubRate(config),
		Logger:          logger,
		Events:          observer.Events(),
	})
}

// scrubRate is the node's way of saying how fast to scrub, where 0 is not "not at all" but the default.
func scrubRate(config *serverconfig.Config) int64 {
	if config.ScrubRate == 0 {
		return -1
	}
	return config.ScrubRate
}
