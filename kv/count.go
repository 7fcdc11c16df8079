package kv

import "context"

// count returns the number of keys of the span that are live at main. At the view's own revision it walks
// at most the two buckets at the ends.
func (v *view) count(ctx context.Context, s span, main int64) (int64, error) {
	if s.point || main != v.revision {
		return v.countWalk(ctx, s, main)
	}
	if s.empty() {
		return 0, nil
	}
	low, _, _, before := v.census.find(string(s.key))
	if s.end == nil {
		head, err := v.countWalk(ctx, spanIn(low.first, s.key), main)
		return v.census.total() - before - head, err
	}
	high, _, _, upTo := v.census.find(string(s.end))
	if low.first == high.first {
		return v.countWalk(ctx, s, main)
	}
	head, err := v.countWalk(ctx, spanIn(low.first, s.key), main)
	if err != nil {
		return 0, err
	}
	tail, err := v.countWalk(ctx, spanIn(high.first, s.end), main)
	return upTo + tail - before - head, err
}

// spanIn is the span of keys from a bucket's first up to end, which may be none.
func spanIn(first string, end []byte) span {
	return span{key: []byte(first), lower: appendPrefix(nil, []byte(first)), upper: appendPrefix(nil, end), end: end}
}

func (v *view) countWalk(ctx context.Context, s span, main int64) (int64, error) {
	var n int64
	for ver, err := range v.versions(ctx, s, main) {
		if err != nil {
			return 0, err
		}
		if ver.live {
			n++
		}
	}
	return n, nil
}
