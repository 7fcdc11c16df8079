package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
)

// openStore opens the member's store. One whose files are damaged is set aside, once, and an empty one takes its place: the member then fetches a snapshot from another. That puts nothing at risk that
// a vote rests on, since votes are in the log. Where nobody else has the state, or it has happened before, it refuses.
func openStore(config *serverconfig.Config, fail func(error), logger *slog.Logger) (*kv.Store, error) {
	dir := config.StoreDir()
	reason, err := kv.Damaged(vfs.Default, dir)
	if err != nil {
		return nil, err
	}
	if reason == "" {
		store, err := kv.Open(kv.Config{Dir: dir, Fail: fail, Logger: logger})
		if err == nil || !kv.IsDamaged(err) {
			return store, err
		}
		reason = err.Error()
	}
	if len(config.Members) == 1 {
		return nil, fmt.Errorf("the store in %s is damaged (%s) and no other member has it: see what synod disk repair can do, or restore a backup", dir, reason)
	}
	aside, err := kv.SetAside(vfs.Default, dir)
	if errors.Is(err, kv.ErrAside) {
		return nil, fmt.Errorf("the store in %s is damaged again (%s): %w", dir, reason, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the store in %s is damaged (%s) and cannot be set aside: %w", dir, reason, err)
	}
	logger.Warn("the store is damaged: it has been set aside, and its state is fetched from another member", "reason", reason, "aside", aside)
	return kv.Open(kv.Config{Dir: dir, Fail: fail, Logger: logger})
}
