package kv

import (
	"context"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// changes yields the changes from one revision up to but not including another, in order. What a change points to is valid until the next.
func (v *view) changes(ctx context.Context, from, to revision) iter.Seq2[change, error] {
	if !from.less(to) {
		return func(func(change, error) bool) {}
	}
	opts := &pebble.IterOptions{LowerBound: appendChangeKey(nil, from), UpperBound: appendChangeKey(nil, to)}
	return rows(v, opts, func(it *pebble.Iterator, yield func(change, error) bool) error {
		return walkChanges(ctx, it, yield)
	})
}

func walkChanges(ctx context.Context, it *pebble.Iterator, yield func(change, error) bool) error {
	steps := 0
	for ok := it.First(); ok; ok = it.Next() {
		if steps++; steps%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		c, err := parseChange(it.Key(), value)
		if err != nil {
			return err
		}
		if !yield(c, nil) {
			return nil
		}
	}
	return it.Error()
}

// Events calls fn, in order, with what each revision from one up to and including another has changed, prev_kv included where
// it can still be read; fn may keep the events. It returns the first error of fn. If from is below the compacted revision, some
// events are gone and it returns rpctypes.ErrGRPCCompacted; revisions above the current one have no events.
// Any goroutine may call it; fn should return soon, as the space of what is compacted meanwhile is not given back before.
func (s *Store) Events(ctx context.Context, from, to int64, fn func(revision int64, events []*mvccpb.Event) error) error {
	var refused error
	err := s.read(ctx, func(v *view) error {
		if from < v.compacted {
			return rpctypes.ErrGRPCCompacted
		}
		for group, err := range v.events(ctx, max(from, 1), min(to, v.revision)) {
			if err != nil {
				return err
			}
			if refused = fn(group[0].Kv.ModRevision, group); refused != nil {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return refused
}

// events yields the events of each main revision from one up to and including another.
func (v *view) events(ctx context.Context, from, to int64) iter.Seq2[[]*mvccpb.Event, error] {
	return func(yield func([]*mvccpb.Event, error) bool) {
		var group []*mvccpb.Event
		for c, err := range v.changes(ctx, revision{main: from}, revision{main: to + 1}) {
			var event *mvccpb.Event
			if err == nil {
				event, err = v.event(c)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if len(group) > 0 && group[0].Kv.ModRevision != c.at.main {
				if !yield(group, nil) {
					return
				}
				group = nil
			}
			group = append(group, event)
		}
		if len(group) > 0 {
			yield(group, nil)
		}
	}
}

// event makes etcd's event of a change: a deletion has nothing but the key and the revision.
func (v *view) event(c change) (*mvccpb.Event, error) {
	event := &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: append([]byte(nil), c.key...), ModRevision: c.at.main}}
	if !c.dead {
		ver, err := v.getAt(c.key, c.at)
		if err != nil {
			return nil, err
		}
		if ver.at != c.at {
			return nil, fmt.Errorf("kv: version %d.%d of key %q is missing: %w", c.at.main, c.at.sub, c.key, errCorrupt)
		}
		event.Type, event.Kv = mvccpb.Event_PUT, ver.keyValue()
		if ver.isNew() {
			return event, nil
		}
	}
	if c.prior == (revision{}) {
		return event, nil
	}
	at := c.prior
	if at.main == c.at.main {
		at = revision{c.at.main - 1, maxSub}
	}
	prior, err := v.getAt(c.key, at)
	if err != nil {
		return nil, err
	}
	if prior.live && (at != c.prior || prior.at == c.prior) { // of what is compacted an older version may be left
		event.PrevKv = prior.keyValue()
	}
	return event, nil
}
