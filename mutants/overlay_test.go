package mutants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryMutantFitsTheCode(t *testing.T) {
	if _, err := Overlay("..", t.TempDir(), All()); err != nil {
		t.Fatal(err)
	}
}

func TestEveryMutantSaysWhatItBreaksAndWhatKillsIt(t *testing.T) {
	for _, m := range All() {
		if m.ID == "" || m.Breaks == "" || m.Old == m.New || m.Dies.What == "" || strings.ContainsAny(m.ID, " _") {
			t.Errorf("mutant %+v is not complete", m)
		}
	}
}

func TestThreeThirdsAreAll(t *testing.T) {
	n := 0
	for part := range 3 {
		n += len(Third(All(), part))
	}
	if n != len(All()) {
		t.Errorf("three thirds are %d of %d", n, len(All()))
	}
}

const sample = `package sample

func plain(a, b int) int { return a + b }

type T[K comparable] struct{ n K }

func (t *T[K]) set(n K, more ...K) {
	t.n = n
}

func generic[K any](k K) K {
	return k
}

func unnamed(int) {}
`

func TestAMutantIsABranchToACopyAndLinesStayWhereTheyAre(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sample.go")
	if err := os.WriteFile(file, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	mutated, pkg, err := mutateFile(file, []Mutant{
		{ID: "minus", Func: "plain", Old: "a + b", New: "a - b"},
		{ID: "set-nothing", Func: "T.set", Old: "\tt.n = n\n"},
		{ID: "zero", Func: "generic", Old: "return k", New: "var zero K; return zero"},
		{ID: "times", Func: "plain", Old: "+", New: "*"},
	})
	if err != nil || pkg != "sample" {
		t.Fatal(pkg, err)
	}
	for _, want := range []string{
		`func plain(a, b int) int { if activeMutant == "minus" { return plain_minus(a, b) }; if activeMutant == "times" { return plain_times(a, b) }; return a + b }`,
		"func plain_minus(a, b int) int { return a - b }\n",
		`func (t *T[K]) set(n K, more ...K) { if activeMutant == "set-nothing" { t.set_set_nothing(n, more...); return };` + "\n",
		"func (t *T[K]) set_set_nothing(n K, more ...K) {\n}\n",
		`if activeMutant == "zero" { return generic_zero[K](k) };` + "\n\treturn k",
	} {
		if !strings.Contains(string(mutated), want) {
			t.Errorf("there is no %s in:\n%s", want, mutated)
		}
	}
	line := func(s string) int { return strings.Count(s[:strings.Index(s, "return k")], "\n") }
	if line(string(mutated)) != line(sample) {
		t.Error("lines have moved")
	}
}

func TestAMutantThatDoesNotFitIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sample.go")
	if err := os.WriteFile(file, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]Mutant{
		"occurs 0 times": {ID: "x", Func: "plain", Old: "a / b"},
		"occurs 2 times": {ID: "x", Func: "T.set", Old: "n"}, // t.n and n
		"no function":    {ID: "x", Func: "gone", Old: "a"},
		"no name":        {ID: "x", Func: "unnamed", Old: "}"},
	} {
		if _, _, err := mutateFile(file, []Mutant{m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Overlay("..", t.TempDir(), []Mutant{canaries[0], canaries[0]}); err == nil {
		t.Error("two mutants of one name are taken")
	}
}
