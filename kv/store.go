package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// Config says where a Store lives. The zero value of every field but Dir and Fail is a sane default.
type Config struct {
	// Dir is the directory of the store; the database is in one below it. It is created if it is missing and locked while the store is open.
	Dir string
	// Fail is called, once, with a one-line error, when the store cannot go on: the disk or the database is broken, or the log holds
	// a command that this version does not know. After that the store answers every command with rpctypes.ErrGRPCTimeoutDueToLeaderFail and every other
	// call with rpctypes.ErrGRPCStopped. It may be called from any goroutine and should end the process.
	Fail func(error)
	// CacheBytes is how much memory to spend on blocks of the database. Default 64 MiB.
	CacheBytes int64
	// Elapsed is the monotonic clock by which leases are measured, from any beginning. Default: the time since Open.
	Elapsed func() time.Duration
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultCacheBytes = 64 << 20
	memTableBytes     = 16 << 20 // what of the log has to be executed again after a crash is at most memTablesMax of these
	memTablesMax      = 3        // of which one is written to; with all of them full, writes wait for the disk
	blockBytes        = 16 << 10 // of a table; while one is written Pebble holds a buffer of 32 KiB for each block of older versions' values, however small
	l0Threshold       = 16       // flushed tables are merged into the next level when there are half as many of them, one over another
	l0Stop            = 32       // with so many of them writes wait for the merging
)

// Store is etcd's key-value store as a synod.StateMachine. Apply, Advance and Applied belong to one goroutine, the
// node's; all other methods may be called from any goroutine at any time.
type Store struct {
	db    *database // what the writer writes; replaced, under mu, by an installation
	files *directory
	log   *slog.Logger
	dead  func(error)

	// mu is held by whoever writes: Apply for the whole call, the sweeper for one small step. Readers never take it.
	mu      sync.Mutex
	state   state
	census  *census
	auth    *auth
	alarms  alarms
	writers uint64       // how many there have been
	size    atomic.Int64 // written by the holder of mu alone

	leaseClock time.Duration
	expiry     *expiry

	current atomic.Pointer[published] // what readers see; nil once closed
	retired sync.WaitGroup            // databases whose last readers have not gone
	failure atomic.Pointer[error]     // why the store has stopped

	sweeper sweeper
	hub     *hub

	counter counter
	ranges  atomic.Uint64
}

var (
	_ synod.StateMachine = (*Store)(nil)
	_ synod.SlotMarker   = (*Store)(nil)
	_ synod.Durable      = (*Store)(nil)
)

// state is what the store remembers apart from the keys, in one row. The revision is kept by itself, not derived from the
// rows that happen to have survived compaction.
type state struct {
	applied   paxos.Slot
	revision  int64
	compacted int64
	digest    digest
}

var (
	stateKey   = append([]byte{spaceMeta}, "state"...)
	cursorKey  = append([]byte{spaceMeta}, "sweep"...)
	clockKey   = append([]byte{spaceMeta}, "leaseclock"...)
	firstState = state{applied: 0, revision: 1, compacted: -1, digest: digest{known: true}}
)

const stateSize = 24

func (st state) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, stateSize+digestSize), uint64(st.applied))
	b = binary.BigEndian.AppendUint64(b, uint64(st.revision))
	b = binary.BigEndian.AppendUint64(b, uint64(st.compacted))
	return st.digest.append(b)
}

func decodeState(b []byte) (state, error) {
	if len(b) != stateSize && len(b) != stateSize+digestSize {
		return state{}, fmt.Errorf("kv: state row of %d bytes: %w", len(b), errCorrupt)
	}
	return state{
		applied:   paxos.Slot(binary.BigEndian.Uint64(b)),
		revision:  int64(binary.BigEndian.Uint64(b[8:])),
		compacted: int64(binary.BigEndian.Uint64(b[16:])),
		digest:    parseDigest(b[stateSize:]),
	}, nil
}

// Open opens the store in cfg.Dir, or makes an empty one, which is at slot 0 and revision 1.
func Open(cfg Config) (*Store, error) { return openStore(cfg, memTableBytes) }

