package modelcheck

import (
	_ "embed"
	"fmt"
	"strings"
)

// golden has the figures of every world, as they were found when somebody last looked at why they are what they are. Any change of the core that makes a difference to what
// can happen changes them.
//
//go:embed golden.txt
var golden string

// Figures are what must not change unnoticed: States, Transitions, Depth, Locals and Items, in a line.
func (r Result) Figures() string {
	return fmt.Sprintf("%9d states %9d transitions, depth %2d, %5d states of nodes, %3d messages and facts", r.States, r.Transitions, r.Depth, r.Locals, r.Items)
}

// Compare returns an error if a complete exploration of the world has found other figures than the committed ones.
func (w World) Compare(r Result) error {
	for line := range strings.Lines(golden) {
		name, figures, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == w.Name {
			if got := r.Figures(); strings.TrimSpace(got) != strings.TrimSpace(figures) {
				return fmt.Errorf("modelcheck: world %q has %s; golden.txt has %s: find out why, then write it anew (go test ./modelcheck -run Golden -rewrite)",
					w.Name, strings.TrimSpace(got), strings.TrimSpace(figures))
			}
			return nil
		}
	}
	return fmt.Errorf("modelcheck: world %q has no line in golden.txt: write it (go test ./modelcheck -run Golden -rewrite)", w.Name)
}
