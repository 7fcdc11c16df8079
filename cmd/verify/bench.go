package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"synod.dev/synod/internal/runledger"
)

// bench is where all layers run: their output and their ledger.
type bench struct {
	stdout, stderr io.Writer
	ledger         string // file; empty for none

	mu       sync.Mutex
	reported time.Time // when progress was last reported
}

// progressEvery is the least time between two lines of progress.
const progressEvery = 5 * time.Second

// progress prints a line on stderr, unless it just has. Any goroutine may call it.
func (b *bench) progress(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.reported) < progressEvery {
		return
	}
	b.reported = time.Now()
	fmt.Fprintf(b.stderr, format+"\n", args...)
}

// finish records a run and concludes with its figures.
func (b *bench) finish(run runledger.Entry, figures string, violation error) error {
	if err := b.record(run, violation); err != nil {
		return err
	}
	return b.conclude(run.Layer, figures, time.Duration(run.Seconds*float64(time.Second)), violation)
}

// record writes the ledger's line, if there is one. It returns an error only if that fails, and the violation with it.
func (b *bench) record(run runledger.Entry, violation error) error {
	if b.ledger == "" {
		return nil
	}
	run.Date, run.Commit, run.Verdict = time.Now().UTC(), commit(), runledger.Passed
	if violation != nil {
		run.Verdict = violation.Error()
	}
	if err := runledger.Append(b.ledger, run); err != nil {
		return errors.Join(violation, err)
	}
	return nil
}

// conclude prints the line of figures, or returns the violation.
func (b *bench) conclude(layer, figures string, took time.Duration, violation error) error {
	if violation != nil {
		return fmt.Errorf("%s: %w", layer, violation)
	}
	_, err := fmt.Fprintf(b.stdout, "%s: %s in %.0f s: passed\n", layer, figures, took.Seconds())
	return err
}

// resume returns the seed after the last that the ledger has of a layer at this commit, or first if that is higher.
func (b *bench) resume(layer string, first uint64) (uint64, error) {
	if b.ledger == "" {
		return first, nil
	}
	next, err := runledger.Next(b.ledger, layer, commit())
	return max(first, next), err
}

// commit returns the commit of the source at hand, with a plus if there is more than that in it, or "unknown".
var commit = sync.OnceValue(func() string {
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	if changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changes) > 0 {
		name += "+"
	}
	return name
})

// moduleRoot returns the folder of the module whose sources are checked.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(file) != "go.mod" {
		return "", usageError{errors.New("run this in the source tree, with go in the path")}
	}
	return filepath.Dir(file), nil
}

// deadline returns a context that ends after so many minutes, or never for 0.
func deadline(ctx context.Context, minutes float64) (context.Context, context.CancelFunc) {
	if minutes <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(minutes*float64(time.Minute)))
}
