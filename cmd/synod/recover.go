package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/etcdsnapshot"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

func newDiskRecover(stdout, stderr io.Writer) *cobra.Command {
	r := &recovery{stdout: stdout, stderr: stderr}
	c := &cobra.Command{
		Use:   "recover DIR... --data-dir NEW",
		Short: "Begin a new cluster with what is left of one that has lost its majority",
		Long: `Begin a new cluster with what is left of one whose majority is lost for good. As long as a majority can be brought back, do that instead: nothing is lost then.

DIR... are the data directories of all members whose disks are left; the more, the less is lost. They are read and not changed. NEW becomes the data directory of a member of
a new cluster, under another identity: members of the old one that turn up later are refused by it, and must never be started again as the old one either, since both would accept writes.

What NEW holds: the store that is furthest; then every slot that one of the logs proves to be chosen; then, without a gap, the slots that one of them has voted for, with the vote of the
highest ballot. So nothing is lost that these disks know to be chosen. An acknowledged write is lost if only the lost disks had voted for it or if another value of its slot had a vote here,
and a write may be there of which its client was told that its outcome is unknown. Leases begin their time anew, tokens end: clients log in again.

Without --accept-loss it only says what would be kept. Then start NEW, alone or with other founders that have a copy of it, with --initial-cluster-state new.`,
		Example: `  synod disk recover /mnt/b --data-dir /var/lib/synod
  synod disk recover /mnt/b --data-dir /var/lib/synod --accept-loss
  synod serve --name b --data-dir /var/lib/synod --initial-cluster b=http://10.0.0.2:2380 ...`,
		Args: directories,
		RunE: func(c *cobra.Command, args []string) error {
			if r.into == "" {
				return usageError{fmt.Errorf("--data-dir is missing: say where to; see %s --help", c.CommandPath())}
			}
			return r.run(c.Context(), args)
		},
	}
	c.Flags().StringVar(&r.into, "data-dir", "", "the data directory to make; it must not exist yet, or be empty")
	c.Flags().BoolVar(&r.accepted, "accept-loss", false, "do it, though acknowledged writes may be lost")
	return c
}

// recovery makes a new cluster's directory from what is left of an old one's.
type recovery struct {
	stdout, stderr io.Writer
	into           string
	accepted       bool

	base     *inspected // whose store is the furthest; nil if there is none, and the logs begin at the beginning
	salvaged *salvage
}

func (r *recovery) run(ctx context.Context, dirs []string) error {
	var left []*inspected
	for _, dir := range dirs {
		i, err := inspect(r.stdout, r.stderr, dir, "")
		if err != nil {
			return unableError{err}
		}
		defer i.close()
		fmt.Fprintln(r.stdout, i)
		left = append(left, i)
	}
	if err := r.plan(left); err != nil {
		return err
	}
	proven, held := r.salvaged.reach()
	r.announce(proven, held)
	if !r.accepted {
		return errors.New("nothing was done: if the majority of the old cluster is lost for good, add --accept-loss")
	}
	return r.carryOut(ctx, held)
}

// plan chooses the store and reads the logs.
func (r *recovery) plan(left []*inspected) error {
	complete := false // whether some log begins at the beginning
	for _, i := range left {
		if a, b := i.health.Vital.Cluster, left[0].health.Vital.Cluster; a != b {
			return fmt.Errorf("%s is of cluster %x, %s of cluster %x: name directories of one cluster", i.dir, a, left[0].dir, b)
		}
		if i.stored && i.broken == 0 && (r.base == nil || i.store.Applied > r.base.store.Applied) {
			r.base = i
		}
		complete = complete || i.logSound() && i.health.Vital.Trimmed == 0
	}
	from := paxos.Slot(0)
	if r.base != nil {
		from = r.base.store.Applied
	} else if !complete {
		return errors.New("none of these directories has a whole store, and no log reaches back to the beginning: restore a backup with synod snapshot restore")
	}
	r.salvaged = newSalvage(from)
	for _, i := range left {
		if !i.logSound() {
			fmt.Fprintf(r.stdout, "%s: its log cannot be trusted and is left aside\n", i.dir)
			continue
		}
		if err := r.salvaged.add(disk.OS(), i.log); err != nil {
			return err
		}
	}
	return nil
}

// announce says what is kept, and what is lost.
func (r *recovery) announce(proven, held paxos.Slot) {
	from := "the beginning of the log"
	if r.base != nil {
		from = fmt.Sprintf("the store in %s, at slot %d and revision %d", r.base.dir, r.base.store.Applied, r.base.store.Revision)
	}
	fmt.Fprintf(r.stdout, "kept: %s; slots up to %d, which are proven to be chosen", from, proven)
	if held > proven {
		fmt.Fprintf(r.stdout, "; slots %d to %d, which were voted for and may or may not have been chosen", proven+1, held)
	}
	fmt.Fprintln(r.stdout)
	if r.salvaged.known > held {
		fmt.Fprintf(r.stdout, "lost: slots %d to %d, which were chosen and are on none of these disks\n", held+1, r.salvaged.known)
	}
	fmt.Fprintln(r.stdout, "lost as well, if there was any: what the lost disks alone had voted for")
}

// carryOut brings a copy of the store up to a slot, and restores what it is then into the new directory.
func (r *recovery) carryOut(ctx context.Context, held paxos.Slot) (err error) {
	work := filepath.Clean(r.into) + ".recovering"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("cannot remove what an earlier attempt has left: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	storeDir := filepath.Join(work, "kv")
	if r.base != nil {
		if err := os.CopyFS(storeDir, os.DirFS((&serverconfig.Config{DataDir: r.base.dir}).StoreDir())); err != nil {
			return fmt.Errorf("cannot copy the store: %w", err)
		}
	}
	file := filepath.Join(work, "snapshot.db")
	if err := r.bring(ctx, storeDir, held, file); err != nil {
		return err
	}
	if err := restore(r.stdout, file, r.into, true); err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "start it with synod serve --data-dir %s --initial-cluster-state new; never start the old members again\n", r.into)
	return nil
}

// bring has the store execute the slots up to held, and writes a snapshot of it.
func (r *recovery) bring(ctx context.Context, dir string, held paxos.Slot, file string) error {
	var failure error
	store, err := kv.Open(kv.Config{Dir: dir, Fail: func(err error) { failure = err }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for slot := r.salvaged.from + 1; slot <= held && failure == nil && err == nil; slot++ {
		var commands []synod.Command
		if commands, err = storeCommands(r.salvaged.slots[slot].record); err == nil && len(commands) > 0 {
			store.Apply(commands)
		}
	}
	if err == nil && failure == nil {
		err = etcdsnapshot.Write(ctx, file, store, etcdsnapshot.Origin{})
	}
	return errors.Join(err, store.Close(), failure)
}

// storeCommands returns what a chosen record holds for the store.
func storeCommands(record *paxos.Record) (commands []synod.Command, err error) {
	var malformed error
	err = record.Value.Commands(func(b []byte) {
		e, err := synod.DecodeEnvelope(b)
		if err != nil {
			malformed = fmt.Errorf("slot %d holds what this version cannot read: %w", record.Slot, err)
			return
		}
		if len(e.Data) > 0 && e.Data[0] == etcdapi.MachineKV {
			commands = append(commands, synod.Command{Slot: record.Slot, Time: e.Time, Source: e.Source, Data: e.Data[1:]})
		}
	})
	return commands, errors.Join(err, malformed)
}
