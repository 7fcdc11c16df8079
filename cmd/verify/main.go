// Command verify runs the layers of checks that Synod rests on: the model checker, the simulator, the crash images of the
// log, the mutants, the fuzz targets and the real processes. docs/verification.md says what each decides.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitViolated = 1 // something was violated, or could not be checked
	exitUsage    = 2 // it was asked for in a way that makes no sense; nothing was done
)

func main() {
	// The checks make much garbage and hold little: collect it less often.
	debug.SetGCPercent(800)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "verify: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitViolated
}

// usageError is an error in how the command was called.
type usageError struct{ error }

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	b := &bench{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "verify",
		Short: "Check Synod, and check that the checks can fail",
		Long: `Each command runs one layer of checks. It reports progress on stderr and ends with one line of figures on stdout;
the exit code is 1 if anything was violated. docs/verification.md says what each layer decides.`,
		Example: `  # What continuous integration runs of the simulator:
  go run ./cmd/verify sim --seeds 1000

  # All night, to be gone on with tomorrow:
  go run ./cmd/verify crash --minutes 600 --ledger runs.ndjson

  # Would anybody notice if a rule were broken?
  go run ./cmd/verify mutants`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              noArguments,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.PersistentFlags().StringVar(&b.ledger, "ledger", "", "append one line of JSON a run, or a slice of a long one, to this file")
	root.AddCommand(newModel(b), newSim(b), newCrash(b), newMutants(b), newFuzz(b), newE2E(b))
	return root
}

// noArguments refuses arguments to a command that has none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown argument %q; see %s --help", args[0], c.CommandPath())}
	}
	return nil
}
