package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

func newDiskCheck(stdout, stderr io.Writer) *cobra.Command {
	var logDir string
	c := &cobra.Command{
		Use:   "check DIR...",
		Short: "Verify everything in a member's data directory",
		Long: `Verify everything in a member's data directory, and change nothing: every checksum of the log, the copies of the vital state, snapshots, every block and
every row of the store, and whether store and log belong together. The member must not be running.

Each thing that is wrong is one line that says what to do about it. "notice" is nothing to worry about, mostly what a crash leaves; "damage" is lost here and
comes back from the other members; with "fatal" the member must not start.

The last line of each directory says how much it holds. Of several directories of one cluster, all that is left of it perhaps, the one that
holds most is named at the end.`,
		Example: `  synod disk check /var/lib/synod

  # Which of the disks that are left holds most?
  synod disk check /mnt/a /mnt/b`,
		Args: directories,
		RunE: func(_ *cobra.Command, args []string) error { return checkAll(stdout, stderr, args, logDir) },
	}
	c.Flags().StringVar(&logDir, "wal-dir", "", "the log's directory, if the member keeps it elsewhere; only with one DIR")
	return c
}

// directories demands at least one argument.
func directories(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("give a member's data directory; see %s --help", c.CommandPath())}
	}
	return nil
}

func checkAll(stdout, stderr io.Writer, dirs []string, logDir string) error {
	if logDir != "" && len(dirs) > 1 {
		return usageError{errors.New("--wal-dir goes with one directory")}
	}
	wrong := 0
	var best *inspected
	for _, dir := range dirs {
		i, err := inspect(stdout, stderr, dir, logDir)
		if err != nil {
			return unableError{err}
		}
		defer i.close()
		fmt.Fprintln(stdout, i)
		wrong += i.wrong
		if best == nil || i.held > best.held || i.held == best.held && i.proven > best.proven {
			best = i
		}
	}
	if len(dirs) > 1 {
		fmt.Fprintf(stdout, "%s holds most: up to slot %d, proven up to slot %d\n", best.dir, best.held, best.proven)
	}
	if wrong > 0 {
		return fmt.Errorf("%d things are wrong; each line above says what to do", wrong)
	}
	return nil
}

// unableError means that something could not be looked at, so that nothing is known of it.
type unableError struct{ error }

func (e unableError) Unwrap() error { return e.error }

// inspected is a data directory that has been looked at, and that nobody may open before it is closed.
type inspected struct {
	dir, log string
	storeDir string
	health   synod.DiskHealth
	store    kv.Health
	stored   bool // there is a store
	fatal    bool // something about the log, or the fit of log and store
	wrong    int  // findings that are more than notices
	broken   int  // of them of the store
	findings []disk.Finding

	proven, held, known paxos.Slot // by the store and the log together; see salvage
	locks               []io.Closer
}

// inspect checks one directory and says what it finds, line by line. logDir is "" if the log is where it is by default.
func inspect(stdout, stderr io.Writer, dir, logDir string) (_ *inspected, err error) {
	config := &serverconfig.Config{DataDir: dir, WALDir: logDir}
	i := &inspected{dir: dir, log: config.LogDir(), storeDir: config.StoreDir()}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if logDir == "" {
		if i.log, err = logDirectory(dir); err != nil { // the log's own directory will do
			return nil, err
		}
	}
	for _, locked := range []string{dir, i.log} {
		lock, err := disk.LockShared(locked)
		if err != nil {
			return nil, err
		}
		i.locks = append(i.locks, lock)
	}
	to := disk.Inspection{Found: func(f disk.Finding) { i.found(stdout, f) }, Progress: (&progress{w: stderr, dir: dir}).show}
	if i.health, err = synod.CheckDisk(i.log, to); err != nil {
		return nil, err
	}
	if err := i.checkStore(config.StoreDir(), to); err != nil {
		return nil, err
	}
	if err := i.checkMembers(filepath.Join(dir, membersFile), to); err != nil {
		return nil, err
	}
	return i, i.measure()
}

