// Command synod is a replicated key-value store that speaks the etcd v3 API, and the tools to run it and to look into it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailure = 1 // it did not work
	exitUsage   = 2 // it was asked for in a way that makes no sense, or could not even be tried; nothing was done
)

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if filepath.Base(args[0]) == "etcd" {
		return exitCode("etcd", serveAs("etcd", args[1:], stdout, stderr), stderr)
	}
	root := newRoot(stdout, stderr)
	root.SetArgs(args[1:])
	return exitCode("synod", root.Execute(), stderr)
}

// exitCode prints what went wrong, if anything, in one line, and says how to exit.
func exitCode(program string, err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	reason := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", "; "), "synod: ") // as the library's errors begin
	fmt.Fprintf(stderr, "%s: %s\n", program, reason)
	var usage usageError
	var unable unableError
	if errors.As(err, &usage) || errors.As(err, &unable) {
		return exitUsage
	}
	return exitFailure
}

// usageError is an error in how the command was called.
type usageError struct{ error }

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "synod",
		Short: "A replicated key-value store that speaks the etcd v3 API",
		Long: `Synod keeps a small, precious set of keys on several machines, consistent and durable, by Multi-Paxos.
It speaks the etcd v3 API: etcdctl and every etcd client work on it.`,
		Example: `  # Three members on this machine, until Ctrl-C:
  synod up

  # One member of a real cluster:
  synod serve --name a --data-dir /var/lib/synod --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 ...

  # How are they?
  synod status --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              noArguments,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%s; see %s --help", inWords(err), c.CommandPath())}
	})
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.AddCommand(newServe(stdout, stderr), newUp(stdout), newStatus(stdout), newBench(stdout, stderr), newDisk(stdout, stderr), newSnapshot(stdout), newGateway(stdout, stderr), newVersion(stdout))
	return root
}

// noArguments refuses arguments to a command that has none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown argument %q; see %s --help", args[0], c.CommandPath())}
	}
	return nil
}

// inWords says what is wrong with a flag without the names of Go's functions.
func inWords(err error) string {
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		return strings.Replace(err.Error(), number.Error(), number.Err.Error(), 1)
	}
	return err.Error()
}
