package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"synod.dev/synod/disk"
	"synod.dev/synod/kv"
	"synod.dev/synod/wal"
)

func newDiskRepair(stdout, stderr io.Writer) *cobra.Command {
	var logDir string
	var really bool
	c := &cobra.Command{
		Use:   "repair DIR",
		Short: "Put in order what can be without the other members",
		Long: `Put in order what can be put in order in a member's data directory without the other members. The member must not be running.

It does what is safe and no more: it lets the log recover as each start does (copies of the vital state are written again from the latest sound one, what a crash tore is cut
off, what it left half made is removed), gives another name to a store, or to other files, that are damaged or nobody's (they come back from the log or from the other members),
and deletes nothing. It never takes away a vote or a promise: where one may be lost the member has to be replaced. Damaged records of the log are left to a start, which has the
other members tell what they held.

Without --yes it only says what it would do.`,
		Example: `  synod disk repair /var/lib/synod
  synod disk repair /var/lib/synod --yes`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("give one directory; see %s --help", c.CommandPath())}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return repair(stdout, stderr, args[0], logDir, really)
		},
	}
	c.Flags().StringVar(&logDir, "wal-dir", "", "the log's directory, if the member keeps it elsewhere")
	c.Flags().BoolVar(&really, "yes", false, "do it")
	return c
}

// repair looks at a directory, decides, says what, and does it.
func repair(stdout, stderr io.Writer, dir, logDir string, really bool) error {
	i, err := inspect(stdout, stderr, dir, logDir)
	if err != nil {
		return unableError{err}
	}
	defer i.close()
	steps, err := i.plan()
	if err != nil {
		return err
	}
	for _, s := range steps {
		fmt.Fprintf(stdout, "to do: %s\n", s.what)
	}
	switch {
	case len(steps) == 0:
		fmt.Fprintln(stdout, "there is nothing to do here")
		return nil
	case !really:
		return errors.New("nothing was done: add --yes")
	}
	i.close() // each step takes the directory for itself
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("cannot %s: %w", s.what, err)
		}
		fmt.Fprintf(stdout, "done: %s\n", s.what)
	}
	return nil
}

// step is one repair.
type step struct {
	what string
	do   func() error
}

// plan decides what to do about what was found. Nothing is done to a directory whose member may not vote any more.
func (i *inspected) plan() (steps []step, err error) {
	if i.fatal {
		return nil, errors.New("what this member promised or voted for may be lost, or cannot be told: nothing here can be repaired; replace the member")
	}
	recovers := false
	var files []string
	for _, f := range i.findings {
		recovers = recovers || f.Remedy == disk.Recovery
		if f.Remedy == disk.SetAside && !strings.HasPrefix(f.Place, i.storeDir) {
			files = append(files, f.Place)
		}
	}
	if recovers {
		steps = append(steps, step{"let the log in " + i.log + " recover, as a start would", i.recoverLog})
	}
	for _, path := range files {
		steps = append(steps, step{"give " + path + " another name", func() error { return setFileAside(disk.OS(), path) }})
	}
	if i.broken == 0 {
		return steps, nil
	}
	if i.health.Alone && i.health.Vital.Trimmed > 0 {
		return nil, fmt.Errorf("the store is damaged, no other member has it, and the log begins after slot %d: restore a backup with synod snapshot restore", i.health.Vital.Trimmed)
	}
	return append(steps, step{"set the store in " + i.storeDir + " aside", func() error {
		_, err := kv.SetAside(vfs.Default, i.storeDir)
		return err
	}}), nil
}

// recoverLog opens the log, which is all it takes, and closes it.
func (i *inspected) recoverLog() error {
	log, err := wal.Open(disk.OS(), i.log, wal.Options{Cluster: i.health.Vital.Cluster, Node: i.health.Vital.Node})
	if err != nil {
		return err
	}
	return log.Close()
}

// setFileAside gives a file a name that says so, durably.
func setFileAside(files disk.FS, path string) error {
	aside := path + disk.AsideSuffix
	if f, err := files.OpenRead(aside); err == nil {
		return errors.Join(fmt.Errorf("%s is there already: remove it", aside), f.Close())
	}
	if err := files.Rename(path, aside); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(path))
}
