package kv

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// bucketWeightMax is how many keys a bucket may hold, dead ones included, before it is cut in two: what a count walks at each end of its range.
const bucketWeightMax = 256

func appendBucketKey(dst []byte, first string) []byte {
	return append(append(dst, spaceBuckets), first...)
}

// appendBucket appends a bucket's row value: uvarint live keys, uvarint weight.
func appendBucket(dst []byte, b bucket) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.live))
	return binary.AppendUvarint(dst, uint64(b.weight))
}

// loadCensus reads all buckets: a few thousand rows for a million keys.
func loadCensus(r pebble.Reader) (c *census, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceBuckets}, UpperBound: []byte{spaceBuckets + 1}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closing := it.Close(); err == nil {
			err = closing
		}
	}()
	var buckets []bucket
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		p := parser{rest: value}
		b := bucket{first: string(it.Key()[1:]), live: int64(p.uvarint()), weight: int64(p.uvarint())}
		if p.failed || len(p.rest) > 0 {
			return nil, fmt.Errorf("kv: malformed bucket %q: %w", b.first, errCorrupt)
		}
		buckets = append(buckets, b)
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	if len(buckets) == 0 || buckets[0].first != "" {
		return nil, fmt.Errorf("kv: the first bucket is missing: %w", errCorrupt)
	}
	return newCensus(buckets), nil
}

// setBucket puts b into the census, and into the batch when it is committed.
func (w *writer) setBucket(b bucket) {
	w.census = w.census.with(b)
	w.dirty[b.first] = struct{}{}
}

// dropBucket takes a bucket out. Its keys must have been added to the one before it.
func (w *writer) dropBucket(first string) {
	w.census = w.census.without(first)
	w.dirty[first] = struct{}{}
}

// writeBuckets writes each bucket that has changed once, however often it did.
func (w *writer) writeBuckets() error {
	for first := range w.dirty {
		w.row = appendBucketKey(w.row[:0], first)
		b, _, _, _ := w.census.find(first)
		var err error
		if b.first == first {
			w.value = appendBucket(w.value[:0], b)
			err = w.batch.Set(w.row, w.value, nil)
		} else {
			err = w.batch.Delete(w.row, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count adds to the bucket that key lies in, and returns what that has then.
func (w *writer) count(key []byte, live, weight int64) bucket {
	b, _, _, _ := w.census.find(string(key))
	w.census = w.census.counted(b.first, live, weight, w.number)
	w.dirty[b.first] = struct{}{}
	b.live += live
	b.weight += weight
	return b
}

func (w *writer) countCreated(key []byte) error {
	b := w.count(key, 1, 1)
	switch {
	case b.weight <= bucketWeightMax:
		return nil
	case b.weight == b.live: // so all keys in it are live
		return w.cut(b)
	}
	return w.recount(b.first)
}

// cut cuts a bucket whose keys are all live, and counted, in two. It walks the first half; if that is not as it should be, the whole is counted anew.
func (w *writer) cut(b bucket) error {
	var n int64
	for ver, err := range w.versions(context.Background(), w.spanOfBucket(b.first), w.revision) {
		if err != nil {
			return err
		}
		if !ver.live {
			break
		}
		if n == b.live/2 {
			w.setBucket(bucket{first: b.first, live: n, weight: n})
			w.setBucket(bucket{first: string(ver.key), live: b.live - n, weight: b.live - n})
			return nil
		}
		n++
	}
	return w.recount(b.first)
}

// countTombstone counts a key of which there is nothing but a tombstone. Only an import writes such.
func (w *writer) countTombstone(key []byte) error {
	b := w.count(key, 0, 1)
	if b.weight <= bucketWeightMax {
		return nil
	}
	return w.recount(b.first)
}

// countDeleted leaves the weight alone: the tombstone, and what lies under it, are still there to be walked.
func (w *writer) countDeleted(key []byte) {
	w.count(key, -1, 0)
}

// recount walks a bucket, whose weight is but an upper bound, and cuts it in two if it does hold more than half of what it may:
// so at least half as many keys again must be created before the next walk.
func (w *writer) recount(first string) error {
	keys, live, err := w.censusOf(first)
	if err != nil {
		return err
	}
	mid := len(keys)
	if mid > bucketWeightMax/2 {
		mid /= 2
		w.setBucket(bucket{first: keys[mid], live: trues(live[mid:]), weight: int64(len(keys) - mid)})
	}
	w.setBucket(bucket{first: first, live: trues(live[:mid]), weight: int64(mid)})
	return nil
}

// joinBefore adds a bucket to the one before it if both together are small.
func (w *writer) joinBefore(first string) {
	if first == "" {
		return
	}
	b, _, _, _ := w.census.find(first)
	prior := w.census.before(first)
	if b.weight+prior.weight > bucketWeightMax/2 {
		return
	}
	w.dropBucket(first)
	w.setBucket(bucket{first: prior.first, live: prior.live + b.live, weight: prior.weight + b.weight})
}

// censusOf lists the keys in a bucket of which there is any version, and whether each is live.
func (v *view) censusOf(first string) (keys []string, live []bool, err error) {
	for ver, err := range v.versions(context.Background(), v.spanOfBucket(first), v.revision) {
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, string(ver.key))
		live = append(live, ver.live)
	}
	return keys, live, nil
}

func (v *view) spanOfBucket(first string) span {
	if _, next, bounded, _ := v.census.find(first); bounded {
		return spanIn(first, []byte(next))
	}
	return spanOf([]byte(first), []byte{0})
}

func trues(flags []bool) (n int64) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}