func openStore(cfg Config, memTable uint64) (*Store, error) {
	if cfg.Dir == "" || cfg.Fail == nil {
		return nil, errors.New("kv: Config needs Dir and Fail")
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if cfg.Elapsed == nil {
		opened := time.Now()
		cfg.Elapsed = func() time.Duration { return time.Since(opened) }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Store{log: cfg.Logger, dead: cfg.Fail, expiry: newExpiry(cfg.Elapsed)}
	s.hub = newHub(s, defaultWatchLimits)
	s.files = newDirectory(cfg, s.options(cfg, memTable))
	var err error
	if s.db, err = s.files.openActive(); err != nil {
		return nil, errors.Join(fmt.Errorf("kv: open %s: %w", cfg.Dir, err), s.files.close())
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("kv: open %s: %w", cfg.Dir, err), s.db.Close(), s.files.close())
	}
	s.hub.begin()
	s.startSweeper()
	return s, nil
}

func (s *Store) options(cfg Config, memTable uint64) *pebble.Options {
	opts := &pebble.Options{
		Comparer:                    comparer,
		FormatMajorVersion:          pebble.FormatColumnarBlocks,
		FS:                          cfg.FS,
		DisableWAL:                  true,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: memTablesMax,
		L0CompactionThreshold:       l0Threshold,
		L0StopWritesThreshold:       l0Stop,
		Logger:                      pebbleLog{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(fmt.Errorf("kv: %w", err)) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.fail(fmt.Errorf("kv: %s is damaged: %w", info.Path, info.Details))
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].BlockSize = blockBytes
	}
	return opts
}

func (s *Store) load() error {
	value, err := get(s.db, stateKey)
	if err != nil {
		return err
	}
	if s.auth, err = loadAuth(s.db.DB); err != nil {
		return err
	}
	if s.alarms, err = loadAlarms(s.db); err != nil {
		return err
	}
	if err := s.loadLeases(); err != nil {
		return err
	}
	size, err := loadSize(s.db)
	if err != nil {
		return err
	}
	s.size.Store(size)
	s.db.known = newKnownKeys(value == nil)
	if value == nil {
		return s.create()
	}
	if s.state, err = decodeState(value); err != nil {
		return err
	}
	if s.census, err = loadCensus(s.db); err != nil {
		return err
	}
	return s.publish()
}

// create makes the empty store.
func (s *Store) create() error {
	s.state = firstState
	w := s.newWriter()
	defer w.discard()
	w.setBucket(bucket{first: ""})
	return w.commit()
}

// get returns a copy of a row's value, nil if there is no such row.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value = append([]byte{}, value...)
	return value, closer.Close()
}

// Close writes what is in memory to disk and closes the database. It waits for reads that are under way; later ones get
// rpctypes.ErrGRPCStopped. No Apply may run or follow.
func (s *Store) Close() error {
	s.stopSweeper()
	s.hub.end()
	s.hub.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if old := s.current.Swap(nil); old != nil {
		err = old.release()
	}
	s.db.alive.Wait()
	s.retired.Wait()
	if s.Err() == nil {
		err = errors.Join(err, s.db.Flush())
	}
	if err = errors.Join(err, s.db.Close(), s.files.close()); err != nil {
		return fmt.Errorf("kv: close: %w", err)
	}
	return nil
}

// Applied returns the last slot whose effects the store holds.
func (s *Store) Applied() paxos.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.applied
}

// Durable returns the last slot whose effects would survive a crash now: what a log must keep is the commands after it. It rises
// when Pebble flushes a memtable, which it does every so many megabytes, or when the store is closed.
func (s *Store) Durable() (slot paxos.Slot, err error) {
	err = s.read(context.Background(), func(v *view) (err error) {
		it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceMeta}, UpperBound: []byte{spaceMeta + 1}, OnlyReadGuaranteedDurable: true})
		if err != nil {
			return err
		}
		defer func() {
			if closing := it.Close(); err == nil {
				err = closing
			}
		}()
		if !it.SeekGE(stateKey) {
			return it.Error()
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		st, err := decodeState(value)
		slot = st.applied
		return err
	})
	return slot, err
}

// Revision returns the current revision: that of the last command that changed anything, 1 in an empty store.
func (s *Store) Revision() int64 {
	if p := s.current.Load(); p != nil {
		return p.revision
	}
	return 0
}

// CompactRevision returns the revision of the last compaction, -1 if there was none. Older revisions cannot be read.
func (s *Store) CompactRevision() int64 {
	if p := s.current.Load(); p != nil {
		return p.compacted
	}
	return -1
}

// DiskSize returns the bytes that the database takes, what is about to be deleted and what is about to be written to disk included.
func (s *Store) DiskSize() int64 {
	return s.measure(func(m *pebble.Metrics) int64 { return int64(m.DiskSpaceUsage()) + int64(m.MemTable.Size) })
}

func (s *Store) measure(fn func(*pebble.Metrics) int64) int64 {
	p := s.latest()
	if p == nil {
		return 0
	}
	n := fn(p.db.Metrics())
	if err := p.release(); err != nil {
		s.fail(fmt.Errorf("kv: %w", err))
	}
	return n
}

// Err returns why the store has stopped, or nil.
func (s *Store) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail stops the store for good. Only the first reason counts.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		if IsDamaged(err) {
			if err := s.files.condemn(err); err != nil {
				s.log.Warn("the store is damaged, which could not be noted for the next start", "error", err)
			}
		}
		s.hub.end()
		s.log.Error("the key-value store has stopped, and this member with it: see to the disk, then start again", "error", err)
		s.dead(err)
	}
}

// isAnswer reports whether err is a command's or a request's own result, which is always a gRPC status. Any other error is the store's.
func isAnswer(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

// pebbleLog passes on what Pebble has to say.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug) {
		l.s.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l pebbleLog) Errorf(format string, args ...any) { l.s.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf is where Pebble gives up on its files; it must not return.
func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("kv: "+format, args...)
	l.s.fail(err)
	panic(err)
}
