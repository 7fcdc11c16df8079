package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/runledger"
)

func newE2E(b *bench) *cobra.Command {
	var minutes float64
	var tests string
	c := &cobra.Command{
		Use:   "e2e",
		Short: "Run real processes, under faults and beside a real etcd",
		Long: `Run the tests of the nested module e2e, which build the server, start clusters of it as processes, and harm them.
They take what they need from the module proxy.`,
		Example: `  go run ./cmd/verify e2e
  go run ./cmd/verify e2e --run Nemesis --minutes 30`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return b.e2e(c.Context(), minutes, tests) },
	}
	c.Flags().Float64Var(&minutes, "minutes", 20, "fail if it takes longer than this")
	c.Flags().StringVar(&tests, "run", "", "only tests whose names match this expression")
	return c
}

var passedTest = regexp.MustCompile(`(?m)^--- PASS: `)

func (b *bench) e2e(ctx context.Context, minutes float64, tests string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	limit := time.Duration(minutes * float64(time.Minute))
	c := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "-timeout", limit.String(), "-run", tests, "./...")
	c.Dir = filepath.Join(root, "e2e")
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	passed := len(passedTest.FindAll(out, -1))
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	} else if passed == 0 {
		return usageError{fmt.Errorf("no test of e2e matches %q", tests)}
	}
	run := runledger.Entry{Layer: "e2e", States: int64(passed), Seconds: time.Since(began).Seconds()}
	return b.finish(run, fmt.Sprintf("%d tests", passed), err)
}
