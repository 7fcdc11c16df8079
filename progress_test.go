package synod

import (
	"context"
	"testing"
	"time"
)

func TestACommandsProgressIsToldToWhoAsks(t *testing.T) {
	p := newPending(1<<20, 10, 1)
	w, err := p.add(0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Progress{Applying: time.Unix(1, 0), Applied: time.Unix(2, 0)}
	p.resolve([]uint64{w.number}, []outcome{{result: "r", progress: want}})
	var got Progress
	if result, err := p.wait(WithProgress(context.Background(), &got), w); result != "r" || err != nil || got != want {
		t.Errorf("%v, %v, progress %v; want r and %v", result, err, got, want)
	}
}
