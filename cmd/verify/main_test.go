package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/internal/runledger"
)

// try runs the command and returns its exit code and what it printed.
func try(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestACommandThatMakesNoSenseIsRefusedBeforeAnythingIsDone(t *testing.T) {
	for _, args := range [][]string{
		{"nothing"}, {"crash", "now"}, {"crash", "--image", "5"}, {"mutants", "--third", "7"}, {"mutants", "--table", "--third", "1"},
		{"mutants", "--table", "--all-layers", "--only", "vote"}, {"mutants", "--only", "no such mutant"},
		{"sim", "--trace"}, {"sim", "--schedule", "no such file"}, {"fuzz", "--only", "no such target"},
	} {
		if code, stdout, stderr := try(t, args...); code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "verify: ") {
			t.Errorf("verify %s: exit code %d, stdout %q, stderr %q", strings.Join(args, " "), code, stdout, stderr)
		}
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	for _, command := range newRoot(nil, nil).Commands() {
		code, stdout, _ := try(t, command.Name(), "--help")
		if code != 0 || !strings.Contains(stdout, "go run ./cmd/verify "+command.Name()) {
			t.Errorf("verify %s --help has no example: %s", command.Name(), stdout)
		}
	}
}

func TestARunEndsWithItsFiguresAndALineInTheLedger(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "runs.ndjson")
	for _, args := range [][]string{
		{"crash", "--life", "3", "--lives", "1", "--images", "1000000"},
		{"sim", "--seeds", "2", "--seed-base", "5", "--steps", "2000"},
	} {
		code, stdout, stderr := try(t, append(args, "--ledger", ledger)...)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if last := lines[len(lines)-1]; code != 0 || !strings.HasPrefix(last, args[0]+": ") || !strings.HasSuffix(last, ": passed") {
			t.Fatalf("verify %s: exit code %d, stdout %q, stderr %q", strings.Join(args, " "), code, stdout, stderr)
		}
	}
	entries, err := runledger.Read(ledger)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	if e := entries[0]; e.Layer != "crash" || e.First != 3 || e.Next != 4 || e.States == 0 || e.Events == 0 || e.Verdict != runledger.Passed {
		t.Errorf("%+v", e)
	}
	if e := entries[1]; e.Layer != "sim" || e.First != 5 || e.Next != 7 || e.Events == 0 || e.Verdict != runledger.Passed {
		t.Errorf("%+v", e)
	}
}

func TestARunWithALedgerGoesOnWhereTheLastOneEnded(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "runs.ndjson")
	for range 2 {
		if code, _, stderr := try(t, "sim", "--seeds", "2", "--steps", "1000", "--ledger", ledger); code != 0 {
			t.Fatal(stderr)
		}
	}
	entries, err := runledger.Read(ledger)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	if a, b := entries[0], entries[1]; a.Next != a.First+2 || b.First != a.Next || b.Next != a.Next+2 {
		t.Errorf("seeds %d to %d, then %d to %d", a.First, a.Next, b.First, b.Next)
	}
}

func TestEveryFuzzTargetIsFound(t *testing.T) {
	targets, err := fuzzTargets(filepath.Join("..", ".."), "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, target := range targets {
		found[target.folder+" "+target.name] = true
	}
	for _, want := range []string{". FuzzDecodeEnvelope", "wal FuzzReadChain", "paxos FuzzDecodeMessage", filepath.Join("internal", "serverconfig") + " FuzzParseFile"} {
		if !found[want] {
			t.Errorf("%s is not found among %v", want, targets)
		}
	}
}
