package kv

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Health is what Check has found a store to be.
type Health struct {
	Applied  paxos.Slot
	Revision int64
	Keys     int64 // live ones
	Versions int64 // of all keys
}

// findingsMax bounds what Check says of one store: one that has so much wrong with it is not looked at any further.
const findingsMax = 50

// errEnough ends a check of a store that is past help.
var errEnough = errors.New("too much is wrong")

// Check reads the whole store in dir: every block of every table by its checksum, then every row, and holds them against each other. It changes nothing. The error is about what could not be
// looked at (a store in use is one that cannot); what is wrong is told. A store that cannot even be opened is a finding.
func Check(fs vfs.FS, dir string, to disk.Inspection) (Health, error) {
	if _, err := fs.Stat(dir); err != nil {
		return Health{}, err
	}
	quiet := &Store{log: slog.New(slog.DiscardHandler), dead: func(error) {}, expiry: newExpiry(nil)}
	cfg := Config{Dir: dir, FS: fs, CacheBytes: checkCacheBytes}
	options := quiet.options(cfg, memTableBytes)
	options.ReadOnly = true
	options.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}} // the reader gets the error, too
	files := newDirectory(cfg, options)
	defer files.close()
	c := &checker{to: to, place: dir}
	name, err := files.active()
	if err != nil {
		c.damage("%v", err)
		return Health{}, nil
	}
	c.place = files.join(name)
	if options.Lock, err = pebble.LockDirectory(c.place, files.fs); err != nil {
		return Health{}, fmt.Errorf("%w: %s: stop who has it open: %w", disk.ErrLocked, c.place, err)
	}
	defer options.Lock.Close()
	if c.db, err = files.open(name); err != nil { // whatever else is the reason, nobody else can open it either
		c.damage("the database cannot be opened: %v", err)
		return Health{}, nil
	}
	err = c.run(files)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return c.health, errors.Join(err, c.db.Close())
}

const checkCacheBytes = 32 << 20

// checker holds the rows of a database against each other.
type checker struct {
	to     disk.Inspection
	db     *database
	place  string
	found  int
	health Health

	state    state
	changes  int64  // rows
	attached int64  // live versions with a lease
	live     uint64 // digest of the live versions
}

// damage tells of something that is wrong with the store, which the others have right.
func (c *checker) damage(format string, args ...any) error {
	c.to.Found(disk.Finding{Severity: disk.Damage, Place: c.place, Problem: fmt.Sprintf(format, args...),
		Advice: "run synod disk repair: the store is set aside and fetched anew from the other members", Remedy: disk.SetAside})
	if c.found++; c.found == findingsMax {
		return errEnough
	}
	return nil
}

// run takes each step as far as the disk lets it: what a step cannot read it reports.
func (c *checker) run(files *directory) error {
	if empty, err := c.empty(); empty || err != nil {
		return err
	}
	steps := []func() error{
		func() error { return c.tables(files) }, c.beside, c.walkVersions, c.walkChanges, c.walkBuckets, c.walkAttachments, c.strangers,
	}
	for _, step := range steps {
		err := step()
		if err != nil && isCorruption(err) {
			err = c.damage("%v", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// empty reports whether nothing was ever written to disk, as in a store that crashed before it first did.
func (c *checker) empty() (bool, error) {
	it, err := c.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty := !it.First() && it.Error() == nil
	if empty {
		c.health.Revision = firstState.revision
	}
	it.Close() // its error is for the steps to find
	return empty, nil
}

// tables compares every block with its checksum.
func (c *checker) tables(files *directory) error {
	tables, err := tablesOf(c.db)
	if err != nil {
		return err
	}
	var done, total int64
	for _, t := range tables {
		total += t.bytes
	}
	for _, t := range tables {
		if err := files.verifyTable(c.db.dir, t, func(int) error { return nil }); err != nil {
			if !isCorruption(err) && !errors.Is(err, iofs.ErrNotExist) {
				return err
			}
			if err := c.damage("table %s: %v", t.name, err); err != nil {
				return err
			}
		}
		done += t.bytes
		c.to.Progress("bytes of tables", done, total)
	}
	return nil
}

// beside reads what there is beside keys: the state, leases, users, alarms, the sweeper's cursor.
func (c *checker) beside() error {
	value, err := get(c.db, stateKey)
	if err != nil {
		return err
	}
	c.state = firstState
	if value == nil {
		err = c.damage("the row of the state is missing")
	} else {
		c.state, err = decodeState(value)
	}
	if err != nil {
		return err
	}
	c.health.Applied, c.health.Revision = c.state.applied, c.state.revision
	if c.state.compacted > c.state.revision {
		if err := c.damage("it is compacted at revision %d, above its revision, %d", c.state.compacted, c.state.revision); err != nil {
			return err
		}
	}
	sweep, err := loadCursor(c.db)
	if err != nil {
		return err
	}
	if sweep.target > max(c.state.compacted, 0) {
		if err := c.damage("the sweeper works for revision %d, above the compacted one, %d", sweep.target, c.state.compacted); err != nil {
			return err
		}
	}
	if _, err := loadAuth(c.db.DB); err != nil {
		return err
	}
	if _, err := loadAlarms(c.db); err != nil {
		return err
	}
	v := &view{reader: c.db, db: c.db}
	for _, err := range v.leases() {
		if err != nil {
			return errors.Join(err, v.close())
		}
	}
	return v.close()
}

// isCorruption reports whether an error says that bytes are not what was written, rather than that they could not be read.
func isCorruption(err error) bool {
	return errors.Is(err, errCorrupt) || pebble.IsCorruptionError(err)
}
