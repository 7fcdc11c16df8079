// Command bench measures Synod beside its peers, on this machine, in one run, and writes a report with tables and pictures. It builds what it
// compares with from the module proxy, starts it, and stops it again. docs/benchmarks.md says what is measured, and how.
//
//	go run ./bench                     # everything, quickly: about 10 minutes
//	go run ./bench -full               # everything, for figures to quote: an hour and a half
//	go run ./bench -only 'put-*,watch' # some cells; the others stay in the report as they are
//	go run ./bench -list               # what there is
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	full, list     bool
	only, dir, out string
}

func main() {
	runtime.LockOSThread() // members die with the thread that starts them
	var o options
	flag.BoolVar(&o.full, "full", false, "as many rounds, requests and keys as figures to quote take")
	flag.BoolVar(&o.list, "list", false, "print the cells and measure nothing")
	flag.StringVar(&o.only, "only", "", "names of cells, comma-separated, with * for anything; default: all")
	flag.StringVar(&o.dir, "dir", "", "folder on a real disk for the programs and the members' data; default: synod-bench in the user's cache")
	flag.StringVar(&o.out, "out", filepath.Join("docs", "bench"), "folder for the report")
	flag.Parse()
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	if err := o.bench(ctx, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// allCells are the cells in the order in which they are measured and reported.
func allCells(s scale) []*cell {
	return slices.Concat(loadCells(), openCells(), fairnessCells(), watchCells(), storeCells(s), killCells(s), growthCells(), libraryCells(s))
}

func (o options) bench(ctx context.Context, stdout, stderr io.Writer) error {
	s := quickScale
	if o.full {
		s = fullScale
	}
	all := allCells(s)
	chosen, err := choose(all, o.only)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range chosen {
			fmt.Fprintf(stdout, "%-18s %s\n", c.name, c.title)
		}
		return nil
	}
	j, err := o.begin(ctx, s, chosen, stderr)
	if err != nil {
		return err
	}
	err = j.measure(ctx, all)
	return errors.Join(err, j.bed.close(), j.print(stdout))
}

// job is one run of the command.
type job struct {
	bed        *bed
	out        string
	chosen     []*cell
	conditions conditions
	results    results
	stderr     io.Writer
	done, runs int
	began      time.Time
}

// begin builds what the cells need and makes the bed for them.
func (o options) begin(ctx context.Context, s scale, chosen []*cell, stderr io.Writer) (*job, error) {
	root, err := sourceRoot(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := o.folder()
	if err != nil {
		return nil, err
	}
	j := &job{out: o.out, chosen: chosen, stderr: stderr, began: time.Now()}
	if j.results, err = readResults(o.out); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	if err := build(ctx, root, bin, needed(chosen), j.say); err != nil {
		return nil, err
	}
	if err := checkDisk(dir); err != nil {
		return nil, err
	}
	if j.conditions, err = conditionsNow(ctx, dir, s); err != nil {
		return nil, err
	}
	for _, c := range chosen {
		j.runs += c.roundsOf(s) * len(c.pointsOf(s)) * len(c.contenders)
	}
	j.bed, err = newBed(bin, dir, s)
	return j, err
}

// folder is where programs and data go.
func (o options) folder() (string, error) {
	if o.dir != "" {
		return filepath.Abs(o.dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w; give -dir", err)
	}
	return filepath.Join(cache, "synod-bench"), nil
}

// say prints a line of progress.
func (j *job) say(format string, args ...any) {
	fmt.Fprintf(j.stderr, "%6s  "+format+"\n", append([]any{time.Since(j.began).Round(time.Second)}, args...)...)
}

// measure measures the chosen cells. One that fails leaves the others alone. The report is written after each, so that nothing is lost.
func (j *job) measure(ctx context.Context, all []*cell) error {
	var failed []string
	for _, c := range j.chosen {
		m := &measured{Conditions: j.conditions}
		err := j.measureCell(ctx, c, m)
		if ctx.Err() != nil {
			return errors.New("interrupted; the report has the cells that were complete")
		}
		if err != nil {
			j.say("%s: %v", c.name, err)
			m.Failure = oneLine([]byte(err.Error()))
			failed = append(failed, c.name)
		}
		j.results[c.name] = m
		if err := errors.Join(j.results.write(j.out), writeReport(j.out, all, j.results)); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not complete: %s", strings.Join(failed, ", "))
	}
	return nil
}

// measureCell has the contenders take turns: every other round the other way round.
func (j *job) measureCell(ctx context.Context, c *cell, m *measured) error {
	if err := j.bed.enter(c.stage); err != nil {
		return err
	}
	rounds, points := c.roundsOf(j.bed.scale), c.pointsOf(j.bed.scale)
	j.say("%s: %s", c.name, c.title)
	for round := 1; round <= rounds; round++ {
		turns := slices.Clone(c.contenders)
		if round%2 == 0 {
			slices.Reverse(turns)
		}
		for _, x := range points {
			for _, contender := range turns {
				r, err := c.measure(ctx, j.bed, contender, x)
				j.done++
				if err == nil {
					err = r.Figures.check()
				}
				if err != nil {
					return fmt.Errorf("round %d, %s: %w", round, contender, err)
				}
				r.Round, r.X, r.Contender = round, x, contender
				m.Runs = append(m.Runs, r)
				j.sayRun(c, r, rounds)
			}
		}
	}
	return nil
}

func (j *job) sayRun(c *cell, r run, rounds int) {
	var text strings.Builder
	if c.axis != "" {
		fmt.Fprintf(&text, "  %s %s", short(r.X), c.axis)
	}
	for _, name := range c.columns {
		fmt.Fprintf(&text, "  %s "+figureKinds[name].format, name, r.Figures[name])
	}
	j.say("[%3d/%d] %s, round %d of %d, %s:%s", j.done, j.runs, c.name, r.Round, rounds, r.Contender, &text)
}

// print prints the bars of what was measured.
func (j *job) print(stdout io.Writer) error {
	var b strings.Builder
	for _, c := range j.chosen {
		m := j.results[c.name]
		if m == nil {
			continue
		}
		for _, v := range judge(c, m) {
			state := "FAILED"
			if v.held {
				state = "held"
			}
			fmt.Fprintf(&b, "%-18s %-60s %-22s %s\n", v.cell, v.demand, v.value.text("%.3g"), state)
		}
	}
	if len(j.results) > 0 {
		fmt.Fprintf(&b, "the report is %s\n", filepath.Join(j.out, reportFile))
	}
	_, err := io.WriteString(stdout, b.String())
	return err
}

// grouped writes a number with commas between thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
