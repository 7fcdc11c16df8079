package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/paxos"
)

// identity is who this member is, and in which cluster.
type identity struct {
	id      paxos.NodeID
	cluster uint64
	members []synod.Member // to begin with, itself included
	join    bool

	phase1, phase2 int // of founders
}

const (
	inquiryBound = 10 * time.Second       // how long a member that is to join asks the others for its invitation
	inquiryPause = 250 * time.Millisecond // before it asks again
)

// identify tells who this member is: as its data directory says, once the cluster's members are not its founders any more; as the members say, if it is to join them; else as the flags say, which all founders
// have alike.
func identify(config *serverconfig.Config, peerTLS *tls.Config) (identity, error) {
	known, err := synod.ReadIdentity(config.LogDir())
	switch {
	case err == nil && known.Changed:
		return withSelf(config, identity{id: known.ID, cluster: known.Cluster}), nil
	case config.InitialClusterState == "existing" && (err != nil || !known.Founded):
		return inquire(config, peerTLS)
	}
	cluster, err := clusterID(config) // what is wrong with a directory that cannot be read, whoever opens it says
	return withSelf(config, identity{id: paxos.NodeID(config.Self.ID), cluster: cluster, phase1: config.Phase1, phase2: config.Phase2}), err
}

// withSelf adds the members that the flags list, this one under the ID that it has.
func withSelf(config *serverconfig.Config, self identity) identity {
	for _, m := range config.Members {
		id := paxos.NodeID(m.ID)
		if m.Name == config.Name {
			id = self.id
		} else if id == self.id {
			continue
		}
		self.members = append(self.members, synod.Member{ID: id, Name: m.Name, Address: serverconfig.DialAddress(m.PeerURL), Roles: m.Roles})
	}
	return self
}

// inquire asks the other members of --initial-cluster for the invitation of this one, until it is found or the time is over.
func inquire(config *serverconfig.Config, peerTLS *tls.Config) (identity, error) {
	ctx, cancel := context.WithTimeout(context.Background(), inquiryBound)
	defer cancel()
	if len(config.Members) == 1 {
		return identity{}, fmt.Errorf("--initial-cluster-state existing, but %s holds no data, and --initial-cluster names nobody who could be joined; correct --data-dir, or name the members", config.DataDir)
	}
	for {
		invited, err := askAround(ctx, config, peerTLS)
		if err == nil {
			return invited, nil
		}
		select {
		case <-time.After(inquiryPause):
		case <-ctx.Done():
			return identity{}, fmt.Errorf("--initial-cluster-state existing, but %s holds no data, and this member cannot join: %w", config.DataDir, err)
		}
	}
}

// askAround asks each other member once.
func askAround(ctx context.Context, config *serverconfig.Config, peerTLS *tls.Config) (identity, error) {
	own := serverconfig.DialAddress(config.Self.PeerURL)
	var failures []string
	for _, m := range config.Members {
		if m.Name == config.Name {
			continue
		}
		account, err := synod.Inquire(ctx, serverconfig.DialAddress(m.PeerURL), peerTLS)
		if err == nil {
			var invited identity
			if invited, err = invitation(config, account, own); err == nil {
				return invited, nil
			}
		}
		failures = append(failures, fmt.Sprintf("%s: %s", m.Name, strings.TrimPrefix(err.Error(), "synod: ")))
	}
	return identity{}, errors.New(strings.Join(failures, "; "))
}

// invitation finds this member in what another one says, by its peer URL.
func invitation(config *serverconfig.Config, account synod.Account, own string) (identity, error) {
	if account.Latest == nil {
		return identity{}, errors.New("its cluster is not founded yet; use --initial-cluster-state new on all founders")
	}
	invited := identity{cluster: account.Cluster, join: true}
	for _, m := range account.Latest.Members {
		member := synod.Member{ID: m.ID, Address: m.Address, Roles: m.Roles | m.Invited}
		if m.Address == own {
			if m.Incarnation != 0 && !config.ReplaceWiped {
				return identity{}, fmt.Errorf("member %x is at %s already, with another data directory; if that is lost, remove the member and add it again", uint64(m.ID), own)
			}
			invited.id, member.Name, member.Roles = m.ID, config.Name, config.Self.Roles
		}
		invited.members = append(invited.members, member)
	}
	if invited.id == 0 {
		return identity{}, fmt.Errorf("no member is to be found at %s; add it first, with etcdctl member add", &config.Self.PeerURL)
	}
	return invited, nil
}
