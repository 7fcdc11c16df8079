package runledger

import (
	"os"
	"path/filepath"
	"testing"
)

func TestARunGoesOnAfterTheLastSeedThatPassedAtItsCommit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs.ndjson")
	for _, e := range []Entry{
		{Layer: "sim", Commit: "a", First: 0, Next: 100, Verdict: Passed},
		{Layer: "sim", Commit: "a", First: 100, Next: 120, Verdict: "two values in slot 3"},
		{Layer: "crash", Commit: "a", First: 0, Next: 501, Verdict: Passed},
		{Layer: "sim", Commit: "b", First: 0, Next: 701, Verdict: Passed},
	} {
		if err := Append(file, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		layer, commit string
		want          uint64
	}{{"sim", "a", 100}, {"sim", "b", 701}, {"crash", "a", 501}, {"crash", "b", 0}, {"model", "a", 0}} {
		if got, err := Next(file, c.layer, c.commit); err != nil || got != c.want {
			t.Errorf("%s at %s goes on with seed %d, want %d: %v", c.layer, c.commit, got, c.want, err)
		}
	}
}

func TestALedgerThatIsNotThereIsEmptyAndADamagedOneIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs.ndjson")
	if entries, err := Read(file); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := os.WriteFile(file, []byte("{\"layer\":\"sim\"}\n{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("half a line is taken for one")
	}
}
