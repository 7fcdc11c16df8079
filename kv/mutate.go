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
	prior, err := w.get(r.Key, w.revision)
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
	if err := w.write(&next, prior); err != nil {
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

// write adds a version, which takes the place of prior, and keeps the census and the attachments.
func (w *writer) write(v *version, prior version) error {
	w.row = appendRevision(appendPrefix(w.row[:0], v.key), v.at)
	w.value = appendVersion(w.value[:0], v)
	if err := w.batch.Set(w.row, w.value, nil); err != nil {
		return err
	}
	w.digestWrite(v, &prior)
	c := change{at: v.at, dead: !v.live, key: v.key}
	if prior.live {
		c.prior, c.priorCost = prior.at, prior.cost()
	}
	w.size += v.cost()
	w.row = appendChangeKey(w.row[:0], v.at)
	w.value = appendChange(w.value[:0], &c)
	if err := w.changeRows.Set(w.row, w.value, nil); err != nil {
		return err
	}
	w.db.newest.put(v)
	w.notes.add(v, prior)
	if err := w.reattach(v, &prior); err != nil {
		return err
	}
	switch {
	case v.live && !prior.live:
		return w.countCreated(v.key)
	case !v.live && prior.live:
		w.countDeleted(v.key)
	}
	return nil
}
