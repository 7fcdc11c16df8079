package kv

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod"
)

// TestReadsAreOfOneRevisionWhileOthersWrite lets every command replace all keys, or delete half of them, while compactions run; the
// values name the revision at which they were written. Readers check that what they get is of one revision, the one in the header,
// and that time does not go back.
func TestReadsAreOfOneRevisionWhileOthersWrite(t *testing.T) {
	const keys, rounds, readers = 16, 400, 4 // more keys than a stream's first chunk has
	f := newFixture(t)
	var done atomic.Bool
	var reads atomic.Int64
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			var last int64
			for !done.Load() || reads.Load() < readers {
				last = f.readConsistently(t, keys, last, i%2 == 0)
				reads.Add(1)
			}
		})
	}
	for i := range rounds {
		var commands []synod.Command
		for range 1 + i%3 {
			f.slot++
			commands = append(commands, synod.Command{Slot: f.slot, Data: encode(t, replaceAll(keys, f.Revision()+1+int64(len(commands))))})
		}
		for _, r := range f.Apply(commands) {
			if err := r.(Result).Err; err != nil {
				t.Errorf("txn: %v", err)
			}
		}
		if i%10 == 9 {
			f.must(&pb.DeleteRangeRequest{Key: []byte("key08"), RangeEnd: []byte("key16")})
			f.must(&pb.CompactionRequest{Revision: f.Revision() - 1})
		}
	}
	done.Store(true)
	wg.Wait()
}

// replaceAll puts all keys with a value that names the revision it will have.
func replaceAll(keys int, rev int64) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for i := range keys {
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "key%02d", i), Value: fmt.Append(nil, rev)}
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	return r
}

// readConsistently reads all keys and returns the revision of the header.
func (f *fixture) readConsistently(t *testing.T, keys int, last int64, stream bool) int64 {
	var resp *pb.RangeResponse
	var err error
	if stream {
		resp, err = streamed(f.Store, everything)
		if err == rpctypes.ErrGRPCCompacted {
			return last // between two chunks
		}
	} else {
		resp, err = f.Range(context.Background(), everything)
	}
	if err != nil {
		t.Errorf("read: %v", err)
		return last
	}
	rev := resp.Header.Revision
	if rev < last {
		t.Errorf("read at %d after one at %d", rev, last)
	}
	whole := len(resp.Kvs) == keys
	half := len(resp.Kvs) == keys/2 // then the last command was the deletion
	if rev > 1 && !whole && !half || resp.Count != int64(len(resp.Kvs)) {
		t.Errorf("at %d: %d keys, count %d", rev, len(resp.Kvs), resp.Count)
	}
	for _, kv := range resp.Kvs {
		want := rev
		if half {
			want--
		}
		if string(kv.Value) != fmt.Sprint(want) || kv.ModRevision != want {
			t.Errorf("at %d: %v", rev, kv)
		}
	}
	return rev
}

func TestReadsEndWithTheStore(t *testing.T) {
	closing := open(t, vfs.NewMem())
	closing.put("a", "1")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				resp, err := closing.Range(context.Background(), everything)
				if err == rpctypes.ErrGRPCStopped {
					return
				}
				if err != nil || resp.Count != 1 {
					t.Errorf("read: %v %v", resp, err)
					return
				}
			}
		})
	}
	closing.close()
	wg.Wait()
}

func TestReadStopsWithItsContext(t *testing.T) {
	f := newFixture(t)
	f.putMany(0, 2*checkEvery, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Range(ctx, everything); err != context.Canceled {
		t.Errorf("range: %v", err)
	}
	if _, err := f.HashKV(ctx, 0); err != context.Canceled {
		t.Errorf("hash: %v", err)
	}
	if f.Err() != nil {
		t.Errorf("the store has stopped: %v", f.Err())
	}
}
