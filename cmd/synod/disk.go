package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"synod.dev/synod/disk"
	"synod.dev/synod/wal"
)

func newDisk(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "disk",
		Short:   "Look into a member's data directory, verify it, repair it, and begin anew with it",
		Example: "  synod disk check /var/lib/synod",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDiskDump(stdout), newDiskCheck(stdout, stderr), newDiskRepair(stdout, stderr), newDiskRecover(stdout, stderr))
	return c
}

func newDiskDump(stdout io.Writer) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "dump DIR",
		Short: "Show what a member's log holds",
		Long: `Show what a member's log holds: its vital state, then one record a line.

DIR is the member's data directory or that of its log. Nothing is changed and no lock is taken: the owner may be running.
What it writes meanwhile may appear torn.

With --json it prints instead the commands of the chosen log, one a line, in the order in which they are applied. The last slots are left out
as long as this disk does not prove that they are chosen. A slot before the last that it does prove, and that it
cannot prove itself, is a line with "gap"; the exit code is then 1, and another member's disk may have the rest.`,
		Example: `  # Records as they lie on disk, with promises, votes, torn and corrupt ones:
  synod disk dump /var/lib/synod

  # All requests that this cluster has executed:
  synod disk dump /var/lib/synod --json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("give one directory; see %s --help", c.CommandPath())}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := logDirectory(args[0])
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(stdout, 1<<16)
			if asJSON {
				err = dumpCommands(out, dir)
			} else {
				err = dumpRecords(out, dir)
			}
			return errors.Join(err, out.Flush())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the commands of the chosen log as JSON lines")
	return c
}

// logDirectory returns the log's directory, given it or the member's.
func logDirectory(dir string) (string, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist; give a member's data directory", dir)
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s is no directory; give a member's data directory", dir)
	}
	if info, err := os.Stat(filepath.Join(dir, "log")); err == nil && info.IsDir() {
		return filepath.Join(dir, "log"), nil
	}
	return dir, nil
}

// dumpRecords prints the vital state and every record in the order of the log.
func dumpRecords(w io.Writer, dir string) error {
	vital, err := wal.Dump(disk.OS(), dir, func(wal.Entry) error { return errStop })
	if err != nil && !errors.Is(err, errStop) && !errors.Is(err, wal.ErrMayNotVote) {
		return err
	}
	fmt.Fprintf(w, "cluster %x  node %x  incarnation %x  boot %d  promised %s  trimmed %d  founders %d bytes\n",
		vital.Cluster, uint64(vital.Node), uint64(vital.Incarnation), vital.Boot, vital.Promised, vital.Trimmed, len(vital.Founders))
	const columns = "%8v  %-32s  %-7v  %8v  %-24v  %8v  %8v  %v\n"
	fmt.Fprintf(w, columns, "LSN", "SEGMENT:OFFSET", "KIND", "SLOT", "BALLOT", "CHOSEN", "SIZE", "STATE")
	_, err = wal.Dump(disk.OS(), dir, func(e wal.Entry) error {
		place := fmt.Sprintf("%s:%d", e.Segment, e.Offset)
		if e.Record == nil {
			_, err := fmt.Fprintf(w, columns, e.LSN, place, "?", "?", "?", "?", "?", e.State)
			return err
		}
		r := e.Record
		_, err := fmt.Fprintf(w, columns, e.LSN, place, r.Kind, r.Slot, r.Ballot, r.Chosen, r.Size(), e.State)
		return err
	})
	return err
}

// errStop ends a dump that has seen enough.
var errStop = errors.New("seen enough")
