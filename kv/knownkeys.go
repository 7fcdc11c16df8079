package kv

import (
	"errors"
	"hash/maphash"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// knownKeys is a Bloom filter of the keys of which a database has any version: to write a key that it does not hold needs no search for the version before. It
// answers for a database in which it has been from the first write on. For another the sweeper goes through the keys there are once, when many have been created; until then it answers for nothing.
// Keys are never taken out, so that in time it may hold some that are gone: they are searched for in vain, as all are without it.
//
// It belongs to the writer: used with the store's lock held, but for what is the sweeper's own.
type knownKeys struct {
	seed     maphash.Seed  // never changes
	layers   []filterLayer // the last is being filled
	complete bool          // there is no key that it does not hold
	full     bool          // it has given up: there are too many keys
	created  int           // keys that it has been told of

	next []byte // the first key that the sweeper has not learned; the sweeper's own
}

const (
	learnAfter = 1024 // keys created make it worth while to go through those there are
	learnKeys  = 256  // in one step

	firstLayerKeys = 1 << 16
	layerShift     = 2 // each layer holds so many binary orders more than the one before
	layersMax      = 5 // 22 million keys, 28 MB; with more the filter gives up
)

// newKnownKeys returns the filter of a database that is empty, or of one that is not.
func newKnownKeys(empty bool) *knownKeys {
	return &knownKeys{seed: maphash.MakeSeed(), complete: empty}
}

// lacks reports that there is no version of key. A view that is no writer's has no filter, which is nil.
func (k *knownKeys) lacks(key []byte) bool {
	return k != nil && k.complete && !k.holds(k.hash(key))
}

// create takes a key that begins to exist, or does again. It reports whether it is time to learn of the others: once.
func (k *knownKeys) create(key []byte) (learn bool) {
	k.add(k.hash(key))
	k.created++
	return !k.complete && k.created == learnAfter
}

// wanted reports whether to learn of the keys there are.
func (k *knownKeys) wanted() bool { return !k.complete && !k.full && k.created >= learnAfter }

func (k *knownKeys) hash(key []byte) uint64 { return maphash.Bytes(k.seed, key) }

func (k *knownKeys) holds(hash uint64) bool {
	for i := len(k.layers) - 1; i >= 0; i-- {
		if k.layers[i].holds(hash) {
			return true
		}
	}
	return false
}

func (k *knownKeys) add(hash uint64) {
	if k.full || k.holds(hash) {
		return
	}
	n := len(k.layers)
	if n == 0 || k.layers[n-1].room == 0 {
		if n == layersMax {
			k.layers, k.complete, k.full = nil, false, true
			return
		}
		k.layers = append(k.layers, newFilterLayer(firstLayerKeys<<(layerShift*n)))
	}
	k.layers[len(k.layers)-1].add(hash)
}

// filterLayer is a Bloom filter whose bits for a key are all in one cache line: ten bits and six probes a key let one or two in a hundred through that it does not hold.
type filterLayer struct {
	lines [][8]uint64
	room  int // keys that it still may take
}

const (
	filterBits   = 10
	filterProbes = 6
	lineBits     = 512
)

func newFilterLayer(keys int) filterLayer {
	return filterLayer{lines: make([][8]uint64, keys*filterBits/lineBits), room: keys}
}

// line returns where a key's bits are. The product spreads over the lines what the probes take from the hash's lower end.
func (l *filterLayer) line(hash uint64) *[8]uint64 {
	i, _ := bits.Mul64(hash*0x9e3779b97f4a7c15, uint64(len(l.lines)))
	return &l.lines[i]
}

func (l *filterLayer) add(hash uint64) {
	line := l.line(hash)
	for range filterProbes {
		line[hash%lineBits/64] |= 1 << (hash % 64)
		hash /= lineBits
	}
	l.room--
}

func (l *filterLayer) holds(hash uint64) bool {
	line := l.line(hash)
	for range filterProbes {
		if line[hash%lineBits/64]&(1<<(hash%64)) == 0 {
			return false
		}
		hash /= lineBits
	}
	return true
}

// learnStep adds the next few keys to the filter of a database that was not empty, if it is wanted. Those that begin to exist behind it the writer adds itself.
func (s *Store) learnStep() (done bool, err error) {
	p := s.latest()
	if p == nil {
		return false, rpctypes.ErrGRPCStopped
	}
	defer func() { err = errors.Join(err, p.release()) }()
	keys := p.db.known
	s.lockToSweep()
	wanted := keys.wanted()
	s.mu.Unlock()
	if !wanted {
		return true, nil
	}
	next, hashes, err := hashesFrom(p.snapshot, keys.next, keys.hash)
	if err != nil {
		return false, err
	}
	keys.next = next
	s.lockToSweep()
	defer s.mu.Unlock()
	for _, hash := range hashes {
		keys.add(hash)
	}
	keys.complete = next == nil && !keys.full
	return next == nil, nil
}

// hashesFrom returns the hashes of learnKeys keys from one on, and where to go on; nil at the end.
func hashesFrom(r pebble.Reader, from []byte, hash func([]byte) uint64) (next []byte, hashes []uint64, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: appendPrefix(nil, from), UpperBound: []byte{spaceVersions + 1}})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.NextPrefix() {
		key, _, err := parseVersionKey(it.Key())
		if err != nil {
			return nil, nil, err
		}
		if len(hashes) == learnKeys {
			return append([]byte{}, key...), hashes, nil
		}
		hashes = append(hashes, hash(key))
	}
	return nil, hashes, it.Error()
}
