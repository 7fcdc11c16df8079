package etcdsnapshot

import (
	"fmt"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"synod.dev/synod/kv"
)

// Fields of a lease in the bucket "lease", the numbers of etcd's leasepb.Lease. What remains of the TTL, which etcd may have noted, is left aside: a lease that has been
// restored lives for all of it.
const (
	leaseID  protowire.Number = 1
	leaseTTL protowire.Number = 2
)

func leaseValue(l kv.ExportedLease) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, leaseID, protowire.VarintType), uint64(l.ID))
	return protowire.AppendVarint(protowire.AppendTag(b, leaseTTL, protowire.VarintType), uint64(l.TTL))
}

func parseLease(b []byte) (l kv.ExportedLease, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return l, fmt.Errorf("malformed lease: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return l, fmt.Errorf("malformed lease: %w", protowire.ParseError(n))
		}
		if kind == protowire.VarintType {
			value, _ := protowire.ConsumeVarint(b)
			switch number {
			case leaseID:
				l.ID = int64(value)
			case leaseTTL:
				l.TTL = int64(value)
			}
		}
		b = b[n:]
	}
	return l, nil
}

func leasesOf(tx *bbolt.Tx) (all []kv.ExportedLease, err error) {
	err = each(tx, bucketLease, func(_, value []byte) error {
		l, err := parseLease(value)
		all = append(all, l)
		return err
	})
	return all, err
}
