package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// LeaseTimeToLive returns how long a lease will yet live, in whole seconds, as far as this replica has measured, and the keys that are attached to it in
// their order if they are asked for. The TTL of a lease that does not exist is -1. Any goroutine may call it.
func (s *Store) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (resp *pb.LeaseTimeToLiveResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		resp = &pb.LeaseTimeToLiveResponse{Header: &pb.ResponseHeader{Revision: v.revision}, ID: r.ID, TTL: -1}
		l, err := v.lease(r.ID)
		if err != nil || !l.exists() {
			return err
		}
		resp.TTL, resp.GrantedTTL = int64(s.expiry.remaining(r.ID)/time.Second), l.ttl
		if !r.Keys {
			return nil
		}
		for key, err := range v.attached(r.ID) {
			if err != nil {
				return err
			}
			resp.Keys = append(resp.Keys, append([]byte(nil), key...))
			if len(resp.Keys)%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// LeaseLeases lists all leases, those that end first before the others. Any goroutine may call it.
func (s *Store) LeaseLeases(ctx context.Context, r *pb.LeaseLeasesRequest) (resp *pb.LeaseLeasesResponse, err error) {
	err = s.readFor(ctx, r, func(v *view) error {
		resp = &pb.LeaseLeasesResponse{Header: &pb.ResponseHeader{Revision: v.revision}}
		for _, id := range s.expiry.inOrder() {
			resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: id})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// LeaseUpkeep returns the command that the leader should propose now so that leases end in time, or nil and after how long to ask again. The next one should be
// asked for once this one has been applied here. It does no harm if several members propose, or one that does not lead. Any goroutine may call it.
func (s *Store) LeaseUpkeep() (command []byte, wait time.Duration) {
	u, wait := s.expiry.next()
	if u == nil {
		return nil, wait
	}
	return u.encode(), 0
}

// loadLeases reads the lease clock, and builds the expiry index of the leases in the database.
func (s *Store) loadLeases() error {
	value, err := get(s.db, clockKey)
	if err != nil {
		return err
	}
	s.leaseClock = 0
	if value != nil {
		if len(value) != 8 {
			return fmt.Errorf("kv: lease clock of %d bytes: %w", len(value), errCorrupt)
		}
		s.leaseClock = time.Duration(binary.BigEndian.Uint64(value))
	}
	v := &view{reader: s.db}
	var all []leased
	for l, err := range v.leases() {
		if err != nil {
			return errors.Join(err, v.close())
		}
		all = append(all, l)
	}
	s.expiry.load(all, s.leaseClock)
	return v.close()
}

func (w *writer) writeLeaseClock() error {
	if w.leaseClock == w.store.leaseClock {
		return nil
	}
	return w.batch.Set(clockKey, binary.BigEndian.AppendUint64(nil, uint64(w.leaseClock)), nil)
}
