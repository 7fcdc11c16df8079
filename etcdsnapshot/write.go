package etcdsnapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/kv"
)

// Origin is what a snapshot tells of the cluster that it is from. A restore into another cluster leaves it aside.
type Origin struct {
	Index          uint64 // of the log, up to which the snapshot has everything
	Term           uint64
	Members        []*pb.Member
	ClusterVersion string // as 3.7.0
	StorageVersion string
}

// Write makes a snapshot of store in a new file, without the hash that ends a snapshot on its way: Stream adds that. It needs room on disk for
// the whole store, and little memory.
func Write(ctx context.Context, path string, store *kv.Store, origin Origin) (err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w := &writer{db: db}
	defer w.discard()
	if err := w.begin(); err != nil {
		return err
	}
	for _, name := range buckets {
		if _, err := w.tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("etcdsnapshot: bucket %s: %w", name, err)
		}
	}
	state, err := store.Export(ctx, func(key, value []byte) error { return w.put(bucketKey, slices.Clone(key), slices.Clone(value)) })
	if err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	for _, l := range state.Leases {
		if err := w.put(bucketLease, number(uint64(l.ID)), leaseValue(l)); err != nil {
			return err
		}
	}
	if err := w.putAuth(state.Auth); err != nil {
		return err
	}
	if err := w.putAlarms(state.Alarms); err != nil {
		return err
	}
	if err := w.putOrigin(origin, state); err != nil {
		return err
	}
	return w.commit()
}

func (w *writer) putOrigin(o Origin, state kv.Exported) error {
	var voters []uint64
	for _, m := range o.Members {
		voters = append(voters, m.ID)
		about, err := json.Marshal(member{ID: m.ID, PeerURLs: m.PeerURLs, Name: m.Name, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner})
		if err != nil {
			return err
		}
		if err := w.put(bucketMembers, []byte(strconv.FormatUint(m.ID, 16)), about); err != nil {
			return err
		}
	}
	conf, err := json.Marshal(confState{Voters: voters})
	if err != nil {
		return err
	}
	rows := []struct{ bucket, key, value []byte }{
		{bucketMeta, metaIndex, number(o.Index)},
		{bucketMeta, metaTerm, number(o.Term)},
		{bucketMeta, metaConfState, conf},
		{bucketMeta, metaStorageVersion, []byte(o.StorageVersion)},
		{bucketCluster, clusterClusterVersion, []byte(o.ClusterVersion)},
	}
	if state.Compacted >= 0 {
		rows = append(rows, []struct{ bucket, key, value []byte }{
			{bucketMeta, metaScheduledCompact, revisionBytes(state.Compacted)},
			{bucketMeta, metaFinishedCompact, revisionBytes(state.Compacted)},
		}...)
	}
	for _, row := range rows {
		if err := w.put(row.bucket, row.key, row.value); err != nil {
			return err
		}
	}
	return nil
}

// member is a member, and confState the members of the log, in the JSON that etcd writes.
type member struct {
	ID         uint64   `json:"id"`
	PeerURLs   []string `json:"peerURLs"`
	IsLearner  bool     `json:"isLearner,omitempty"`
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

type confState struct {
	Voters []uint64 `json:"voters,omitempty"`
}

// commitBytes bounds a transaction on the file: bbolt holds it in memory.
const commitBytes = 8 << 20

// writer puts rows into a file, some megabytes to a transaction.
type writer struct {
	db    *bbolt.DB
	tx    *bbolt.Tx // nil between transactions
	bytes int
}

func (w *writer) begin() (err error) {
	if w.tx, err = w.db.Begin(true); err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	w.bytes = 0
	return nil
}

// put adds a row; the slices must stay as they are until the transaction ends.
func (w *writer) put(bucket, key, value []byte) error {
	b := w.tx.Bucket(bucket)
	b.FillPercent = 0.9 // rows come in order
	if err := b.Put(key, value); err != nil {
		return fmt.Errorf("etcdsnapshot: bucket %s: %w", bucket, err)
	}
	if w.bytes += len(key) + len(value); w.bytes < commitBytes {
		return nil
	}
	if err := w.commit(); err != nil {
		return err
	}
	return w.begin()
}

func (w *writer) commit() error {
	tx := w.tx
	w.tx = nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	return nil
}

// discard ends a transaction that an error has left.
func (w *writer) discard() {
	if w.tx != nil {
		w.tx.Rollback() // the file is of no use, and the error is known
	}
}
