package kv

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// checkPut refuses, before anything is changed, what put could not carry out.
func (v *view) checkPut(r *pb.PutRequest) error {
	if r.Lease != 0 {
		l, err := v.lease(r.Lease)
		if err != nil {
			return err
		}
		if !l.exists() {
			return rpctypes.ErrGRPCLeaseNotFound
		}
	}
	if !r.IgnoreValue && !r.IgnoreLease {
		return nil
	}
	prior, err := v.get(r.Key, v.revision)
	if err != nil {
		return err
	}
	if !prior.live {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

// put executes a request that checkPut has passed.
func (w *writer) put(r *pb.PutRequest) (*pb.PutResponse, error) {
	prior, before, err := w.before(r.Key, r.PrevKv || r.IgnoreValue || w.notes.on)
	if err != nil {
		return nil, err
	}
	resp := &pb.PutResponse{Header: &pb.ResponseHeader{}}
	if r.PrevKv && prior.live {
		resp.PrevKv = prior.keyValue()
	}
	at := w.next()
	next := version{key: r.Key, at: at, live: true, created: at.main, count: 1, lease: r.Lease, value: r.Value}
	if prior.live {
		next.created, next.count = prior.created, prior.count+1
	}
	if r.IgnoreValue {
		next.value = prior.value
	}
	if r.IgnoreLease {
		next.lease = prior.lease
	}
	if err := w.replace(&next, prior, before); err != nil {
		return nil, err
	}
	w.counts.Puts++
	w.counts.PutBytes += uint64(len(next.key) + len(next.value))
	resp.Header.Revision = w.revision
	return resp, nil
}

func (w *writer) deleteRange(r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	w.counts.Deletes++
	resp := &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{}}
	// The walk sees the batch as it was when the walk began, so it does not meet its own tombstones.
	for prior, err := range w.versions(context.Background(), spanOf(r.Key, r.RangeEnd), w.revision) {
		if err != nil {
			return nil, err
		}
		if !prior.live {
			continue
		}
		if r.PrevKv {
			resp.PrevKvs = append(resp.PrevKvs, prior.keyValue())
		}
		if err := w.write(&version{key: prior.key, at: w.next()}, prior); err != nil {
			return nil, err
		}
		resp.Deleted++
	}
	resp.Header.Revision = w.revision
	return resp, nil
}

// next returns the revision of the next change. The first change of a command takes a new main revision.
func (w *writer) next() revision {
	if w.subs == 0 {
		w.revision++
	}
	at := revision{w.revision, w.subs}
	w.subs++
	return at
}

// before returns the newest version of a key, and its head. If its value is not wanted, the version may be without it.
func (w *writer) before(key []byte, valued bool) (version, head, error) {
	if !valued {
		if h, ok := w.heads.get(key); ok {
			return h.version(key), h, nil
		}
	}
	v, err := w.get(key, w.revision)
	return v, w.headOf(&v), err
}

// write adds a version, which takes the place of prior.
func (w *writer) write(v *version, prior version) error {
	return w.replace(v, prior, w.headOf(&prior))
}

// replace adds a version, which takes the place of prior, whose head is before, and keeps the census and the attachments. Of prior the value is needed for watchers alone.
func (w *writer) replace(v *version, prior version, before head) error {
	written := w.headOf(v)
	if err := w.batch.Set(w.row, w.value, nil); err != nil {
		return err
	}
	w.digestWrite(written, before)
	c := change{at: v.at, dead: !v.live, key: v.key}
	if prior.live {
		c.prior, c.priorCost = before.at, before.cost
	}
	w.size += written.cost
	w.row = appendChangeKey(w.row[:0], v.at)
	w.value = appendChange(w.value[:0], &c)
	if err := w.changeRows.Set(w.row, w.value, nil); err != nil {
		return err
	}
	w.db.newest.wrote(v, w.notes.on) // who takes notes wants the value of the version before
	w.heads.put(v.key, written)
	if !prior.live && w.known.create(v.key) { // of one that is deleted the rows may be gone, and a tombstone be at hand all the same
		w.store.sweeper.nudge()
	}
	w.notes.add(v, prior)
	if err := w.reattach(v, &prior); err != nil {
		return err
	}
	switch {
	case v.live && !prior.live:
		return w.countCreated(v.key)
	case !v.live && prior.live:
		w.countDeleted(v.key)
	case !v.live:
		return w.countTombstone(v.key)
	}
	return nil
}
