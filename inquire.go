package synod

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
	"synod.dev/synod/wal"
)

// Account is what a member says of its cluster to whoever asks.
type Account struct {
	Cluster uint64
	Latest  *paxos.Configuration // nil while the cluster is not founded
}

// Inquire asks the member that listens for its peers at address who the members of its cluster are: a node that was invited (Node.AddMember) knows no more than where it is found itself, and finds out its ID by that.
// The configuration may be one that is not in force yet, or an earlier one.
func Inquire(ctx context.Context, address string, config *tls.Config) (Account, error) {
	who, greeting, err := transport.Inquire(ctx, address, config)
	if err != nil {
		return Account{}, fmt.Errorf("synod: %w", err)
	}
	a := Account{Cluster: who.Cluster}
	if known := decodeGreeting(greeting); known != nil {
		a.Latest = latestOf(known)
	}
	return a, nil
}

// Identity is whose a data directory is.
type Identity struct {
	Cluster uint64
	ID      paxos.NodeID
	Founded bool // it is bound to its cluster: it was founded by it, or has joined it
	Changed bool // its membership is not the founders' any more, or it has joined later: it goes by what it knows, whatever Config.Members says
}

// ReadIdentity reads whose the data directory of a log is. It changes nothing, and takes no lock. The error is fs.ErrNotExist if there is none yet.
func ReadIdentity(dir string) (Identity, error) {
	vital, err := wal.ReadVital(disk.OS(), dir)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Cluster: vital.Cluster, ID: vital.Node, Founded: vital.Founders != nil}
	f, err := disk.OS().OpenRead(filepath.Join(dir, membershipName))
	switch {
	case err == nil:
		id.Changed = true
		err = f.Close()
	case errors.Is(err, fs.ErrNotExist):
		id.Changed, err = vital.Epoch > 0 || slices.Equal(vital.Founders, []byte{joinedLater}), nil
	}
	return id, err
}
