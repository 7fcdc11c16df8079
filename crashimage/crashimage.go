// Package crashimage recovers the stable log from every file system that a power cut can leave.
//
// It lets the real wal live a life on a disk.Mem, keeps a ledger of what the log was told and what it has answered, builds before
// each call of the disk the images that a power cut at that instant allows, and has each recovered and judged by the ledger.
// docs/verification.md says which images and what is judged.
package crashimage

import (
	"fmt"
	"maps"
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
	Lives     int
	Calls     int   // of the disk, each of which the power failed before
	Faults    int   // failed syncs and writes that lives have gone through
	Violation error // the first found, or nil
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

// Run lives one life after another, on all processors, until it has judged enough images or one is found wanting. The same life always
// gives the same images.
func Run(o Options) Result {
	run := &run{options: o, seen: map[uint64]struct{}{}, result: Result{ByKind: map[Kind]int{}}}
	run.next.Store(o.Life)
	var lives sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		lives.Go(run.live)
	}
	lives.Wait()
	return run.result
}

// run is what the goroutines of one Run share.
type run struct {
	options Options
	next    atomic.Uint64 // the life that is lived next
	stopped atomic.Bool

	mu     sync.Mutex
	seen   map[uint64]struct{} // digests of images and their ledgers
	result Result
}

func (r *run) live() {
	for !r.stopped.Load() {
		number := r.next.Add(1) - 1
		if r.options.Lives > 0 && number >= r.options.Life+uint64(r.options.Lives) {
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

// account adds a life that is over to the result.
func (r *run) account(l *life, err error) (images int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Lives++
	r.result.Calls += l.calls
	r.result.Faults += l.faults
	if err != nil && r.result.Violation == nil {
		r.result.Violation = fmt.Errorf("life %d: %w", l.number, err)
		r.stopped.Store(true)
	}
	return r.result.Images
}

// isNew counts an image unless it, and its ledger, were seen before.
func (r *run) isNew(digest uint64, kind Kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.seen[digest]; seen {
		return false
	}
	r.seen[digest] = struct{}{}
	r.result.ByKind[kind]++
	r.result.Images++
	if r.result.Images >= r.options.Images {
		r.stopped.Store(true)
	}
	return true
}
