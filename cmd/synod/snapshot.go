package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"synod.dev/synod/disk"
	"synod.dev/synod/etcdsnapshot"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
)

func newSnapshot(stdout io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "snapshot",
		Short:   "Begin a cluster with what a snapshot holds",
		Example: "  synod snapshot restore backup.db --data-dir /var/lib/synod",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSnapshotRestore(stdout))
	return c
}

func newSnapshotRestore(stdout io.Writer) *cobra.Command {
	var dir string
	var unhashed bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory that begins with what a snapshot holds",
		Long: `Make a data directory that begins with what a snapshot holds: keys with all their revisions, leases, users and roles, alarms.

FILE is what "etcdctl snapshot save" has saved, from Synod or from etcd. Do this for each founder of the new cluster, with the same file, then start them with
--initial-cluster-state new. It is another cluster than the one that the snapshot is of: members that were restored from something else, or from nothing,
are refused. Watchers of the old cluster must begin anew: what was written there after the snapshot is not there.

With --skip-hash-check FILE may be a copy of member/snap/db out of an etcd's data directory, taken while that etcd was stopped.`,
		Example: `  etcdctl --endpoints old:2379 snapshot save backup.db
  synod snapshot restore backup.db --data-dir /var/lib/synod
  synod serve --data-dir /var/lib/synod --name a --initial-cluster a=http://10.0.0.1:2380,b=... ...`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("give one file; see %s --help", c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if dir == "" {
				return usageError{fmt.Errorf("--data-dir is missing: say where to; see %s --help", c.CommandPath())}
			}
			return restore(stdout, args[0], dir, unhashed)
		},
	}
	c.Flags().StringVar(&dir, "data-dir", "", "the data directory to make; it must not exist yet, or be empty")
	c.Flags().BoolVar(&unhashed, "skip-hash-check", false, "take a file without a hash at its end")
	return c
}

// originFile is where a data directory says which snapshot it began with, if any: the hash of the file in hexadecimal.
const originFile = "origin"

// restore makes a data directory beside the place where it is to be, and moves it there when it is complete.
func restore(stdout io.Writer, file, dir string, unhashed bool) (err error) {
	hash, err := hashOf(file, unhashed)
	if err != nil {
		return err
	}
	if err := removeEmpty(dir); err != nil {
		return err
	}
	fileSystem, partial := disk.OS(), filepath.Clean(dir)+".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("cannot remove what an earlier attempt has left: %w", err)
	}
	if err := fileSystem.MkdirAll(partial); err != nil {
		return fmt.Errorf("cannot make %s: %w", partial, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	state, err := restoreStore(file, (&serverconfig.Config{DataDir: partial}).StoreDir())
	if err != nil {
		return err
	}
	if err := writeOrigin(fileSystem, filepath.Join(partial, originFile), hash); err != nil {
		return err
	}
	if err := fileSystem.SyncDir(partial); err != nil {
		return err
	}
	if err := fileSystem.Rename(partial, filepath.Clean(dir)); err != nil {
		return fmt.Errorf("cannot move the data directory to its place: %w", err)
	}
	if err := fileSystem.SyncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s begins at revision %d, snapshot %x\n", dir, state.Revision, hash[:8])
	return nil
}

// removeEmpty removes an empty directory, so that another can take its place. Whatever else is there stays, and is an error.
func removeEmpty(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory: restore into a new one", dir)
	}
	if err := os.Remove(dir); err != nil { // which only an empty one lets be done
		return fmt.Errorf("%s exists and is not empty: restore into a new directory", dir)
	}
	return nil
}

func hashOf(file string, unhashed bool) (hash [sha256.Size]byte, err error) {
	hash, err = etcdsnapshot.Verify(file)
	switch {
	case !errors.Is(err, etcdsnapshot.ErrNoHash):
		return hash, err
	case !unhashed:
		return hash, fmt.Errorf("%s has no hash at its end: etcdctl has not saved it, or it is cut short; if it is a copy of an etcd's database, add --skip-hash-check", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return hash, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return hash, fmt.Errorf("cannot read %s: %w", file, err)
	}
	h.Sum(hash[:0])
	return hash, nil
}

func restoreStore(file, dir string) (state kv.Exported, err error) {
	var failure error
	store, err := kv.Open(kv.Config{Dir: dir, Fail: func(err error) { failure = err }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return state, err
	}
	state, err = etcdsnapshot.Restore(file, store)
	err = errors.Join(err, store.Close())
	return state, errors.Join(err, failure)
}

func writeOrigin(fileSystem disk.FS, path string, hash [sha256.Size]byte) error {
	f, err := fileSystem.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%x\n", hash), 0)
	if err == nil {
		err = f.Datasync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// clusterID is the ID of the cluster that the founders form with what this data directory began with: those who began with something else form another one.
func clusterID(config *serverconfig.Config) (uint64, error) {
	id := serverconfig.ClusterID(config.Members)
	path := filepath.Join(config.DataDir, originFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // who opens the directory says what is wrong with it
		return id, nil
	}
	if err != nil {
		return 0, err
	}
	var hash []byte
	if _, err := fmt.Sscanf(string(text), "%x", &hash); err != nil || len(hash) != sha256.Size {
		return 0, fmt.Errorf("%s does not hold the hash of a snapshot; restore the snapshot again, into a new directory", path)
	}
	return id ^ binary.BigEndian.Uint64(hash), nil
}
