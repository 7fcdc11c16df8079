package kv

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// TestAHeadIsThatOfTheLastVersionWrittenOrNone puts heads of rising revisions and asks for any: what is found is what was put last, and it is not found only if eight others have been written since.
func TestAHeadIsThatOfTheLastVersionWrittenOrNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHeads(1, 1<<rapid.IntRange(0, 3).Draw(t, "doublings"))
		last := map[string]head{}
		for main := int64(1); main < 400; main++ {
			key := fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "key"))
			written := head{at: revision{main / 2, uint32(main % 2)}, created: main, count: 2 * main, lease: 3 * main, cost: 4 * main, hash: uint64(5 * main), live: rapid.Bool().Draw(t, "live")}
			h.put([]byte(key), written)
			last[key] = written

			asked := fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "asked"))
			got, ok := h.get([]byte(asked))
			if ok && got != last[asked] {
				t.Fatalf("asked for %s: %+v, the last one put is %+v", asked, got, last[asked])
			}
			younger := 0
			for _, other := range last {
				if last[asked].at.less(other.at) {
					younger++
				}
			}
			if _, there := last[asked]; there && !ok && younger < headWays {
				t.Fatalf("%s is gone, and only %d were written after it", asked, younger)
			}
		}
		if _, ok := h.get([]byte("none")); ok {
			t.Fatal("found what was never put")
		}
	})
}

// TestHeadsOfAsManyKeysAsThereIsRoomForStay writes as many keys as three quarters of the places, again and again in the same order, which is the worst for sets that are full before others.
func TestHeadsOfAsManyKeysAsThereIsRoomForStay(t *testing.T) {
	const sets = 1 << 10
	const keys = headWays * sets * 3 / 4
	h := newHeads(1, sets)
	missed := 0
	for main := range int64(4 * keys) {
		key := fmt.Append(nil, main%keys)
		if _, ok := h.get(key); !ok && main >= 2*keys {
			missed++
		}
		h.put(key, head{at: revision{main: main + 1}})
	}
	if missed > 2*keys/100 {
		t.Errorf("%d of %d are not at hand when they are written again", missed, 2*keys)
	}
}

// TestWhoWantsTheValueBeforeGetsIt though the head of the key is at hand.
func TestWhoWantsTheValueBeforeGetsIt(t *testing.T) {
	f := newFixture(t)
	f.put("k", "first")
	resp := f.must(&pb.PutRequest{Key: []byte("k"), Value: []byte("second"), PrevKv: true}).(*pb.PutResponse)
	if got := string(resp.PrevKv.Value); got != "first" {
		t.Errorf("the value before is %q", got)
	}
	f.must(&pb.PutRequest{Key: []byte("k"), IgnoreValue: true})
	if got := f.rangeOf(&pb.RangeRequest{Key: []byte("k")}).Kvs[0]; string(got.Value) != "second" || got.Version != 3 {
		t.Errorf("the value that is kept is %q, of version %d", got.Value, got.Version)
	}
	compare := &pb.Compare{Key: []byte("k"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("second")}}
	if !f.must(&pb.TxnRequest{Compare: []*pb.Compare{compare}}).(*pb.TxnResponse).Succeeded {
		t.Error("the value is compared as another one")
	}
	if err := f.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
