package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/runledger"
)

func newFuzz(b *bench) *cobra.Command {
	var minutes float64
	var only string
	c := &cobra.Command{
		Use:   "fuzz",
		Short: "Feed every parser whatever it does not expect",
		Long: `Find the fuzz targets in the source and run each in turn for an equal share of the time. An input that fails is left
in the target's testdata/fuzz, as go test does it: commit it with the repair.`,
		Example: `  go run ./cmd/verify fuzz --minutes 10
  go run ./cmd/verify fuzz --minutes 1 --only wal`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return b.fuzz(c.Context(), minutes, only) },
	}
	c.Flags().Float64Var(&minutes, "minutes", 5, "time for all targets together")
	c.Flags().StringVar(&only, "only", "", "only targets whose folder or name contains this")
	return c
}

// target is a fuzz target and its package's folder.
type target struct{ folder, name string }

func (b *bench) fuzz(ctx context.Context, minutes float64, only string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	targets, err := fuzzTargets(root, only)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return usageError{fmt.Errorf("no fuzz target's folder or name contains %q", only)}
	}
	share := time.Duration(minutes * float64(time.Minute) / float64(len(targets)))
	began := time.Now()
	run := runledger.Entry{Layer: "fuzz", States: int64(len(targets))}
	var violations []error
	for _, t := range targets {
		executions, err := b.fuzzOne(ctx, root, t, share)
		fmt.Fprintf(b.stderr, "fuzz: %s %s: %d executions\n", t.folder, t.name, executions)
		run.Events += executions
		violations = append(violations, err)
	}
	run.Seconds = time.Since(began).Seconds()
	return b.finish(run, fmt.Sprintf("%d targets, %d executions", len(targets), run.Events), errors.Join(violations...))
}

var fuzzFunction = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// fuzzTargets finds the targets of the module at root by reading its tests.
func fuzzTargets(root, only string) (targets []target, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return filepath.SkipDir
			}
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, found := range fuzzFunction.FindAllSubmatch(source, -1) {
			t := target{folder, string(found[1])}
			if strings.Contains(t.folder+" "+t.name, only) {
				targets = append(targets, t)
			}
		}
		return err
	})
	return targets, err
}

var fuzzExecutions = regexp.MustCompile(`execs: (\d+)`)

// fuzzOne runs one target and returns how often it was executed.
func (b *bench) fuzzOne(ctx context.Context, root string, t target, share time.Duration) (executions int64, err error) {
	c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", share.String(), "./"+t.folder)
	c.Dir = root
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	if found := fuzzExecutions.FindAllSubmatch(out, -1); len(found) > 0 {
		executions, _ = strconv.ParseInt(string(found[len(found)-1][1]), 10, 64) // digits, by the pattern
	}
	if err != nil {
		return executions, fmt.Errorf("%s %s: %w\n%s", t.folder, t.name, err, bytes.TrimSpace(out))
	}
	return executions, nil
}
