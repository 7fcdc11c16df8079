package modelcheck

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var (
	large   = flag.Bool("large", false, "explore the large worlds as well: minutes")
	all     = flag.Bool("all", false, "explore all worlds: many minutes")
	rewrite = flag.Bool("rewrite", false, "write the figures of the worlds explored into golden.txt")
	only    = flag.String("world", "", "explore this world alone")
)

// Every behaviour of every world, as far as its bounds go, keeps the rules; and there are as many as there were.
func TestWorldsKeepTheRulesAndTheirGoldenFigures(t *testing.T) {
	var lines []string
	size := Small
	switch {
	case *all:
		size = Vast
	case *large:
		size = Large
	}
	for _, w := range Worlds() {
		if *only != "" && *only != w.Name || w.Size > size && *only == "" {
			lines = append(lines, line(w.Name))
			continue
		}
		t.Run(w.Name, func(t *testing.T) {
			r, err := w.Explore(Options{Live: 997})
			if err != nil {
				t.Fatal(err)
			}
			if r.Counterexample != nil {
				t.Fatal(r.Counterexample)
			}
			t.Logf("%s; %.0f thousand states a second; from %d of them work gets done, in %d ticks at most", r.Figures(), float64(r.States)/r.Elapsed.Seconds()/1000, r.Lively, r.Rounds)
			lines = append(lines, fmt.Sprintf("%-24s %s\n", w.Name+":", r.Figures()))
			if err := w.Compare(r); err != nil && !*rewrite {
				t.Error(err)
			}
		})
	}
	if *rewrite {
		if err := os.WriteFile("golden.txt", []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// line returns the golden line of a world, if there is one.
func line(name string) string {
	for l := range strings.Lines(golden) {
		if strings.HasPrefix(l, name+":") {
			return l
		}
	}
	return ""
}
