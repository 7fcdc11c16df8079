package wal

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// BenchmarkCommit appends and syncs on the real disk. The next segment is prepared ahead, as a node does, and not counted.
func BenchmarkCommit(b *testing.B) {
	for _, records := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dx256B", records), func(b *testing.B) {
			l, err := Open(disk.OS(), filepath.Join(b.TempDir(), "log"), Options{Cluster: 1, Node: 1, Incarnation: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			commit(b, l, promise(1))
			value := make(paxos.Value, 256)
			var times []time.Duration
			slot := paxos.Slot(0)
			for b.Loop() {
				batch := make([]*paxos.Record, records)
				for i := range batch {
					slot++
					batch[i] = &paxos.Record{Kind: paxos.RecordAccept, Slot: slot, Ballot: ballot(1), Value: value}
				}
				if live := l.live(); live.end > live.bytes-1<<20 {
					b.StopTimer()
					if err := l.PrepareNext(); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				begin := time.Now()
				commit(b, l, batch...)
				times = append(times, time.Since(begin))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkBareSync is the floor: 4 KiB written to a zero-filled file, and fdatasync.
func BenchmarkBareSync(b *testing.B) {
	f, err := disk.OS().Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const bytes = 16 << 20
	if err := fillZero(f, bytes); err != nil {
		b.Fatal(err)
	}
	block := make([]byte, 4096)
	var times []time.Duration
	offset := int64(0)
	for b.Loop() {
		begin := time.Now()
		if _, err := f.WriteAt(block, offset%bytes); err != nil {
			b.Fatal(err)
		}
		if err := f.Datasync(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
		offset += 4096
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkRead(b *testing.B) {
	l, err := Open(disk.OS(), filepath.Join(b.TempDir(), "log"), Options{Cluster: 1, Node: 1, Incarnation: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	batch := make([]*paxos.Record, 1024)
	for i := range batch {
		batch[i] = &paxos.Record{Kind: paxos.RecordAccept, Slot: paxos.Slot(i + 1), Ballot: ballot(1), Value: make(paxos.Value, 256)}
	}
	commit(b, l, batch...)
	slot := paxos.Slot(0)
	for b.Loop() {
		if _, err := l.Read(slot%1024 + 1); err != nil {
			b.Fatal(err)
		}
		slot++
	}
}
