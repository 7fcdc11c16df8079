package etcdsnapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"synod.dev/synod/kv"
)

// ErrNoHash means a file without the hash that ends a snapshot: it was not saved by etcdctl, but copied out of a data directory, perhaps.
var ErrNoHash = errors.New("etcdsnapshot: the file has no hash at its end")

// Verify checks the hash at the end of a snapshot, and returns it. Without one it returns ErrNoHash.
func Verify(path string) ([sha256.Size]byte, error) {
	var stated [sha256.Size]byte
	f, err := os.Open(path)
	if err != nil {
		return stated, fmt.Errorf("etcdsnapshot: cannot read the snapshot: %w; name a file that etcdctl snapshot save has written", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return stated, fmt.Errorf("etcdsnapshot: %w", err)
	}
	if info.Size()%512 != sha256.Size {
		return stated, ErrNoHash
	}
	h := sha256.New()
	if _, err := io.CopyN(h, f, info.Size()-sha256.Size); err != nil {
		return stated, fmt.Errorf("etcdsnapshot: %w", err)
	}
	if _, err := io.ReadFull(f, stated[:]); err != nil {
		return stated, fmt.Errorf("etcdsnapshot: %w", err)
	}
	if !bytes.Equal(h.Sum(nil), stated[:]) {
		return stated, fmt.Errorf("etcdsnapshot: %s is damaged: its hash is not the one at its end; save it again", path)
	}
	return stated, nil
}

// Restore fills an empty store with what a snapshot has: keys with all their revisions, leases, users and roles, alarms. The hash is Verify's to check. It returns the state that the store is at.
func Restore(path string, store *kv.Store) (state kv.Exported, err error) {
	// A file that is another program's, or still in use, would be waited for, for ever.
	db, err := bbolt.Open(path, 0o400, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return state, fmt.Errorf("etcdsnapshot: %s is no snapshot of etcd's, or in use: %w", path, err)
	}
	defer func() {
		if r := recover(); r != nil { // which bbolt does when it meets a page that makes no sense
			err = fmt.Errorf("etcdsnapshot: %s is damaged: %v", path, r)
		}
		err = errors.Join(err, db.Close())
	}()
	err = db.View(func(tx *bbolt.Tx) error {
		keys := tx.Bucket(bucketKey)
		if keys == nil {
			return fmt.Errorf("etcdsnapshot: %s is no snapshot of etcd's: it has no keys", path)
		}
		if state, err = stateOf(tx, keys); err != nil {
			return fmt.Errorf("etcdsnapshot: %s: %w", path, err)
		}
		if err := readBeside(tx, &state); err != nil {
			return fmt.Errorf("etcdsnapshot: %s: %w", path, err)
		}
		return store.Import(state, keys.ForEach)
	})
	return state, err
}

// stateOf finds the revision, which no row says, as etcd does: it is that of the last row, or of the last compaction, which may have left no row.
func stateOf(tx *bbolt.Tx, keys *bbolt.Bucket) (kv.Exported, error) {
	state := kv.Exported{Revision: 1, Compacted: -1}
	if last, _ := keys.Cursor().Last(); last != nil {
		main, err := mainOf(last)
		if err != nil {
			return state, err
		}
		state.Revision = main
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return state, nil
	}
	for _, name := range [][]byte{metaScheduledCompact, metaFinishedCompact} {
		if b := meta.Get(name); b != nil {
			main, err := mainOf(b)
			if err != nil {
				return state, err
			}
			state.Compacted = max(state.Compacted, main)
		}
	}
	state.Revision = max(state.Revision, state.Compacted)
	return state, nil
}

func mainOf(b []byte) (int64, error) {
	if len(b) < revisionSize {
		return 0, fmt.Errorf("malformed revision %x", b)
	}
	main := binary.BigEndian.Uint64(b)
	if main > math.MaxInt64 {
		return 0, fmt.Errorf("malformed revision %x", b)
	}
	return int64(main), nil
}
