package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const reportFile = "report.md"

// sections are the report's parts, by the stages that their cells are of.
var sections = []struct{ heading, stage string }{
	{"Loads of three members", loadStage},
	{"A store with many keys", storeStage},
	{"The leader dies", killStage},
	{"Growth", "growth-"},
	{"The library", libraryStage},
}

// writeReport writes the report on all cells that have been measured, and its pictures, into a folder.
func writeReport(dir string, cells []*cell, all results) error {
	var b strings.Builder
	b.WriteString("# Benchmark report\n\nWritten by `go run ./bench`; [benchmarks.md](../benchmarks.md) says how it measures, and what each cell is.\n")
	b.WriteString("Figures are medians over the rounds, with their range; ratios are those of runs of the same round. CPU is that of all members together, in seconds per\n" +
		"1,000 requests (events, for watchers); peak RSS is that of the member that had most.\n\n")
	writeBars(&b, cells, all)
	for _, s := range sections {
		headed := false
		for _, c := range cells {
			m := all[c.name]
			if m == nil || !strings.HasPrefix(c.stage, s.stage) {
				continue
			}
			if !headed {
				fmt.Fprintf(&b, "## %s\n\n", s.heading)
				headed = true
			}
			writeCell(&b, c, m)
			for _, p := range plotsOf(c, m) {
				if err := os.WriteFile(filepath.Join(dir, p.file), []byte(p.svg()), 0o644); err != nil {
					return err
				}
				fmt.Fprintf(&b, "![%s](%s)\n\n", p.title, p.file)
			}
		}
	}
	writeConditions(&b, cells, all)
	return os.WriteFile(filepath.Join(dir, reportFile), []byte(b.String()), 0o644)
}

// writeBars writes what is demanded of Synod and whether it holds.
func writeBars(b *strings.Builder, cells []*cell, all results) {
	b.WriteString("## Bars\n\n| cell | demanded | measured | held |\n|---|---|---|---|\n")
	for _, c := range cells {
		m := all[c.name]
		if m == nil {
			continue
		}
		for _, v := range judge(c, m) {
			held := "**no**"
			switch {
			case v.value.count == 0:
				held = "not measured"
			case v.held:
				held = "yes"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", v.cell, v.demand, v.value.text("%.3g"), held)
		}
	}
	b.WriteString("\n")
}

func writeCell(b *strings.Builder, c *cell, m *measured) {
	fmt.Fprintf(b, "### %s\n\n`-only %s`\n\n", c.title, c.name)
	if m.Failure != "" {
		fmt.Fprintf(b, "Not complete: %s\n\n", m.Failure)
	}
	if c.axis == "" {
		writeRows(b, c, m)
		return
	}
	writePoints(b, c, m)
}

// writeRows writes a row for each contender, and one for Synod's ratio to each.
func writeRows(b *strings.Builder, c *cell, m *measured) {
	b.WriteString("| |")
	for _, name := range c.columns {
		fmt.Fprintf(b, " %s |", figureKinds[name].heading)
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(c.columns)) + "|\n")
	for _, contender := range c.contenders {
		fmt.Fprintf(b, "| %s |", nameOf(contender))
		for _, name := range c.columns {
			fmt.Fprintf(b, " %s |", spreadOf(m.values(contender, 0, name)).text(figureKinds[name].format))
		}
		b.WriteString("\n")
	}
	for _, other := range c.contenders {
		if other == synod {
			continue
		}
		fmt.Fprintf(b, "| Synod / %s |", nameOf(other))
		for _, name := range c.columns {
			fmt.Fprintf(b, " %s |", spreadOf(m.ratios(synod, other, 0, name)).text("%.2f"))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// writePoints writes a row for each point, with both contenders' figures side by side.
func writePoints(b *strings.Builder, c *cell, m *measured) {
	fmt.Fprintf(b, "| %s |", c.axis)
	for _, name := range c.columns {
		for _, contender := range c.contenders {
			fmt.Fprintf(b, " %s: %s |", nameOf(contender), figureKinds[name].heading)
		}
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(c.columns)*len(c.contenders)) + "|\n")
	for _, x := range m.points() {
		fmt.Fprintf(b, "| %s |", short(x))
		for _, name := range c.columns {
			for _, contender := range c.contenders {
				fmt.Fprintf(b, " %s |", spreadOf(m.values(contender, x, name)).text(figureKinds[name].format))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// writeConditions says of each cell when, where and how it was measured.
func writeConditions(b *strings.Builder, cells []*cell, all results) {
	b.WriteString("## Conditions\n\nDefault settings, durability on, all members and the driver on one machine, over loopback.\n\n")
	b.WriteString("| cells | commit | date | mode | machine | fdatasync of 4 KiB |\n|---|---|---|---|---|---|\n")
	var order []conditions
	names := map[conditions][]string{}
	for _, c := range cells {
		if m := all[c.name]; m != nil {
			if names[m.Conditions] == nil {
				order = append(order, m.Conditions)
			}
			names[m.Conditions] = append(names[m.Conditions], "`"+c.name+"`")
		}
	}
	for _, c := range order {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %d × %s, %s | p50 %.3f ms, p99 %.3f ms |\n", strings.Join(names[c], " "), c.Commit, c.Date.Format("2006-01-02 15:04"), c.Mode,
			c.Cores, c.Machine, c.Go, c.SyncP50, c.SyncP99)
	}
}
