package kv

// census counts live keys. The space of keys is cut into buckets, each of which begins at its first key and ends
// where the next begins; the census is a weight-balanced binary tree of them (Adams, "Efficient sets: a balancing act") in which
// each node knows the sum below it, so that "how many before this key" is one walk down.
//
// A census is immutable once its writer has committed: a change returns a new one that shares all but a path with the old, which readers may still hold.
// The nil census is empty. A store's census has at least the bucket that begins at the empty key.
type census struct {
	bucket
	left, right *census
	size        int    // buckets in this tree
	sum         int64  // live keys in this tree
	writer      uint64 // whose node it is alone as long as he has not committed; 0 is nobody's number
}

// bucket is one stretch of the key space.
type bucket struct {
	first  string
	live   int64 // keys in it that exist at the current revision
	weight int64 // never less than the keys in it of which there is any version, dead ones included: what a walk of it costs
}

func (c *census) buckets() int {
	if c == nil {
		return 0
	}
	return c.size
}

// total returns the number of live keys.
func (c *census) total() int64 {
	if c == nil {
		return 0
	}
	return c.sum
}

// find returns the bucket that key lies in, where the next one begins (ok is false if it is the last), and the number of live keys in
// all buckets before it.
func (c *census) find(key string) (b bucket, next string, ok bool, before int64) {
	var passed int64
	for c != nil {
		if key < c.first {
			next, ok = c.first, true
			c = c.left
			continue
		}
		b = c.bucket
		before = passed + c.left.total()
		passed = before + c.live
		c = c.right
	}
	return b, next, ok, before
}

// after returns the first bucket that begins at or after key.
func (c *census) after(key string) (b bucket, ok bool) {
	for c != nil {
		if c.first < key {
			c = c.right
			continue
		}
		b, ok = c.bucket, true
		c = c.left
	}
	return b, ok
}

// before returns the last bucket that begins before key, which must not be the first key of all.
func (c *census) before(key string) (b bucket) {
	for c != nil {
		if c.first >= key {
			c = c.left
			continue
		}
		b = c.bucket
		c = c.right
	}
	return b
}

// with returns the census with b in it, in the place of the bucket that begins at the same key if there is one.
func (c *census) with(b bucket) *census {
	switch {
	case c == nil:
		return join(nil, b, nil)
	case b.first < c.first:
		return balance(c.left.with(b), c.bucket, c.right)
	case b.first > c.first:
		return balance(c.left, c.bucket, c.right.with(b))
	}
	return join(c.left, b, c.right)
}

// counted returns the census with so many more keys in the bucket that begins at first, which it has. It changes the nodes that are the writer's own, and makes others his, so that of many
// keys that are created in one batch hardly one costs a copy.
func (c *census) counted(first string, live, weight int64, writer uint64) *census {
	if c.writer != writer {
		own := *c
		own.writer = writer
		c = &own
	}
	c.sum += live
	switch {
	case first < c.first:
		c.left = c.left.counted(first, live, weight, writer)
	case first > c.first:
		c.right = c.right.counted(first, live, weight, writer)
	default:
		c.live += live
		c.weight += weight
	}
	return c
}

// without returns the census without the bucket that begins at first, if there is one.
func (c *census) without(first string) *census {
	switch {
	case c == nil:
		return nil
	case first < c.first:
		return balance(c.left.without(first), c.bucket, c.right)
	case first > c.first:
		return balance(c.left, c.bucket, c.right.without(first))
	case c.left == nil:
		return c.right
	case c.right == nil:
		return c.left
	}
	heir, _ := c.right.after("")
	return balance(c.left, heir, c.right.without(heir.first))
}

// newCensus builds a census of buckets that are in order.
func newCensus(buckets []bucket) *census {
	if len(buckets) == 0 {
		return nil
	}
	mid := len(buckets) / 2
	return join(newCensus(buckets[:mid]), buckets[mid], newCensus(buckets[mid+1:]))
}

func join(left *census, b bucket, right *census) *census {
	return &census{
		bucket: b, left: left, right: right,
		size: left.buckets() + 1 + right.buckets(),
		sum:  left.total() + b.live + right.total(),
	}
}

// The balance parameters ⟨3, 2⟩ are the pair of integers proven sound (Hirai and Yamamoto, "Balancing weight-balanced trees").
const (
	balanceDelta = 3
	balanceRatio = 2
)

// balance joins two trees of which one may have gained or lost one bucket since they were in balance.
func balance(left *census, b bucket, right *census) *census {
	l, r := left.buckets()+1, right.buckets()+1
	switch {
	case r > balanceDelta*l:
		if right.left.buckets()+1 < balanceRatio*(right.right.buckets()+1) {
			return join(join(left, b, right.left), right.bucket, right.right)
		}
		mid := right.left
		return join(join(left, b, mid.left), mid.bucket, join(mid.right, right.bucket, right.right))
	case l > balanceDelta*r:
		if left.right.buckets()+1 < balanceRatio*(left.left.buckets()+1) {
			return join(left.left, left.bucket, join(left.right, b, right))
		}
		mid := left.right
		return join(join(left.left, left.bucket, mid.left), mid.bucket, join(mid.right, b, right))
	}
	return join(left, b, right)
}
