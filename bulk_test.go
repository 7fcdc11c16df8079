package synod

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

var transferMiB = flag.Int("transfer-mib", 128, "how large the state is whose transfer is measured, in MiB")

// bulk is a machine with a state of any size, most of which is the same byte over and over: what its transfer costs is the node's own doing.
type bulk struct {
	ledger
	bytes int64

	mu      sync.Mutex
	reached paxos.Slot
}

func (b *bulk) Advance(slot paxos.Slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reached = slot
}

func (b *bulk) Apply(commands []Command) []any {
	b.Advance(commands[len(commands)-1].Slot)
	return make([]any, len(commands))
}

func (b *bulk) Durable() (paxos.Slot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reached, nil
}

func (b *bulk) Flush() {}

func (b *bulk) Snapshot() (Image, error) { return bulkImage(b.bytes), nil }

func (b *bulk) Receive(slot paxos.Slot, r io.Reader) (Installation, error) {
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != b.bytes {
		err = fmt.Errorf("it has %d bytes, not %d", n, b.bytes)
	}
	return bulkInstallation{b, slot}, err
}

type bulkInstallation struct {
	b    *bulk
	slot paxos.Slot
}

func (i bulkInstallation) Install() error { i.b.Advance(i.slot); return nil }
func (i bulkInstallation) Discard() error { return nil }

type bulkImage int64

func (i bulkImage) Size() int64  { return int64(i) }
func (i bulkImage) Close() error { return nil }

func (i bulkImage) WriteTo(w io.Writer) (n int64, err error) {
	for row := make([]byte, 64<<10); n < int64(i) && err == nil; n += int64(len(row)) {
		_, err = w.Write(row)
	}
	return n, err
}

// A transfer takes no more memory of its two ends than some chunks, however large the state, and others' writes go on beside it. With -transfer-mib=5120 it is a measurement; it prints what it finds.
func TestATransferTakesLittleMemoryHoweverLargeTheState(t *testing.T) {
	const heapMax = 64 << 20
	installed := make(chan Installed, 1)
	logBytes := galleryLog * int64(1+*transferMiB/512) // what is written meanwhile must fit: or the member lags again
	c := newClusterOf(t, 3, func(_ int, cfg *Config) {
		cfg.SegmentBytes, cfg.LogBytes, cfg.Machine = 64<<10, logBytes, &bulk{bytes: int64(*transferMiB) << 20}
		cfg.Events = &EventListener{Installed: func(done Installed) { installed <- done }}
	})
	ctx := within(t, time.Minute+time.Duration(*transferMiB)*time.Second/4)
	propose := func(bytes int) time.Duration {
		began := time.Now()
		if _, err := c.nodes[0].Propose(ctx, make([]byte, bytes)); err != nil && (ctx.Err() != nil || !errors.Is(err, ErrUnknown)) { // the leader may have gone
			t.Fatal(err)
		}
		return time.Since(began)
	}
	propose(1)
	c.close(2)
	for c.nodes[0].Status().Trimmed == 0 || c.nodes[1].Status().Trimmed == 0 {
		propose(photoBytes)
	}
	var calm, beside []time.Duration
	for range 200 {
		calm = append(calm, propose(100))
	}
	before := heapBytes()
	peak := peakOf(t.Context(), heapBytes)
	c.open(2)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for done := false; !done; {
		select {
		case transfer := <-installed:
			if took := peak(); took > before+heapMax {
				t.Errorf("sender and receiver together take %d MiB for a transfer of %d", (took-before)>>20, transfer.Bytes>>20)
			}
			done = true
			t.Logf("%d MiB in %v; heap of all three before it %d MiB, at most %d MiB; the process at most %s", transfer.Bytes>>20, transfer.Duration.Round(time.Millisecond), before>>20, peak()>>20, residentPeak())
		case <-pace.C:
			beside = append(beside, propose(100))
		}
	}
	if err := c.nodes[2].Read(ctx); err != nil {
		t.Error(err)
	}
	slices.Sort(calm)
	slices.Sort(beside)
	t.Logf("a command takes p50 %v p99 %v without, p50 %v p99 %v beside", calm[len(calm)/2], calm[len(calm)*99/100], beside[len(beside)/2], beside[len(beside)*99/100])
}

// heapBytes returns how much the heap holds, what nobody uses any more included.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peakOf samples a measure until the function that it returns is called, which returns the highest.
func peakOf(ctx context.Context, measure func() uint64) (end func() uint64) {
	ctx, cancel := context.WithCancel(ctx)
	highest := make(chan uint64, 1)
	go func() {
		peak := measure()
		for ticker := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-ticker.C:
				peak = max(peak, measure())
			case <-ctx.Done():
				ticker.Stop()
				highest <- peak
				return
			}
		}
	}()
	return sync.OnceValue(func() uint64 {
		cancel()
		return <-highest
	})
}

// residentPeak returns the most memory that this process has had, where the kernel tells.
func residentPeak() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
