package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// A snapshot of the store is every row of its database, ascending: uvarint length and bytes of the key, and the same of the value. What a row means does not
// matter here: keys, history, leases, users, and how far deleting has come travel together.

const (
	receiveBytes = 4 << 20             // of rows in one batch
	rowBytesMax  = paxos.MaxValueBytes // of a key or a value: a command made it
)

// Flush has Durable rise to what is applied, soon; see synod.Durable.
func (s *Store) Flush() {
	if _, err := s.db.AsyncFlush(); err != nil {
		s.fail(fmt.Errorf("kv: flush: %w", err))
	}
}

// Snapshot returns an image of the store; see synod.Durable. It costs nothing but that what is deleted meanwhile stays on disk until it is closed.
func (s *Store) Snapshot() (synod.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Err(); err != nil {
		return nil, err
	}
	size := s.DiskSize()
	s.db.alive.Add(1)
	return &storeImage{db: s.db, snapshot: s.db.NewSnapshot(), size: size}, nil
}

// storeImage is the store at one instant.
type storeImage struct {
	db       *database
	snapshot *pebble.Snapshot
	size     int64
}

func (i *storeImage) Size() int64 { return i.size }

func (i *storeImage) Close() error {
	defer i.db.alive.Done()
	return i.snapshot.Close()
}

// WriteTo writes all rows. It holds one in memory.
func (i *storeImage) WriteTo(w io.Writer) (n int64, err error) {
	it, err := i.snapshot.NewIter(nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var row []byte
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return n, err
		}
		row = appendRow(row[:0], it.Key(), value)
		m, err := w.Write(row)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, it.Error()
}

func appendRow(b, key, value []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// rowReader reads rows that appendRow has written.
type rowReader struct {
	from       *bufio.Reader
	key, value []byte // valid until the next call of next
}

// next reads a row. The error is io.EOF at the end.
func (r *rowReader) next() error {
	length, err := binary.ReadUvarint(r.from)
	if err != nil {
		return err
	}
	if r.key, err = r.read(r.key, length); err != nil {
		return err
	}
	if length, err = binary.ReadUvarint(r.from); err != nil {
		return whole(err)
	}
	r.value, err = r.read(r.value, length)
	return err
}

func (r *rowReader) read(into []byte, length uint64) ([]byte, error) {
	if length > rowBytesMax {
		return nil, fmt.Errorf("a row of %d bytes: %w", length, errCorrupt)
	}
	if uint64(cap(into)) < length {
		into = make([]byte, length)
	}
	into = into[:length]
	_, err := io.ReadFull(r.from, into)
	return into, whole(err)
}

// whole makes an end within a row an error of its own.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Receive writes a store's snapshot into a database of its own beside the present one; see synod.Durable. It holds one batch in memory, and what Pebble has not flushed.
func (s *Store) Receive(slot paxos.Slot, r io.Reader) (synod.Installation, error) {
	db, err := s.files.create(slot)
	if err != nil {
		return nil, fmt.Errorf("kv: receive: %w", err)
	}
	if err := fill(db, slot, r); err != nil {
		return nil, fmt.Errorf("kv: receive: %w", errors.Join(err, s.files.retire(db)))
	}
	return &installation{store: s, db: db}, nil
}

// fill writes rows and makes them durable.
func fill(db *database, slot paxos.Slot, r io.Reader) error {
	rows := rowReader{from: bufio.NewReaderSize(r, 64<<10)}
	batch := db.NewBatch()
	defer func() { batch.Close() }() // of a batch that holds no iterator it cannot fail
	for {
		err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = batch.Set(rows.key, rows.value, nil)
		}
		if err == nil && batch.Len() >= receiveBytes {
			err = batch.Commit(pebble.NoSync)
			batch.Reset()
		}
		if err != nil {
			return err
		}
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	if err := raise(db, slot); err != nil {
		return err
	}
	return db.Flush()
}

// raise notes that everything up to slot is applied: the slots since the last one that was for this machine held nothing for it.
func raise(db *database, slot paxos.Slot) error {
	value, err := get(db, stateKey)
	if err != nil {
		return err
	}
	st, err := decodeState(value)
	if err != nil {
		return err
	}
	if st.applied > slot {
		return fmt.Errorf("a snapshot of slot %d holds the effects of slot %d: %w", slot, st.applied, errCorrupt)
	}
	st.applied = slot
	return db.Set(stateKey, st.encode(), pebble.NoSync)
}

// installation is a database that is ready to become the store's.
type installation struct {
	store *Store
	db    *database
}

// Install makes the database the store's. Readers that are under way end with what they have begun with; later ones see the new state. Watchers are fed from its history, or told that what they
// lack is compacted.
func (i *installation) Install() error {
	s := i.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.files.activate(i.db.dir); err != nil {
		return fmt.Errorf("kv: install: %w", err)
	}
	old := s.db
	s.db = i.db
	if err := s.load(); err != nil {
		return fmt.Errorf("kv: install: %w", err)
	}
	s.hub.put(s.state.revision, &notes{})
	s.sweeper.begin()
	s.retired.Go(func() {
		old.alive.Wait()
		if err := s.files.retire(old); err != nil {
			s.log.Warn("a database that has been replaced could not be removed; it will be when the store is opened again", "dir", old.dir, "error", err)
		}
	})
	return nil
}

// Discard removes the database.
func (i *installation) Discard() error { return i.store.files.retire(i.db) }
