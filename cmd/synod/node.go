package main

import (
	"crypto/tls"
	"log/slog"
	"net"

	"synod.dev/synod"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/paxos"
)

// commandOverhead is what a command may be longer than the request in it, in bytes.
const commandOverhead = 1 << 10

// openNode starts replicating the machines, each under its number in the log.
func openNode(config *serverconfig.Config, peers net.Listener, peerTLS *tls.Config, machines map[byte]synod.StateMachine, observer *etcdapi.Observer, logger *slog.Logger) (*synod.Node, error) {
	machine, err := synod.NewMachines(machines)
	if err != nil {
		return nil, err
	}
	cluster, err := clusterID(config)
	if err != nil {
		return nil, err
	}
	var members []synod.Member
	for _, m := range config.Members {
		members = append(members, synod.Member{ID: paxos.NodeID(m.ID), Name: m.Name, Address: serverconfig.DialAddress(m.PeerURL), Roles: m.Roles})
	}
	return synod.Open(synod.Config{
		ID:              paxos.NodeID(config.Self.ID),
		Cluster:         cluster,
		Members:         members,
		Phase1:          config.Phase1,
		Phase2:          config.Phase2,
		Dir:             config.LogDir(),
		Machine:         machine,
		Listener:        peers,
		TLS:             peerTLS,
		Heartbeat:       config.Heartbeat,
		ElectionTimeout: config.ElectionTimeout,
		MaxCommandBytes: config.MaxRequestBytes + commandOverhead,
		LogBytes:        config.LogBytes,
		SnapshotRate:    config.SnapshotRate,
		Logger:          logger,
		Events:          observer.Events(),
	})
}
