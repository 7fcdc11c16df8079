package kv

import "go.etcd.io/etcd/api/v3/mvccpb"

// pairs makes the pairs of one answer, many with one allocation: one each for pair, key and value would cost more than to read them. What it has made
// lives as long as any of it.
type pairs struct {
	made  int
	fresh []mvccpb.KeyValue // not yet given out
	room  []byte            // for keys and values
}

const (
	pairsMax = 256      // of one allocation; the first ones are smaller, as an answer may be of one pair
	roomMax  = 64 << 10 // likewise; more only for a larger pair
)

// of copies a version into the form in which etcd's API gives it.
func (p *pairs) of(v *version) *mvccpb.KeyValue {
	if len(p.fresh) == 0 {
		p.fresh = make([]mvccpb.KeyValue, max(1, min(p.made, pairsMax)))
	}
	kv := &p.fresh[0]
	p.fresh = p.fresh[1:]
	if size := len(v.key) + len(v.value); size > len(p.room) {
		p.room = make([]byte, max(size, min(p.made*size, roomMax)))
	}
	p.made++
	kv.Key, kv.Value = p.copyOf(v.key), p.copyOf(v.value)
	kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease = v.created, v.at.main, v.count, v.lease
	return kv
}

// copyOf returns nil for nothing, as protobuf does.
func (p *pairs) copyOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := copy(p.room, b)
	copied := p.room[:n:n]
	p.room = p.room[n:]
	return copied
}
