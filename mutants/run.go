package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Program is safe for concurrent use.
//
// Program is one build that has every mutant in it: the layers' own command, and the tests of each mutated package.
type Program struct {
	root  string
	work  string
	tests map[string]testBinary // by package folder

	mu     sync.Mutex
	checks map[Killer]*unbrokenCheck
}

// unbrokenCheck is how a check ends with nothing broken.
type unbrokenCheck struct {
	once sync.Once
	took time.Duration
	err  error
}

type testBinary struct {
	path  string
	rapid []string // flags for random properties: the same draws each time, more of them, and no failure written into the source tree
}

// Compile builds the program for the module at root, with all mutants given and the canaries, in the folder work.
func Compile(ctx context.Context, root, work string, all []Mutant) (*Program, error) {
	overlay, err := Overlay(root, work, slices.Concat(all, canaries))
	if err != nil {
		return nil, err
	}
	p := &Program{root: root, work: work, tests: map[string]testBinary{}, checks: map[Killer]*unbrokenCheck{}}
	if err := p.build(ctx, "build", "-overlay", overlay, "-o", p.command(), "./cmd/verify"); err != nil {
		return nil, err
	}
	for _, m := range slices.Concat(all, canaries) {
		folder := path.Dir(m.File)
		if _, done := p.tests[folder]; done {
			continue
		}
		binary := testBinary{path: filepath.Join(work, strings.ReplaceAll(folder, "/", "_")+".test")}
		if err := p.build(ctx, "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary.path, "./"+folder); err != nil {
			return nil, err
		}
		rapid := []string{"-rapid.nofailfile", "-rapid.seed=1", "-rapid.checks=1000"}
		if exec.CommandContext(ctx, binary.path, append(rapid, "-test.run=^$")...).Run() == nil {
			binary.rapid = rapid
		}
		p.tests[folder] = binary
	}
	return p, nil
}

func (p *Program) command() string { return filepath.Join(p.work, "verify") }

func (p *Program) build(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = p.root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("the mutants do not compile: %w\n%s", err, out)
	}
	return nil
}

// Verdict is what became of a mutant in a check.
type Verdict struct {
	Died bool
	How  string // the tests that failed, or the first line of what was violated
	Took time.Duration
}

// Run runs a check against a mutant. The error means that the check could not be run, and says nothing about the mutant.
func (p *Program) Run(ctx context.Context, m Mutant, k Killer) (Verdict, error) {
	unbroken, err := p.unbroken(ctx, m, k)
	if err != nil {
		return Verdict{}, err
	}
	return p.check(ctx, m, k, max(10*unbroken, minLimit))
}

// minLimit is the least time after which a check that does not end is taken for dead: it may wait for a processor.
const minLimit = 20 * time.Second

// unbrokenLimit bounds a check of unbroken code.
const unbrokenLimit = 5 * time.Minute

// unbroken runs a check without any mutant, once: it must pass, or the death of a mutant proves nothing.
func (p *Program) unbroken(ctx context.Context, m Mutant, k Killer) (time.Duration, error) {
	k.Folder = folderOf(m, k)
	p.mu.Lock()
	c := p.checks[k]
	if c == nil {
		c = new(unbrokenCheck)
		p.checks[k] = c
	}
	p.mu.Unlock()
	c.once.Do(func() {
		m.ID = ""
		var v Verdict
		if v, c.err = p.check(ctx, m, k, unbrokenLimit); v.Died {
			c.err = fmt.Errorf("%s %s fails with nothing broken: %s: repair that first", k.Layer, k.What, v.How)
		}
		c.took = v.Took
	})
	return c.took, c.err
}

// check runs one process and judges its end.
func (p *Program) check(ctx context.Context, m Mutant, k Killer, limit time.Duration) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := p.process(ctx, m, k)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.Env = append(os.Environ(), Environment+"="+m.ID)
	c.WaitDelay = time.Second
	began := time.Now()
	err := c.Run()
	v := Verdict{Took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		v.Died, v.How = true, fmt.Sprintf("does not end within %v", limit.Round(time.Second))
	case ctx.Err() != nil:
		return Verdict{}, ctx.Err()
	case err == nil:
		if bytes.Contains(out.Bytes(), []byte("no tests to run")) {
			return Verdict{}, fmt.Errorf("mutant %s: there is no test %s any more: name another killer", m.ID, k.What)
		}
	case errors.As(err, &exit) && (exit.ExitCode() == 1 || panicked.Match(out.Bytes())):
		v.Died, v.How = true, howItDied(out.Bytes())
	default:
		return Verdict{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, out.Bytes())
	}
	return v, nil
}

// process returns the command that carries out a check.
func (p *Program) process(ctx context.Context, m Mutant, k Killer) *exec.Cmd {
	switch k.Layer {
	case Unit:
		folder := folderOf(m, k)
		t := p.tests[folder]
		c := exec.CommandContext(ctx, t.path, slices.Concat([]string{"-test.short", "-test.failfast", "-test.run=^(" + k.What + ")$"}, t.rapid)...)
		c.Dir = filepath.Join(p.root, filepath.FromSlash(folder))
		return c
	case Model:
		return exec.CommandContext(ctx, p.command(), "model", "--golden=false", "--world", k.What)
	case Sim:
		return exec.CommandContext(ctx, p.command(), "sim", "--seeds", k.What, "--seed-base", "1", "--shrink=false")
	case Crash:
		return exec.CommandContext(ctx, p.command(), "crash", "--images", k.What)
	}
	panic("a mutant without a killer: " + m.ID)
}

// folderOf returns the folder of the package whose tests are run.
func folderOf(m Mutant, k Killer) string {
	if k.Folder != "" {
		return k.Folder
	}
	return path.Dir(m.File)
}

var (
	panicked   = regexp.MustCompile(`(?m)^(panic: |fatal error: )`)
	failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	violation  = regexp.MustCompile(`(?m)^(verify: .*|panic: .*|fatal error: .*)`)
)

// howItDied finds in a check's output what failed.
func howItDied(out []byte) string {
	var tests []string
	for _, found := range failedTest.FindAllSubmatch(out, -1) {
		tests = append(tests, string(found[1]))
	}
	if len(tests) > 0 {
		return strings.Join(tests, ", ")
	}
	if found := violation.Find(out); found != nil {
		return strings.TrimPrefix(string(found), "verify: ")
	}
	return "it failed"
}

// alarms are checks, one of each layer, that run the canaries' function.
var alarms = []Killer{
	{Layer: Unit, What: "TestAVoteRaisesThePromise", Folder: "paxos"},
	{Layer: Unit, What: "TestRecordsComeBackAsTheyWereAppended", Folder: "wal"},
	{Layer: Model, What: "hole"},
	{Layer: Sim, What: "1"},
	{Layer: Crash, What: "100"},
}

// CheckAlarm runs the canaries through every layer.
func (p *Program) CheckAlarm(ctx context.Context) error {
	for _, k := range alarms {
		for _, canary := range canaries {
			v, err := p.Run(ctx, canary, k)
			if err != nil {
				return err
			}
			if want := canary.ID == deadlyID; v.Died != want {
				return fmt.Errorf("the alarm is broken: in %s %s the death of %s is %v and should be %v", k.Layer, k.What, canary.ID, v.Died, want)
			}
		}
	}
	return nil
}
