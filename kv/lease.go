package kv

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod/paxos"
)

// LeaseTTLMax is the longest time to live that a lease may be granted, in seconds.
const LeaseTTLMax = 9_000_000_000

// lease is the promise that what is attached to it stays for so long after it was last renewed. Time is no part of the state: each
// member measures for itself, see expiry.
type lease struct {
	ttl       int64         // seconds, from 1 to LeaseTTLMax; 0 means that there is no such lease
	renewed   paxos.Slot    // of the grant or of the last renewal: what an expiry must name
	renewedAt time.Duration // what the lease clock showed then
}

func (l lease) exists() bool { return l.ttl != 0 }

func appendLeaseKey(dst []byte, id int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceLeases), uint64(id))
}

// appendLease appends a lease's row value: uvarint ttl, uvarint renewed, uvarint renewedAt.
func appendLease(dst []byte, l lease) []byte {
	dst = binary.AppendUvarint(dst, uint64(l.ttl))
	dst = binary.AppendUvarint(dst, uint64(l.renewed))
	return binary.AppendUvarint(dst, uint64(l.renewedAt))
}

func parseLease(row, value []byte) (id int64, l lease, err error) {
	p := parser{rest: value}
	l = lease{ttl: int64(p.uvarint()), renewed: paxos.Slot(p.uvarint()), renewedAt: time.Duration(p.uvarint())}
	if len(row) != leaseKeySize || p.failed || len(p.rest) > 0 || l.ttl < 1 || l.ttl > LeaseTTLMax || l.renewedAt < 0 {
		return 0, lease{}, fmt.Errorf("kv: malformed lease %x: %w", row, errCorrupt)
	}
	return int64(binary.BigEndian.Uint64(row[1:])), l, nil
}

// leaseKeySize is also where the key begins in the key of an attachment's row.
const leaseKeySize = 9

func appendAttachmentKey(dst []byte, id int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, spaceAttachments), uint64(id)), key...)
}

// lease returns the lease with an id, the zero lease if there is none.
func (v *view) lease(id int64) (lease, error) {
	v.seek = appendLeaseKey(v.seek[:0], id)
	value, err := get(v.reader, v.seek)
	if value == nil || err != nil {
		return lease{}, err
	}
	_, l, err := parseLease(v.seek, value)
	return l, err
}

// leased is a lease with its id.
type leased struct {
	id int64
	lease
}

// leases yields all leases.
func (v *view) leases() iter.Seq2[leased, error] {
	opts := &pebble.IterOptions{LowerBound: []byte{spaceLeases}, UpperBound: []byte{spaceLeases + 1}}
	return rows(v, opts, func(it *pebble.Iterator, yield func(leased, error) bool) error {
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			id, l, err := parseLease(it.Key(), value)
			if err != nil {
				return err
			}
			if !yield(leased{id, l}, nil) {
				return nil
			}
		}
		return it.Error()
	})
}

// attached yields the keys that are attached to a lease, in order. A key is valid until the next one. The walk
// does not see what a writer changes meanwhile.
func (v *view) attached(id int64) iter.Seq2[[]byte, error] {
	lower := appendAttachmentKey(nil, id, nil)
	upper := appendAttachmentKey(nil, id+1, nil)
	if id == -1 { // the last in the order of rows
		upper = []byte{spaceAttachments + 1}
	}
	return rows(v, &pebble.IterOptions{LowerBound: lower, UpperBound: upper}, func(it *pebble.Iterator, yield func([]byte, error) bool) error {
		for ok := it.First(); ok; ok = it.Next() {
			if !yield(it.Key()[leaseKeySize:], nil) {
				return nil
			}
		}
		return it.Error()
	})
}

// grant executes a request whose ID the API has filled in, and whose TTL it has raised to what it grants at least.
func (w *writer) grant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if r.ID == 0 {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	if r.TTL > LeaseTTLMax {
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	l, err := w.lease(r.ID)
	if err != nil {
		return nil, err
	}
	if l.exists() {
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	l.ttl = max(r.TTL, 1)
	if err := w.renewLease(r.ID, l); err != nil {
		return nil, err
	}
	w.counts.LeasesGranted++
	return &pb.LeaseGrantResponse{Header: &pb.ResponseHeader{Revision: w.revision}, ID: r.ID, TTL: l.ttl}, nil
}

func (w *writer) revoke(r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	l, err := w.lease(r.ID)
	if err != nil {
		return nil, err
	}
	if !l.exists() {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	if err := w.endLease(r.ID); err != nil {
		return nil, err
	}
	w.counts.LeasesRevoked++
	return &pb.LeaseRevokeResponse{Header: &pb.ResponseHeader{Revision: w.revision}}, nil
}

// renewLease writes a lease as renewed by the slot that is being applied.
func (w *writer) renewLease(id int64, l lease) error {
	l.renewed, l.renewedAt = w.state.applied, w.leaseClock
	w.leaseChanges = append(w.leaseChanges, leased{id, l})
	w.row = appendLeaseKey(w.row[:0], id)
	w.value = appendLease(w.value[:0], l)
	w.digestRow(w.row, w.value)
	return w.batch.Set(w.row, w.value, nil)
}

// endLease deletes a lease and, in one revision and in their order, the keys that are attached to it.
func (w *writer) endLease(id int64) error {
	for key, err := range w.attached(id) {
		if err != nil {
			return err
		}
		prior, err := w.get(key, w.revision)
		if err != nil {
			return err
		}
		if !prior.live || prior.lease != id {
			return fmt.Errorf("kv: key %q is not attached to lease %x: %w", key, uint64(id), errCorrupt)
		}
		if err := w.write(&version{key: key, at: w.next()}, prior); err != nil {
			return err
		}
		w.counts.Deletes++
	}
	w.leaseChanges = append(w.leaseChanges, leased{id: id})
	w.row = appendLeaseKey(w.row[:0], id)
	w.digestRow(w.row, nil)
	return w.batch.Delete(w.row, nil)
}

// reattach keeps the attachments when a version takes the place of another: a key is attached to the lease that its newest
// version names, as long as it is alive.
func (w *writer) reattach(v *version, prior *version) error {
	var from, to int64
	if prior.live {
		from = prior.lease
	}
	if v.live {
		to = v.lease
	}
	if from == to {
		return nil
	}
	if from != 0 {
		w.row = appendAttachmentKey(w.row[:0], from, v.key)
		if err := w.batch.Delete(w.row, nil); err != nil {
			return err
		}
	}
	if to != 0 {
		w.row = appendAttachmentKey(w.row[:0], to, v.key)
		return w.batch.Set(w.row, nil, nil)
	}
	return nil
}
