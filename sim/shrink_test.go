package sim

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// canary is a rule that is false: leaders are deposed. What finds no violation of it finds none of any rule.
func canary(w *world) {
	if w.probes[leaderDeposed] > 0 && w.faults[Crash] > 0 {
		w.violate("canary", "a leader was deposed after a crash")
	}
}

func TestAFalseRuleIsBrokenAndTheBreachShrinksToAShortScheduleThatRepeatsIt(t *testing.T) {
	found := 0
	for seed := uint64(10); found < 3; seed++ {
		if seed == 50 {
			t.Fatalf("only %d of 40 seeds break a rule that is false", found)
		}
		o := Options{Seed: seed, Steps: 10_000, extra: canary}
		r := Run(o)
		if r.Violation == nil {
			continue
		}
		var v *Violation
		if !errors.As(r.Violation, &v) || v.Rule != "canary" {
			t.Fatalf("seed %d: %v", seed, r.Violation)
		}
		found++
		s := Shrink(o)
		if len(s.Actions) > 20 || len(s.Actions) > len(r.Schedule.Actions)/2 && len(r.Schedule.Actions) > 20 {
			t.Errorf("seed %d: %d actions shrink only to %d", seed, len(r.Schedule.Actions), len(s.Actions))
		}
		a, b := Run(Options{Schedule: &s, extra: canary}), Run(Options{Schedule: &s, extra: canary})
		if a.Violation == nil || a.Hash != b.Hash {
			t.Errorf("seed %d: the short schedule gives %v, hash %x, then %v, hash %x", seed, a.Violation, a.Hash, b.Violation, b.Hash)
		}
	}
}

func TestAScheduleIsTheSameAfterItWasWrittenAndRead(t *testing.T) {
	for seed := range uint64(20) {
		s := Run(Options{Seed: seed, Steps: 500}).Schedule
		var text bytes.Buffer
		if _, err := s.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		back, err := ReadSchedule(&text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, back) {
			t.Fatalf("seed %d:\n%+v\n%+v", seed, s, back)
		}
	}
}

func TestAMalformedScheduleIsRefusedWithItsLine(t *testing.T) {
	const head = "seed 1\nsteps 2\nconfig {\"Roles\":\"pal pal\"}\n"
	for _, line := range []string{"12 jump 0 0 0", "12 write 2 0 0", "12 write -1 0 0", "12 write", "seed x", "config {", "config {\"Roles\":\"pax\"}"} {
		if _, err := ReadSchedule(strings.NewReader(head + line + "\n")); err == nil || !strings.Contains(err.Error(), "line 4") {
			t.Errorf("%q: error %v", line, err)
		}
	}
}

// The schedules in testdata have each broken a rule once: of code that was wrong, or was made wrong on purpose. Their names say which.
func TestWhatWasBrokenOnceHolds(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no schedules: %v", err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := ReadSchedule(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r := Run(Options{Schedule: s}); r.Violation != nil {
			t.Errorf("%s: %v", name, r.Violation)
		}
	}
}

func TestATraceHasALineForEachEventAndAColumnForEachMember(t *testing.T) {
	var text bytes.Buffer
	r := Run(Options{Seed: 3, Steps: 3000, Trace: &text})
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if len(lines) < 1000 {
		t.Errorf("%d events give %d lines", r.Events, len(lines))
	}
	for _, line := range lines {
		if len(line) < 13+len(r.Config.Roles) || line[10] != ' ' || line[11+len(r.Config.Roles)] != ' ' {
			t.Fatalf("not aligned for %d members: %q", len(r.Config.Roles), line)
		}
	}
}
