package kv

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestReadersLeaveIteratorsToThoseAfterThem has more readers at a time than may leave an iterator each, and then a write, after which nothing may hold the old state any more: the
// database would say so when it is closed.
func TestReadersLeaveIteratorsToThoseAfterThem(t *testing.T) {
	f := newFixture(t)
	f.must(&pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	var nest func(depth int) error
	nest = func(depth int) error {
		return f.read(context.Background(), func(v *view) error {
			if ver, err := v.getAt([]byte("k"), revision{v.revision, maxSub}); err != nil || string(ver.value) != "v" {
				t.Errorf("read %q, %v", ver.value, err)
			}
			if depth == 0 {
				return nil
			}
			return nest(depth - 1)
		})
	}
	for range 2 {
		if err := nest(2 * idleMax); err != nil {
			t.Fatal(err)
		}
		if n := len(f.current.Load().idle.iterators); n != idleMax {
			t.Fatalf("%d iterators wait for readers, want %d", n, idleMax)
		}
	}
	before := f.current.Load()
	f.must(&pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	eventually(t, func() bool { // the sweeper may be reading it yet
		if !before.retain() {
			return true
		}
		if err := before.release(); err != nil {
			t.Fatal(err)
		}
		return false
	})
}
