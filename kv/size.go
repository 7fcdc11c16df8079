package kv

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The size of the store is what a user would reckon: every version that has not been deleted for good, its key, its value, and something for the rest. What the database makes of it on
// disk is less, by compression, or more, until it gets round to what was deleted: a quota is better held against what somebody can do something about. Each replica keeps
// count by itself, as each deletes in its own time.

var sizeKey = append([]byte{spaceMeta}, "size"...)

// versionCost is what a version counts for beside key and value: about what its two rows hold.
const versionCost = 64

func (v *version) cost() int64 {
	if len(v.key) == 0 {
		return 0 // there is none
	}
	return versionCost + int64(len(v.key)+len(v.value))
}

func encodeSize(size int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(size)) }

// loadSize reads the count, or counts anew in a database that has none yet.
func loadSize(r pebble.Reader) (int64, error) {
	value, err := get(r, sizeKey)
	switch {
	case err != nil:
		return 0, err
	case value == nil:
		return countSize(r)
	case len(value) != 8:
		return 0, fmt.Errorf("kv: size row of %d bytes: %w", len(value), errCorrupt)
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

func countSize(r pebble.Reader) (size int64, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceVersions}, UpperBound: []byte{spaceVersions + 1}})
	if err != nil {
		return 0, err
	}
	defer func() {
		if closing := it.Close(); err == nil {
			err = closing
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		v, err := parseVersion(it.Key(), value)
		if err != nil {
			return 0, err
		}
		size += v.cost()
	}
	return size, it.Error()
}

// Size returns about how many bytes the keys, their values and their history take; what a compaction allows to delete no longer counts once it is deleted. It is cheap.
func (s *Store) Size() int64 { return s.size.Load() }
