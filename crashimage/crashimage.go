// Package crashimage recovers the stable log from every file system that a power cut can leave.
//
// It lets the real wal live a life on a disk.Mem, keeps a ledger of what the log was told and what it has answered, builds before
// each call of the disk the images that a power cut at that instant allows, and has each recovered and judged by the ledger.
// docs/verification.md says which images and what is judged.
package crashimage

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Kind is how an image came about.
type Kind string

const (
	None    Kind = "none"     // nothing unsynced is kept
	All     Kind = "all"      // everything unsynced is kept
	Prefix  Kind = "prefix"   // only the first pieces are kept
	Suffix  Kind = "suffix"   // only the last pieces are kept
	OneLost Kind = "one-lost" // all but one piece are kept
	OneKept Kind = "one-kept" // one piece alone is kept
	OneTorn Kind = "one-torn" // one sector is torn
	Every   Kind = "every"    // one of all combinations
	Mixed   Kind = "mixed"    // fates drawn at random
	Again   Kind = "again"    // the power failed during the recovery of another image, too
	Rot     Kind = "rot"      // a byte of another image has changed
)

// Options say how far to go. Lives are numbered: 0 is the written one, the others are random, each from its number.
type Options struct {
	Images   int                           // stop once this many distinct images were judged
	Life     uint64                        // the first life to live
	Lives    int                           // how many lives to live at most; 0 for as many as the images take
	Progress func(images int, life uint64) // called at the end of each life, from several goroutines; may be nil
}

// Result says what was done.
type Result struct {
	Images    int // distinct, judged
	ByKind    map[Kind]int
	Lives     int    // begun
	Next      uint64 // every life from the first on and below this was lived to its end
	Calls     int    // of the disk, each of which the power failed before
	Faults    int    // calls of the disk that failed
	Violation error  // the first found, or nil
}

// String renders the counts by kind.
func (r Result) String() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(r.ByKind)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, r.ByKind[k]))
	}
	return fmt.Sprintf("%d distinct images of %d lives, the power cut before each of %d disk calls, %d failed calls (%s)",
		r.Images, r.Lives, r.Calls, r.Faults, strings.Join(kinds, ", "))
}

// Run lives one life after another, on all processors, until it has judged enough images, one is found wanting, or ctx is done. The same
// life always gives the same images.
func Run(ctx context.Context, o Options) Result {
	run := &run{options: o, next: o.Life, seen: map[uint64]struct{}{}, result: Result{ByKind: map[Kind]int{}, Next: math.MaxUint64}}
	defer context.AfterFunc(ctx, func() { run.stopped.Store(true) })()
	var lives sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		lives.Go(run.live)
	}
	lives.Wait()
	run.result.Next = min(run.result.Next, run.next)
	return run.result
}

// run is what the goroutines of one Run share.
type run struct {
	options Options
	stopped atomic.Bool

	mu     sync.Mutex
	next   uint64              // the life that is lived next
	seen   map[uint64]struct{} // digests of images and their ledgers
	result Result
}

func (r *run) live() {
	for !r.stopped.Load() {
		number, ok := r.claim()
		if !ok {
			return
		}
		l := newLife(r, number)
		err := l.live()
		images := r.account(l, err)
		if r.options.Progress != nil {
			r.options.Progress(images, number)
		}
	}
}

// claim returns the number of the next life to live.
func (r *run) claim() (number uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.options.Lives > 0 && r.result.Lives == r.options.Lives {
		return 0, false
	}
	number = r.next
	r.next++
	r.result.Lives++
	return number, true
}

// account adds a life that is over to the result.
func (r *run) account(l *life, err error) (images int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Calls += l.calls
	r.result.Faults += l.faults
	if err != nil || r.stopped.Load() {
		r.result.Next = min(r.result.Next, l.number)
	}
	if err != nil && r.result.Violation == nil {
		r.result.Violation = fmt.Errorf("life %d: %w", l.number, err)
		r.stopped.Store(true)
	}
	return r.result.Images
}

// seenMax bounds the digests that are kept. In a run of more images than that one may be counted again.
const seenMax = 1 << 22

// count counts an image unless another life has had it, too.
func (r *run) count(digest uint64, kind Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.seen[digest]; seen {
		return
	}
	if len(r.seen) == seenMax {
		clear(r.seen)
	}
	r.seen[digest] = struct{}{}
	r.result.ByKind[kind]++
	r.result.Images++
	if r.result.Images >= r.options.Images {
		r.stopped.Store(true)
	}
}
