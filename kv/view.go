package kv

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// view is the store at one instant. A reader's view rests on a Pebble snapshot and never changes; the writer's rests on the batch that is
// being built, and its revision and census move with it. A view is used by one goroutine.
type view struct {
	reader    pebble.Reader
	db        *database
	known     *knownKeys // a writer's alone
	heads     *heads     // a writer's alone
	revision  int64
	compacted int64 // -1 before the first compaction, as in etcd
	census    *census
	auth      *auth
	alarms    alarms
	digest    digest // a reader's alone

	point   *pebble.Iterator // for single keys; had when first needed
	idle    *idleIterators   // of a reader's view: where point comes from and goes to
	seek    []byte           // scratch
	closing error            // of iterators that were left before their end
}

func (v *view) close() error {
	if v.point == nil {
		return v.closing
	}
	it := v.point
	v.point = nil
	if v.idle != nil {
		return errors.Join(v.closing, v.idle.put(it))
	}
	return errors.Join(v.closing, it.Close())
}

// pointOptions lets a look-up of a single key that is not there end at a bloom filter, at every level.
var pointOptions = pebble.IterOptions{LowerBound: []byte{spaceVersions}, UpperBound: []byte{spaceVersions + 1}, UseL6Filters: true}

// get returns the newest version of key whose main revision is not above main; its at is zero if there is none.
// The version's slices are valid until the next get.
func (v *view) get(key []byte, main int64) (version, error) {
	if v.known.lacks(key) {
		return version{}, nil
	}
	if ver, ok := v.db.newest.get(key, main); ok {
		return ver, nil
	}
	ver, err := v.getAt(key, revision{main, maxSub})
	if err == nil && ver.at != (revision{}) && main == v.revision {
		v.db.newest.found(&ver, main)
	}
	return ver, err
}

// newest returns the newest version of key. If its value is not wanted, it may be without.
func (v *view) newest(key []byte, valued bool) (version, error) {
	if !valued && v.heads != nil {
		if h, ok := v.heads.get(key); ok {
			return h.version(key), nil
		}
	}
	return v.get(key, v.revision)
}

// open sees to it that there is an iterator for single keys, and that it sees all there is.
func (v *view) open() (err error) {
	switch {
	case v.point != nil:
		v.point.SetOptions(&pointOptions) // makes what the batch has gained since visible; a snapshot gains nothing
		return nil
	case v.idle != nil:
		if v.point = v.idle.take(); v.point != nil {
			return nil
		}
	}
	v.point, err = v.reader.NewIter(&pointOptions)
	return err
}

// getAt is get with a sub-revision, of what is in the database.
func (v *view) getAt(key []byte, at revision) (version, error) {
	if err := v.open(); err != nil {
		return version{}, err
	}
	v.seek = appendRevision(appendPrefix(v.seek[:0], key), at)
	if !v.point.SeekPrefixGE(v.seek) {
		return version{}, v.point.Error()
	}
	value, err := v.point.ValueAndErr()
	if err != nil {
		return version{}, err
	}
	return parseVersion(v.point.Key(), value)
}

// span is a set of keys as etcd's requests name it: one key, or all from key to end, or all from key on.
type span struct {
	key   []byte
	point bool
	lower []byte // bounds in the space of versions
	upper []byte
	end   []byte // nil if there is none
}

// spanOf reads a request's key and range_end. An end that is not above key makes an empty span.
func spanOf(key, end []byte) span {
	s := span{key: key, point: len(end) == 0, lower: appendPrefix(nil, key)}
	if len(end) == 1 && end[0] == 0 {
		s.upper = []byte{spaceVersions + 1}
	} else {
		s.end = end
		s.upper = appendPrefix(nil, end)
	}
	return s
}

// empty reports whether the span's end is not above its beginning.
func (s span) empty() bool { return !s.point && s.end != nil && bytes.Compare(s.end, s.key) <= 0 }

// checkEvery is after how many keys a long walk looks whether its caller still wants it.
const checkEvery = 256

// versions yields, for every key of the span in order, its newest version whose main revision is not above main, tombstones
// included. The slices of a version are valid until the next one. The walk ends after it has yielded an error.
func (v *view) versions(ctx context.Context, s span, main int64) iter.Seq2[version, error] {
	if s.point {
		return func(yield func(version, error) bool) {
			if ver, err := v.get(s.key, main); err != nil || ver.at != (revision{}) {
				yield(ver, err)
			}
		}
	}
	if s.empty() {
		return func(func(version, error) bool) {}
	}
	opts := &pebble.IterOptions{LowerBound: s.lower, UpperBound: s.upper}
	return rows(v, opts, func(it *pebble.Iterator, yield func(version, error) bool) error {
		return walk(ctx, it, main, yield)
	})
}

// rows opens an iterator for walk, closes it after it, and yields the error of either last.
func rows[T any](v *view, opts *pebble.IterOptions, walk func(*pebble.Iterator, func(T, error) bool) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		it, err := v.reader.NewIter(opts)
		if err != nil {
			yield(none, err)
			return
		}
		stopped := false
		err = walk(it, func(row T, err error) bool {
			stopped = !yield(row, err)
			return !stopped
		})
		closing := it.Close()
		switch {
		case stopped:
			v.closing = errors.Join(v.closing, closing)
		case err != nil:
			yield(none, err)
		case closing != nil:
			yield(none, closing)
		}
	}
}

// walk steps through the keys that it is bound to. It returns nil if yield has seen the end or wants no more.
func walk(ctx context.Context, it *pebble.Iterator, main int64, yield func(version, error) bool) error {
	var seek []byte
	steps := 0
	for ok := it.First(); ok; {
		if steps++; steps%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row := it.Key()
		_, at, err := parseVersionKey(row)
		if err != nil {
			return err
		}
		if at.main > main {
			seek = append(seek[:0], row[:split(row)]...)
			seek = appendRevision(seek, revision{main, maxSub})
			ok = it.SeekGE(seek)
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		ver, err := parseVersion(row, value)
		if err != nil {
			return err
		}
		if !yield(ver, nil) {
			return nil
		}
		ok = it.NextPrefix()
	}
	return it.Error()
}

// keyValue copies a version into the form in which etcd's API gives it.
func (v *version) keyValue() *mvccpb.KeyValue { return new(pairs).of(v) }
