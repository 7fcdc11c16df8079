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

// Table renders results of all layers as the page docs/mutants.md.
func Table(results []Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Mutants\n\n%d rules, each broken on purpose, and what notices. Written by `go run ./cmd/verify mutants --all-layers --table`;\n"+
		"[verification.md](verification.md) says how it works. A dash means that the layer does not notice, within", len(results))
	for i, k := range everything {
		if i > 0 {
			b.WriteString(" and")
		}
		fmt.Fprintf(&b, " %s", k.bound())
	}
	b.WriteString(".\n")
	group := ""
	for _, r := range results {
		if r.Mutant.File != group {
			group = r.Mutant.File
			fmt.Fprintf(&b, "\n## %s\n\n| mutant | the rule | whose mistake |%s\n|---|---|---|%s\n", group, columns(), strings.Repeat("---|", len(everything)))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", r.Mutant.ID, cell(r.Mutant.Breaks), cell(r.Mutant.Source))
		for _, v := range r.Ends {
			end := "–"
			if v.Died {
				end = cell(v.How)
			}
			fmt.Fprintf(&b, " %s |", end)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (k Killer) bound() string {
	switch k.Layer {
	case Unit:
		return "all tests of its package"
	case Sim:
		return k.What + " seeds"
	case Crash:
		return k.What + " images"
	}
	return "all worlds"
}

func columns() string {
	var b strings.Builder
	for _, k := range everything {
		fmt.Fprintf(&b, " %s |", k.Layer)
	}
	return b.String()
}

// cellMax is as much as is told of an end: a violation's first words say what it is.
const cellMax = 160

// cell renders text for a table.
func cell(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "|", "\\|"), "\n", " ")
	if len(text) > cellMax {
		text = strings.ToValidUTF8(text[:cellMax], "") + "…"
	}
	return text
}
