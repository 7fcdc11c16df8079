package kv

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// digest is by what a store tells that it has become another than its replicas. It goes with the state, in the same row: a restart goes on from it, and a snapshot carries it.
type digest struct {
	// known is false in a store that was begun by a version without digests.
	known bool
	// history chains what every command has come to, and every version and lease row that commands have written. It depends on nothing that a replica does in its own time: batches, deletion, buckets.
	history uint64
	// live is the sum of what the newest versions of all live keys hash to, so that it can be made again from the rows, whatever has been deleted.
	live uint64
}

const digestSize = 16

func (d digest) append(b []byte) []byte {
	if !d.known {
		return b
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, d.history), d.live)
}

// parseDigest reads what follows the rest of the state, which is nothing in stores of old.
func parseDigest(b []byte) digest {
	if len(b) != digestSize {
		return digest{}
	}
	return digest{known: true, history: binary.BigEndian.Uint64(b), live: binary.BigEndian.Uint64(b[8:])}
}

// fold chains a value to a hash. Both matter, and their order.
func fold(h, value uint64) uint64 {
	h = (h ^ value) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

func hashRow(key, value []byte) uint64 { return fold(xxhash.Sum64(key), xxhash.Sum64(value)) }

// digestWrite takes in a version that takes the place of another.
func (w *writer) digestWrite(v, prior head) {
	w.state.digest.history = fold(w.state.digest.history, v.hash)
	if v.live {
		w.state.digest.live += v.hash
	}
	if prior.live {
		w.state.digest.live -= prior.hash
	}
}

// digestRow takes in a row that a command has written or, without a value, deleted.
func (w *writer) digestRow(key, value []byte) {
	w.state.digest.history = fold(w.state.digest.history, hashRow(key, value))
}

// digestOutcome takes in what a command has come to.
func (w *writer) digestOutcome(r Result) {
	h := w.state.digest.history
	for _, v := range [...]uint64{uint64(w.state.applied), uint64(w.revision), uint64(w.compacted), uint64(w.leaseClock), w.auth.Revision, uint64(w.auth.clock)} {
		h = fold(h, v)
	}
	if r.Err != nil {
		h = fold(h, xxhash.Sum64String(r.Err.Error()))
	}
	w.state.digest.history = h
}

// Digest returns a digest of all that the store has ever been made to do; see synod.Digester.
func (s *Store) Digest() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.state.digest
	return fold(d.history, d.live), d.known
}

// digestStep is how many keys Verify reads before it rests.
const digestStep = 1024

// Verify makes the digest of all live keys anew from their rows and compares it with the one that the commands have made. A store that fails stops: a row has changed, or is missing, and no
// checksum of the database has told. It rests for as long as it reads, and sees the store as it was when it began; the space of what is deleted meanwhile is not given back before it ends.
// The error is ctx's, or rpctypes.ErrGRPCStopped. Any goroutine may call it.
func (s *Store) Verify(ctx context.Context) error {
	return s.read(ctx, func(v *view) error {
		if !v.digest.known {
			return nil
		}
		var sum uint64
		var row, value []byte
		step, began := 0, time.Now()
		for ver, err := range v.versions(ctx, spanOf(nil, []byte{0}), v.revision) {
			if err != nil {
				return err
			}
			if ver.live {
				row = appendRevision(appendPrefix(row[:0], ver.key), ver.at)
				value = appendVersion(value[:0], &ver)
				sum += hashRow(row, value)
			}
			if step++; step%digestStep == 0 {
				if err := restFor(ctx, time.Since(began)); err != nil {
					return err
				}
				began = time.Now()
			}
		}
		if sum != v.digest.live {
			return fmt.Errorf("kv: the live keys at revision %d have the digest %016x, those that were written %016x: %w", v.revision, sum, v.digest.live, errCorrupt)
		}
		return nil
	})
}

func restFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
