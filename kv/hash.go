package kv

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/encoding/protowire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// HashKV returns etcd's hash of all versions up to a revision (0: the current one; less: of none): the CRC-32C of the bucket's name and then of each
// version's key and value as etcd has them in its file, in the order of revisions. Two stores that agree on the log have the same hash at
// the same revision and compacted revision, whether or not either has yet deleted what was compacted, and so has etcd.
// It reads every version. The header holds the current revision. Any goroutine may call it.
func (s *Store) HashKV(ctx context.Context, rev int64) (resp *pb.HashKVResponse, err error) {
	err = s.read(ctx, func(v *view) error {
		resp, err = v.hashKV(ctx, rev)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Hash returns a hash of the whole state at the current revision. Unlike etcd's, which is over its file, it is the same on all replicas.
func (s *Store) Hash(ctx context.Context) (*pb.HashResponse, error) {
	kv, err := s.HashKV(ctx, 0)
	if err != nil {
		return nil, err
	}
	var b [20]byte
	binary.BigEndian.PutUint32(b[0:], kv.Hash)
	binary.BigEndian.PutUint64(b[4:], uint64(kv.CompactRevision))
	binary.BigEndian.PutUint64(b[12:], uint64(kv.Header.Revision))
	return &pb.HashResponse{Header: kv.Header, Hash: crc32.Checksum(b[:], castagnoli)}, nil
}

func (v *view) hashKV(ctx context.Context, rev int64) (*pb.HashKVResponse, error) {
	switch {
	case rev > 0 && rev < v.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	case rev > v.revision:
		return nil, rpctypes.ErrGRPCFutureRev
	case rev == 0:
		rev = v.revision
	}
	sum := crc32.Checksum([]byte("key"), castagnoli)
	resp := &pb.HashKVResponse{Header: &pb.ResponseHeader{Revision: v.revision}, Hash: sum, CompactRevision: v.compacted, HashRevision: rev}
	if rev < 0 {
		return resp, nil // there are no versions up to there
	}
	// Of what is older than the compaction etcd hashes what a compaction at rev would keep. If that would keep nothing it does not look, and
	// hashes what the last compaction has kept.
	keptAt := rev
	if any, err := v.anyKept(ctx, rev); err != nil {
		return nil, err
	} else if !any {
		keptAt = v.compacted
	}
	var buf []byte
	for c, err := range v.changes(ctx, revision{}, revision{main: rev + 1}) {
		if err != nil {
			return nil, err
		}
		old := c.at.main <= v.compacted
		if old && c.dead {
			continue
		}
		at := c.at
		if old {
			at = revision{keptAt, maxSub}
		}
		ver, err := v.getAt(c.key, at)
		if err != nil {
			return nil, err
		}
		if ver.at != c.at {
			if old {
				continue
			}
			return nil, fmt.Errorf("kv: version %d.%d of key %q is missing: %w", c.at.main, c.at.sub, c.key, errCorrupt)
		}
		buf = appendBackendRow(buf[:0], &ver)
		sum = crc32.Update(sum, castagnoli, buf)
	}
	resp.Hash = sum
	return resp, nil
}

// anyKept reports whether a compaction at main would keep anything by etcd's reckoning: a key that is live then, unless it was deleted and made again at main itself.
func (v *view) anyKept(ctx context.Context, main int64) (bool, error) {
	for ver, err := range v.versions(ctx, spanOf(nil, []byte{0}), main) {
		if err != nil {
			return false, err
		}
		if !ver.live {
			continue
		}
		again, err := v.madeAgain(&ver, main)
		if err != nil || !again {
			return err == nil, err
		}
	}
	return false, nil
}

// madeAgain reports whether a live version is the first of a key that was deleted earlier in the same revision.
func (v *view) madeAgain(ver *version, main int64) (bool, error) {
	if ver.created != main || ver.at.sub == 0 {
		return false, nil
	}
	before, err := v.getAt(ver.key, revision{main, ver.at.sub - 1})
	return err == nil && !before.live && before.at.main == main, err
}

// appendBackendRow appends a version's key and value as they stand in etcd's file: main(8) '_' sub(8), 't' if it is a
// tombstone, and a marshalled mvccpb.KeyValue.
func appendBackendRow(dst []byte, v *version) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.at.main))
	dst = append(dst, '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.at.sub))
	if !v.live {
		dst = append(dst, 't')
		return appendBytesField(dst, 1, v.key)
	}
	dst = appendBytesField(dst, 1, v.key)
	dst = appendIntField(dst, 2, v.created)
	dst = appendIntField(dst, 3, v.at.main)
	dst = appendIntField(dst, 4, v.count)
	dst = appendBytesField(dst, 5, v.value)
	return appendIntField(dst, 6, v.lease)
}

func appendBytesField(dst []byte, n protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), b)
}

func appendIntField(dst []byte, n protowire.Number, i int64) []byte {
	if i == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, n, protowire.VarintType), uint64(i))
}