func (i *inspected) found(w io.Writer, f disk.Finding) {
	i.findings = append(i.findings, f)
	i.fatal = i.fatal || f.Severity == disk.Fatal
	if f.Severity > disk.Notice {
		i.wrong++
	}
	fmt.Fprintln(w, f)
}

// checkStore checks the store, if there is one: a library's user has other machines.
func (i *inspected) checkStore(dir string, to disk.Inspection) error {
	before := i.wrong
	reason, err := kv.Damaged(vfs.Default, dir)
	if err != nil {
		return err
	}
	if reason != "" {
		to.Found(disk.Finding{Severity: disk.Damage, Place: dir, Problem: "the store found itself damaged when it last ran: " + reason,
			Advice: "start the member, or run synod disk repair: the store is set aside and fetched anew from the other members", Remedy: disk.SetAside})
	}
	i.store, err = kv.Check(vfs.Default, dir, to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(i.dir, membersFile)); err != nil {
			return nil // a witness, or a library's node: it keeps no store here
		}
		i.health.CheckMachine(dir, 0, to)
		return nil
	case err != nil:
		return err
	}
	i.stored, i.broken = true, i.wrong-before
	if i.broken == 0 {
		i.health.CheckMachine(dir, i.store.Applied, to)
	}
	return nil
}

// checkMembers checks the file of the members' names.
func (i *inspected) checkMembers(path string, to disk.Inspection) error {
	_, err := etcdapi.OpenMembers(path, func(error) {})
	if errors.Is(err, etcdapi.ErrMembersFile) {
		to.Found(disk.Finding{Severity: disk.Damage, Place: path, Problem: "the file of the members' names is damaged", Advice: "run synod disk repair: it is set aside, and comes back from the log or the other members", Remedy: disk.SetAside})
		return nil
	}
	return err
}

// measure finds out how far the directory leads.
func (i *inspected) measure() error {
	i.known = i.store.Applied
	if !i.logSound() {
		return nil
	}
	s := newSalvage(i.store.Applied)
	if err := s.add(disk.OS(), i.log); err != nil {
		return err
	}
	i.known = s.known
	if i.store.Applied >= i.health.Vital.Trimmed {
		i.proven, i.held = s.reach()
	}
	return nil
}

// logSound reports whether every record of the log can be told: what is lost is known to be lost.
func (i *inspected) logSound() bool { return !i.fatal }

// String says in one line how much the directory holds.
func (i *inspected) String() string {
	v := i.health.Vital
	return fmt.Sprintf("%s: cluster %x, node %x, incarnation %x, boot %d, promised %s; log up to LSN %d and slot %d, trimmed up to %d, %d slots unknown; store at slot %d, revision %d, %d keys; holds everything up to slot %d, proven up to %d, and knows of choices up to %d",
		i.dir, v.Cluster, uint64(v.Node), uint64(v.Incarnation), v.Boot, v.Promised, i.health.Durable, i.health.Last, v.Trimmed, len(i.health.Unknown),
		i.store.Applied, i.store.Revision, i.store.Keys, i.held, i.proven, i.known)
}

// close lets others have the directory.
func (i *inspected) close() {
	for _, lock := range i.locks {
		lock.Close() // it was opened to be read: there is nothing to lose
	}
	i.locks = nil
}

// progress tells whoever waits how far a long check is, now and then.
type progress struct {
	w    io.Writer
	dir  string
	told time.Time
}

// progressEvery is how often it does.
const progressEvery = 2 * time.Second

func (p *progress) show(what string, done, total int64) {
	if p.told.IsZero() {
		p.told = time.Now()
	}
	if time.Since(p.told) < progressEvery {
		return
	}
	p.told = time.Now()
	if total > 0 {
		fmt.Fprintf(p.w, "%s: %d of %d %s\n", p.dir, done, total, what)
	} else {
		fmt.Fprintf(p.w, "%s: %d %s\n", p.dir, done, what)
	}
}

// membersFile, in the data directory, has the members' names and client URLs.
const membersFile = "members"
