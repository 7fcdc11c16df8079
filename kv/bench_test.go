package kv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod"
)

// newOnDisk opens a store in a directory of the test's, with n keys in it.
func newOnDisk(b *testing.B, n int) *fixture {
	s, err := Open(Config{Dir: b.TempDir(), Logger: quiet, Fail: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	f := &fixture{Store: s, t: b}
	b.Cleanup(f.close)
	for from := 0; from < n; from += 4096 {
		f.putMany(from, min(4096, n-from), 1)
	}
	return f
}

// BenchmarkApply puts values of 256 bytes, half of them to keys that exist, or to a few that are written again and again. One operation is one put.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct{ batch, keys int }{{1, 200_000}, {64, 200_000}, {1024, 200_000}, {64, 1000}} {
		batch := c.batch
		b.Run(fmt.Sprintf("batch=%d/keys=%d", batch, c.keys), func(b *testing.B) {
			f := newOnDisk(b, 100_000)
			value := make([]byte, 256)
			rng := rand.New(rand.NewPCG(1, 2))
			var commands []synod.Command
			b.SetBytes(256)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.slot++
				req := &pb.PutRequest{Key: numbered(rng.IntN(c.keys)), Value: value}
				commands = append(commands, synod.Command{Slot: f.slot, Data: encode(b, req)})
				if len(commands) == batch {
					f.Apply(commands)
					commands = commands[:0]
				}
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	const keys = 1_000_000
	f := newOnDisk(b, keys)
	rng := rand.New(rand.NewPCG(1, 2))
	all := &pb.RangeRequest{Key: numbered(0), RangeEnd: []byte{0}, CountOnly: true}
	for _, c := range []struct {
		name string
		next func() *pb.RangeRequest
		want int64
	}{
		{"point", func() *pb.RangeRequest { return &pb.RangeRequest{Key: numbered(rng.IntN(keys))} }, 1},
		{"point-of-none", func() *pb.RangeRequest { return &pb.RangeRequest{Key: []byte("none")} }, 0},
		{"list=10000", func() *pb.RangeRequest {
			from := rng.IntN(keys - 10_000)
			return &pb.RangeRequest{Key: numbered(from), RangeEnd: numbered(from + 10_000)}
		}, 10_000},
		{"limit=500", func() *pb.RangeRequest {
			return &pb.RangeRequest{Key: numbered(rng.IntN(keys / 2)), RangeEnd: numbered(keys), Limit: 500}
		}, 0},
		{"count=1000000", func() *pb.RangeRequest { return all }, keys},
		{"count-inner", func() *pb.RangeRequest {
			from := rng.IntN(keys / 2)
			return &pb.RangeRequest{Key: numbered(from), RangeEnd: numbered(from + keys/2), CountOnly: true}
		}, keys / 2},
		{"count-old-revision", func() *pb.RangeRequest {
			return &pb.RangeRequest{Key: numbered(0), RangeEnd: []byte{0}, CountOnly: true, Revision: f.Revision() - 1}
		}, keys - 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := f.Range(context.Background(), c.next())
				if err != nil || c.want > 0 && resp.Count != c.want {
					b.Fatalf("count %d, %v", resp.GetCount(), err)
				}
			}
		})
	}
}

// BenchmarkHashKV hashes 100,000 keys.
func BenchmarkHashKV(b *testing.B) {
	f := newOnDisk(b, 100_000)
	for b.Loop() {
		if _, err := f.HashKV(context.Background(), 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a store of 1,000,000 keys and closes it again.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	open := func() *fixture {
		s, err := Open(Config{Dir: dir, Logger: quiet, Fail: func(err error) { b.Error(err) }})
		if err != nil {
			b.Fatal(err)
		}
		return &fixture{Store: s, t: b}
	}
	f := open()
	for from := 0; from < 1_000_000; from += 4000 {
		f.putMany(from, 4000, 1)
	}
	f.close()
	for b.Loop() {
		open().close()
	}
}
