package modelcheck

import (
	"strings"
	"testing"
)

// A phase 2 that no votes are enough for gets nobody anywhere, and breaks no rule of safety.
func TestAClusterThatGetsNowhereIsFound(t *testing.T) {
	w := named(t, "crash")
	w.phase1, w.phase2 = 2, 2
	x := newExplorer(&w, Options{Live: 10})
	x.config.Phase2 = 4
	if err := x.run(); err != nil {
		t.Fatal(err)
	}
	c := x.result.Counterexample
	if c == nil || !strings.HasPrefix(c.Rule, "liveness") {
		t.Fatalf("four votes of three acceptors are needed: %v", c)
	}
	if len(c.Trace) == 0 {
		t.Error("nothing is told of how it came to that")
	}
}

// Whoever needs what all others have trimmed asks for a snapshot, and goes on from there.
func TestWorkGetsDoneBehindTrimmedLogs(t *testing.T) {
	r, err := named(t, "install").Explore(Options{Live: 997})
	if err != nil || r.Counterexample != nil {
		t.Fatal(err, r.Counterexample)
	}
	if r.Transfers == 0 {
		t.Errorf("of %d states none made anybody ask for a snapshot", r.Lively)
	}
}
