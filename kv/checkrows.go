package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// The rows of a store say most things twice: a version has a change, a key's versions count up, buckets count keys, a key with a lease has an attachment. A checksum tells of bytes that
// have changed; this tells of rows that are missing, or were never right.

// progressRows is how many rows are read between two words about the progress.
const progressRows = 1 << 16

// each calls fn with every row of a space.
func (c *checker) each(space byte, what string, fn func(key, value []byte) error) error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return err
	}
	defer it.Close() // its error is that of the walk
	rows := int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
		if rows++; rows%progressRows == 0 {
			c.to.Progress(what, rows, 0)
		}
	}
	return it.Error()
}

// walkVersions goes through all versions, those of a key from the newest to the oldest.
func (c *checker) walkVersions() error {
	var newer version // of the same key, or none
	err := c.each(spaceVersions, "versions", func(key, value []byte) error {
		v, err := parseVersion(key, value)
		if err != nil {
			return c.damage("%v", err)
		}
		c.health.Versions++
		if v.at.main > c.state.revision || v.at.main < 2 {
			return c.damage("key %q has a version of revision %d, which the store does not have", v.key, v.at.main)
		}
		before := v
		if !bytes.Equal(newer.key, v.key) {
			before = version{}
			c.newest(&v)
		}
		if err := c.pair(newer, before); err != nil {
			return err
		}
		newer = v
		newer.key, newer.value = bytes.Clone(v.key), nil
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.pair(newer, version{}); err != nil {
		return err
	}
	if d := c.state.digest; d.known && d.live != c.live {
		return c.damage("the live keys have the digest %016x, those that were written %016x", c.live, d.live)
	}
	return nil
}

// newest counts what a key is now.
func (c *checker) newest(v *version) {
	if !v.live {
		return
	}
	c.health.Keys++
	c.live += hashRow(appendRevision(appendPrefix(nil, v.key), v.at), appendVersion(nil, v))
	if v.lease != 0 {
		c.attached++
	}
}

// pair judges a version by the one before it, which may be none. What a compaction may have taken away cannot be judged.
func (c *checker) pair(v, before version) error {
	if v.key == nil {
		return nil
	}
	value, err := get(c.db, appendChangeKey(nil, v.at))
	if err != nil {
		return err
	}
	if value == nil {
		return c.damage("the change %d.%d of key %q is missing", v.at.main, v.at.sub, v.key)
	}
	ch, err := parseChange(appendChangeKey(nil, v.at), value)
	if err != nil {
		return c.damage("%v", err)
	}
	if ch.dead == v.live || !bytes.Equal(ch.key, v.key) {
		return c.damage("the change %d.%d is of key %q, the version of that revision of key %q", v.at.main, v.at.sub, ch.key, v.key)
	}
	if v.at.main <= c.state.compacted {
		return nil
	}
	created, count, prior := v.at.main, int64(1), revision{}
	if before.live {
		created, count, prior = before.created, before.count+1, before.at
	}
	if ch.prior != prior {
		return c.damage("the change %d.%d of key %q names %d.%d as the version before it, which is %d.%d", v.at.main, v.at.sub, v.key, ch.prior.main, ch.prior.sub, prior.main, prior.sub)
	}
	if v.live && (v.created != created || v.count != count) {
		return c.damage("key %q at %d.%d is version %d since revision %d; it should be %d since %d", v.key, v.at.main, v.at.sub, v.count, v.created, count, created)
	}
	return nil
}

// walkChanges goes through all changes: as many as there are versions, and above the compaction some of every revision.
func (c *checker) walkChanges() error {
	next := max(c.state.compacted, firstState.revision) + 1
	err := c.each(spaceChanges, "changes", func(key, value []byte) error {
		c.changes++
		ch, err := parseChange(key, value)
		if err != nil {
			return c.damage("%v", err)
		}
		if ch.at.main > next {
			err = c.damage("the changes of revisions %d to %d are missing", next, ch.at.main-1)
		}
		next = max(next, ch.at.main+1)
		return err
	})
	if err != nil {
		return err
	}
	if next <= c.state.revision {
		if err := c.damage("the changes of revisions %d to %d are missing", next, c.state.revision); err != nil {
			return err
		}
	}
	if c.changes != c.health.Versions {
		return c.damage("there are %d versions and %d changes", c.health.Versions, c.changes)
	}
	return nil
}

// walkBuckets counts the keys of every bucket.
func (c *checker) walkBuckets() error {
	census, err := loadCensus(c.db)
	if err != nil {
		return err
	}
	v := &view{reader: c.db, db: c.db, revision: c.state.revision, census: census}
	for from := ""; ; {
		b, ok := census.after(from)
		if !ok {
			break
		}
		keys, live, err := v.censusOf(b.first)
		if err == nil && (trues(live) != b.live || int64(len(keys)) > b.weight) {
			err = c.damage("the bucket from %q on has %d keys, %d of them live, and counts %d and %d", b.first, len(keys), trues(live), b.weight, b.live)
		}
		if err != nil {
			return errors.Join(err, v.close())
		}
		from = b.first + "\x00"
	}
	return v.close()
}

// walkAttachments holds what is attached to leases against what the keys say.
func (c *checker) walkAttachments() error {
	v := &view{reader: c.db, db: c.db}
	attachments := int64(0)
	err := c.each(spaceAttachments, "attachments", func(key, _ []byte) error {
		attachments++
		if len(key) < leaseKeySize {
			return c.damage("malformed attachment %x", key)
		}
		id, user := int64(binary.BigEndian.Uint64(key[1:])), key[leaseKeySize:]
		ver, err := v.getAt(user, revision{c.state.revision, maxSub})
		if err == nil && (!ver.live || ver.lease != id) {
			err = c.damage("key %q is attached to lease %x, and does not say so", user, uint64(id))
		}
		return err
	})
	if err = errors.Join(err, v.close()); err != nil {
		return err
	}
	if attachments != c.attached {
		return c.damage("%d keys have a lease, %d are attached to one", c.attached, attachments)
	}
	return nil
}

// strangers looks for rows that no version writes.
func (c *checker) strangers() error {
	known := []byte{spaceMeta, spaceVersions, spaceChanges, spaceBuckets, spaceLeases, spaceAttachments, spaceAuth}
	it, err := c.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		space := it.Key()[0]
		if !slices.Contains(known, space) {
			return errors.Join(fmt.Errorf("a row %.32x of an unknown kind: %w", it.Key(), errCorrupt), it.Close())
		}
		ok = it.SeekGE([]byte{space + 1})
	}
	return it.Close()
}
