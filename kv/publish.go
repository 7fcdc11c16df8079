package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// published is the state that readers share: what the last commit has left. It lives until it has been superseded
// and its last reader has gone.
type published struct {
	snapshot  *pebble.Snapshot
	revision  int64
	compacted int64
	census    *census
	auth      *auth
	alarms    alarms
	digest    digest
	refs      atomic.Int64 // its readers, and one for being current
	db        *database    // that the snapshot is of
	idle      idleIterators
}

// idleIterators are iterators for single keys that readers have left for those after them: to open one costs more than to use it. It is safe for concurrent use.
type idleIterators struct {
	mu        sync.Mutex
	iterators []*pebble.Iterator
}

// idleMax bounds the iterators that wait for a reader.
const idleMax = 16

// take returns an iterator, or nil if there is none.
func (i *idleIterators) take() *pebble.Iterator {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.iterators)
	if n == 0 {
		return nil
	}
	it := i.iterators[n-1]
	i.iterators = i.iterators[:n-1]
	return it
}

// put keeps a sound iterator and closes any other, or one too many.
func (i *idleIterators) put(it *pebble.Iterator) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if it.Error() != nil || len(i.iterators) == idleMax {
		return it.Close()
	}
	i.iterators = append(i.iterators, it)
	return nil
}

func (i *idleIterators) close() (err error) {
	for _, it := range i.iterators {
		err = errors.Join(err, it.Close())
	}
	return err
}

// retain reports whether the state could still be had.
func (p *published) retain() bool {
	for {
		n := p.refs.Load()
		if n == 0 {
			return false
		}
		if p.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (p *published) release() error {
	if p.refs.Add(-1) > 0 {
		return nil
	}
	defer p.db.alive.Done()
	return errors.Join(p.idle.close(), p.snapshot.Close())
}

// publish makes what has been committed visible to readers that come from now on. The caller holds s.mu.
func (s *Store) publish() error {
	p := &published{
		snapshot: s.db.NewSnapshot(), revision: s.state.revision, compacted: s.state.compacted, census: s.census, auth: s.auth, alarms: s.alarms, digest: s.state.digest, db: s.db,
	}
	p.refs.Store(1)
	s.db.alive.Add(1)
	if old := s.current.Swap(p); old != nil {
		return old.release()
	}
	return nil
}

// latest returns the latest published state, to be released; nil if the store is closed.
func (s *Store) latest() *published {
	for {
		if p := s.current.Load(); p == nil || p.retain() {
			return p
		}
	}
}

// read calls fn with the latest published state. It takes no lock. An error that is no answer to the request means
// that the disk or the database is broken, and stops the store.
func (s *Store) read(ctx context.Context, fn func(v *view) error) error {
	if s.Err() != nil { // commands may have been passed over since, which a reader was told are executed
		return rpctypes.ErrGRPCStopped
	}
	p := s.latest()
	if p == nil {
		return rpctypes.ErrGRPCStopped
	}
	v := &view{reader: p.snapshot, db: p.db, revision: p.revision, compacted: p.compacted, census: p.census, auth: p.auth, alarms: p.alarms, digest: p.digest, idle: &p.idle}
	err := fn(v)
	if closing := v.close(); err == nil {
		err = closing
	}
	if closing := p.release(); err == nil {
		err = closing
	}
	if err == nil || isAnswer(err) || ctx.Err() != nil {
		return err
	}
	s.fail(fmt.Errorf("kv: read: %w", err))
	return rpctypes.ErrGRPCStopped
}
