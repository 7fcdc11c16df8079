package mutants

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// Result is what became of a mutant.
type Result struct {
	Mutant Mutant
	Layers []Killer // the checks that were run
	Ends   []Verdict
}

// Died reports whether any check has killed the mutant.
func (r Result) Died() bool {
	for _, v := range r.Ends {
		if v.Died {
			return true
		}
	}
	return false
}

// String renders the result in one line.
func (r Result) String() string {
	var b strings.Builder
	b.WriteString(r.Mutant.ID)
	for i, k := range r.Layers {
		if v := r.Ends[i]; v.Died {
			fmt.Fprintf(&b, "; dies in %s %s after %.1f s: %s", k.Layer, k.What, v.Took.Seconds(), v.How)
		} else {
			fmt.Fprintf(&b, "; SURVIVES %s %s, %.1f s", k.Layer, k.What, v.Took.Seconds())
		}
	}
	return b.String()
}

// everything is what each mutant is run against for the table.
var everything = []Killer{
	{Layer: Unit, What: ".*"},
	{Layer: Model},
	{Layer: Sim, What: "100"},
	{Layer: Crash, What: "20000"},
}

// Try runs a mutant against its killer, or against every layer.
func (p *Program) Try(ctx context.Context, m Mutant, allLayers bool) (Result, error) {
	r := Result{Mutant: m, Layers: []Killer{m.Dies}}
	if allLayers {
		r.Layers = everything
	}
	for _, k := range r.Layers {
		v, err := p.Run(ctx, m, k)
		if err != nil {
			return Result{}, err
		}
		r.Ends = append(r.Ends, v)
	}
	return r, nil
}

// Table renders results as the page docs/mutants.md.
func Table(results []Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Mutants\n\n%d rules, each broken on purpose, and what notices. Written by `go run ./cmd/verify mutants --table`; "+
		"[verification.md](verification.md) says how it works.\n", len(results))
	file := ""
	for _, r := range results {
		if r.Mutant.File != file {
			file = r.Mutant.File
			fmt.Fprintf(&b, "\n## %s\n\n| mutant | the rule | whose mistake | dies in |\n|---|---|---|---|\n", file)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Mutant.ID, cell(r.Mutant.Breaks), cell(r.Mutant.Source), cell(r.deaths()))
	}
	return b.Bytes()
}

// deaths says in which layers the mutant has died, and how.
func (r Result) deaths() string {
	var deaths []string
	for i, k := range r.Layers {
		if v := r.Ends[i]; v.Died {
			deaths = append(deaths, fmt.Sprintf("%s: %s", k.Layer, shortened(v.How)))
		}
	}
	return strings.Join(deaths, "; ")
}

// howMax is as much as is told of an end: a violation's first words say what it is.
const howMax = 160

func shortened(how string) string {
	if len(how) <= howMax {
		return how
	}
	return strings.ToValidUTF8(how[:howMax], "") + "…"
}

// cell renders text for a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", "\\|"), "\n", " ")
}
