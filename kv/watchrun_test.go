package kv

import (
	"bytes"
	"sync/atomic"
	"testing"
)

// told has a run take frames as the next revision.
func told(r *run, revision int64, frames []byte, held *atomic.Int64) (*run, payload) {
	return r.take(revision, selection{events: 1, frames: frames}, held)
}

func TestPayloadsOfARunLieInARowAndTheFirstIsNotCopied(t *testing.T) {
	var held atomic.Int64
	first := []byte("first")
	r, a := told(nil, 2, first, &held)
	if &a.data[0] != &first[0] {
		t.Error("the first payload has been copied")
	}
	again, b := told(r, 3, []byte("second"), &held)
	if again != r || string(b.data) != "firstsecond" || b.from != a.size() || b.revision != 3 {
		t.Errorf("the second payload is %+v", b)
	}
	if string(first) != "first" || string(a.data) != "first" {
		t.Error("a payload has changed under who reads it")
	}
	if got := held.Load(); got != int64(len("firstsecond")) {
		t.Errorf("%d bytes are held", got)
	}
}

func TestARunIsHeldUntilTheLastReferenceIsReleased(t *testing.T) {
	var held atomic.Int64
	r, p := told(nil, 2, []byte("event"), &held)
	r.retain()
	r.release(&held)
	if held.Load() != 5 || r.data == nil {
		t.Errorf("%d bytes are held while one queue has the run", held.Load())
	}
	r.release(&held)
	if held.Load() != 0 || r.data != nil {
		t.Errorf("%d bytes are held, %d kept by the run, although nobody has it", held.Load(), len(r.data))
	}
	again, q := told(r, 3, []byte("later"), &held)
	if again != r || q.from != 0 || string(q.data) != "later" || string(p.data) != "event" {
		t.Errorf("a run that was released says %+v", q)
	}
}

func TestAFullRunIsFollowedByAnother(t *testing.T) {
	for name, size := range map[string]int{"by bytes": gatherBytes / 10, "by revisions": 1} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int64
			frames := bytes.Repeat([]byte{'e'}, size)
			first, _ := told(nil, 2, frames, &held)
			r, n := first, 1
			for ; r == first; n++ {
				if n > gatherRevisions+1 {
					t.Fatal("a run grows without bound")
				}
				r, _ = told(r, int64(n+2), frames, &held)
			}
			if want := min(gatherBytes/size, gatherRevisions); n-1 != want {
				t.Errorf("a run took %d payloads, want %d", n-1, want)
			}
			if held.Load() != int64(n*size) {
				t.Errorf("%d bytes are held, want %d", held.Load(), n*size)
			}
		})
	}
}
