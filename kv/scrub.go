package kv

import (
	"errors"
	"fmt"
	"io/fs"

	"synod.dev/synod"
)

var _ synod.Scrubber = (*Store)(nil)

// Scrub reads every block of every table again, from the disk and not from caches; see synod.Scrubber. A damaged one stops the store, which notes it for the next start.
func (s *Store) Scrub(pace func(bytes int) error) error {
	s.mu.Lock()
	db := s.db
	db.alive.Add(1) // an installation that replaces it meanwhile does not remove it before this is over
	s.mu.Unlock()
	defer db.alive.Done()
	tables, err := tablesOf(db)
	if err != nil {
		return err
	}
	for _, t := range tables {
		err := s.files.verifyTable(db.dir, t, pace)
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted away
		}
		if IsDamaged(err) {
			err = fmt.Errorf("kv: table %s is damaged: %w", t.name, err)
			s.fail(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
