package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// Exported says of which state an export is, and has what there is beside keys.
type Exported struct {
	Revision  int64
	Compacted int64 // -1 if nothing was ever compacted
	Leases    []ExportedLease
	Auth      *rbac.Policy // users, roles, and whether they are enforced; nil is as good as none
	Alarms    []*pb.AlarmMember
}

// ExportedLease is a lease with its TTL in seconds. How much of that is over is not told: it begins anew.
type ExportedLease struct{ ID, TTL int64 }

// Export calls fn with everything that a snapshot of etcd's has in its bucket "key", in order: a row for each version that can still be read, its key the
// revision and its value a marshalled mvccpb.KeyValue. It is all of one state. What fn is given is valid until it returns. It returns the
// first error of fn. Any goroutine may call it; fn should not take for ever, as the space of what is deleted meanwhile is not given back before.
func (s *Store) Export(ctx context.Context, fn func(key, value []byte) error) (Exported, error) {
	var exported Exported
	var refused error
	err := s.read(ctx, func(v *view) error {
		exported = Exported{Revision: v.revision, Compacted: v.compacted, Auth: v.auth.Policy, Alarms: v.alarms}
		for l, err := range v.leases() {
			if err != nil {
				return err
			}
			exported.Leases = append(exported.Leases, ExportedLease{l.id, l.ttl})
		}
		var row []byte
		for c, err := range v.changes(ctx, revision{}, revision{main: v.revision + 1}) {
			if err != nil {
				return err
			}
			ver, ok, err := v.kept(c)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			row = appendBackendRow(row[:0], &ver)
			n := backendKeySize
			if !ver.live {
				n++
			}
			if refused = fn(row[:n], row[n:]); refused != nil {
				return nil
			}
		}
		return nil
	})
	return exported, errors.Join(err, refused)
}

// kept returns the version that a change made, if it can still be read: a change from before the compaction only as the last one of a key that was live then.
func (v *view) kept(c change) (version, bool, error) {
	at := c.at
	if c.at.main <= v.compacted {
		if c.dead {
			return version{}, false, nil
		}
		at = revision{v.compacted, maxSub}
	}
	ver, err := v.getAt(c.key, at)
	if err != nil || ver.at == c.at {
		return ver, err == nil, err
	}
	if c.at.main <= v.compacted {
		return version{}, false, nil
	}
	return version{}, false, fmt.Errorf("kv: version %d.%d of key %q is missing: %w", c.at.main, c.at.sub, c.key, errCorrupt)
}

// importBytes bounds a batch of Import.
const importBytes = 4 << 20

// Import fills an empty store with what Export, or a snapshot of etcd's, has: rows calls its argument with each row, in order. The store is at slot 0 then, and
// at the revision and the compaction that state names. An error leaves a directory that is of no use.
// No other call may run at the same time.
func (s *Store) Import(state Exported, rows func(fn func(key, value []byte) error) error) error {
	s.mu.Lock() // the sweeper tidies the census meanwhile
	defer s.mu.Unlock()
	if s.state != firstState {
		return errors.New("kv: there is something in the store already: import into an empty one")
	}
	w := s.newWriter()
	defer func() { w.discard() }()
	if err := w.importBeside(state); err != nil {
		return err
	}
	last := revision{}
	err := rows(func(key, value []byte) error {
		ver, err := parseBackendRow(key, value)
		if err != nil {
			return err
		}
		if !last.less(ver.at) || ver.at.main > state.Revision {
			return fmt.Errorf("kv: the row of revision %d.%d is out of order, or above the last revision, %d", ver.at.main, ver.at.sub, state.Revision)
		}
		last = ver.at
		prior, err := w.getAt(ver.key, revision{ver.at.main, maxSub})
		if err != nil {
			return err
		}
		w.revision = ver.at.main // so that a bucket that is walked is seen with this version in it
		if err := w.write(&ver, prior); err != nil {
			return err
		}
		if w.batch.Len() < importBytes {
			return nil
		}
		if err := w.commit(); err != nil {
			return err
		}
		w.discard()
		w = s.newWriter()
		return nil
	})
	if err != nil {
		return err
	}
	w.revision, w.compacted = state.Revision, state.Compacted
	if err := w.commit(); err != nil {
		return fmt.Errorf("kv: import: %w", err)
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("kv: import: %w", err)
	}
	return nil
}

// importBeside takes over what a state has beside keys.
func (w *writer) importBeside(state Exported) error {
	for _, l := range state.Leases {
		if _, err := w.grant(&pb.LeaseGrantRequest{ID: l.ID, TTL: l.TTL}); err != nil {
			return fmt.Errorf("kv: lease %x: %w", uint64(l.ID), err)
		}
	}
	for _, alarm := range state.Alarms {
		if alarm.Alarm < 0 || alarm.Alarm > maxAlarmType {
			return fmt.Errorf("kv: alarm of an unknown type, %d", alarm.Alarm)
		}
		if _, err := (alarmChange{alarm, true}).run(w); err != nil {
			return err
		}
	}
	if state.Auth != nil {
		w.auth = &auth{Policy: state.Auth, clock: w.auth.clock, taken: w.auth.taken}
	}
	return nil
}

// backendKeySize is the length of the key of a row that is no tombstone.
const backendKeySize = 8 + 1 + 8

// parseBackendRow is the inverse of appendBackendRow.
func parseBackendRow(key, value []byte) (version, error) {
	malformed := func() (version, error) { return version{}, fmt.Errorf("kv: malformed row %x of an etcd snapshot", key) }
	dead := len(key) == backendKeySize+1 && key[backendKeySize] == 't'
	if len(key) != backendKeySize && !dead || key[8] != '_' {
		return malformed()
	}
	var kv mvccpb.KeyValue
	if err := proto.Unmarshal(value, &kv); err != nil || len(kv.Key) == 0 {
		return malformed()
	}
	main, sub := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[9:])
	if main < 2 || main > math.MaxInt64 || sub >= uint64(maxSub) {
		return malformed()
	}
	at := revision{int64(main), uint32(sub)}
	if dead {
		return version{key: kv.Key, at: at}, nil
	}
	if kv.ModRevision != at.main || kv.CreateRevision < 1 || kv.CreateRevision > at.main || kv.Version < 1 {
		return malformed()
	}
	return version{key: kv.Key, at: at, live: true, created: kv.CreateRevision, count: kv.Version, lease: kv.Lease, value: kv.Value}, nil
}
