package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The first byte of every row's key says which space it lies in. All numbers in keys are big endian, so that they sort.
//
//	meta     0x01 name                                   see state and cursor
//	versions 0x02 escaped-key 00 01 ^main(8) ^sub(4)     one version of a key; newest first within the key
//	changes  0x03 main(8) sub(4)                         the same versions in the order in which they were made
//	buckets  0x04 first-key                              how many live keys there are from here to the next bucket
//	leases   0x05 id(8)                                  one lease
//	attached 0x06 id(8) key                              a key that is attached to it
//
// In an escaped key each 00 is written 00 FF. With the terminator 00 01 the bytes sort as the keys do, and no key's
// form is the beginning of another's.
const (
	spaceMeta     byte = 1
	spaceVersions byte = 2
	spaceChanges  byte = 3
	spaceBuckets  byte = 4

	spaceLeases      byte = 5
	spaceAttachments byte = 6
)

const (
	escape     byte = 0xFF
	terminator byte = 0x01
	suffixSize      = 12 // ^main(8) ^sub(4)
)

// revision names one change: main counts commands that changed something, sub the changes within one command.
type revision struct {
	main int64
	sub  uint32
}

const maxSub = ^uint32(0)

func (r revision) less(s revision) bool {
	return r.main < s.main || r.main == s.main && r.sub < s.sub
}

// comparer orders rows by their bytes and tells Pebble which part of a version's key is the key itself, so that one
// bloom filter entry serves all versions of a key and an iterator can go from key to key.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "synod.kv.1"
	c.Split = split
	c.Separator = separator
	c.ImmediateSuccessor = immediateSuccessor
	c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
	return &c
}()

// split returns the length of the part of a row's key that is common to all versions of the user's key. A terminator
// cannot occur within an escaped key, so its place tells a row from a bare prefix, which serves as a bound.
func split(row []byte) int {
	n := len(row) - suffixSize
	if n > 2 && row[0] == spaceVersions && row[n-2] == 0 && row[n-1] == terminator {
		return n
	}
	return len(row)
}

// separator shortens within the key only: cutting through a suffix would make a prefix out of half a revision.
func separator(dst, a, b []byte) []byte {
	pa, pb := a[:split(a)], b[:split(b)]
	if bytes.Equal(pa, pb) {
		return append(dst, a...)
	}
	n := len(dst)
	dst = pebble.DefaultComparer.Separator(dst, pa, pb)
	if bytes.Equal(dst[n:], pa) {
		return append(dst[:n], a...)
	}
	return dst
}

// immediateSuccessor returns the least prefix above another: past all that begins with a key's, since nothing else does.
func immediateSuccessor(dst, prefix []byte) []byte {
	dst = append(dst, prefix...)
	n := len(dst)
	if len(prefix) > 2 && prefix[0] == spaceVersions && dst[n-2] == 0 && dst[n-1] == terminator {
		dst[n-1]++
		return dst
	}
	return append(dst, 0)
}

// appendPrefix appends what all versions of key begin with. It is also the bound of a range that begins or ends at key.
func appendPrefix(dst, key []byte) []byte {
	dst = append(dst, spaceVersions)
	for {
		i := bytes.IndexByte(key, 0)
		if i < 0 {
			break
		}
		dst = append(dst, key[:i+1]...)
		dst = append(dst, escape)
		key = key[i+1:]
	}
	dst = append(dst, key...)
	return append(dst, 0, terminator)
}

// appendRevision appends the suffix of a version's key. Seeking to (main, maxSub) finds the newest version not above main.
func appendRevision(dst []byte, r revision) []byte {
	dst = binary.BigEndian.AppendUint64(dst, ^uint64(r.main))
	return binary.BigEndian.AppendUint32(dst, ^r.sub)
}

// parseVersionKey splits a version's row key. The user's key aliases row unless it holds a zero byte.
func parseVersionKey(row []byte) (key []byte, r revision, err error) {
	n := split(row)
	if n == len(row) {
		return nil, r, fmt.Errorf("kv: malformed version key %x: %w", row, errCorrupt)
	}
	r.main = int64(^binary.BigEndian.Uint64(row[n:]))
	r.sub = ^binary.BigEndian.Uint32(row[n+8:])
	key = row[1 : n-2]
	if bytes.IndexByte(key, 0) >= 0 {
		key = bytes.ReplaceAll(key, []byte{0, escape}, []byte{0})
	}
	return key, r, nil
}

func appendChangeKey(dst []byte, r revision) []byte {
	dst = append(dst, spaceChanges)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.main))
	return binary.BigEndian.AppendUint32(dst, r.sub)
}

func parseChangeKey(row []byte) (revision, error) {
	if len(row) != 1+suffixSize || row[0] != spaceChanges {
		return revision{}, fmt.Errorf("kv: malformed change key %x: %w", row, errCorrupt)
	}
	return revision{int64(binary.BigEndian.Uint64(row[1:])), binary.BigEndian.Uint32(row[9:])}, nil
}

// version is one version of one key. A dead one is a tombstone: the key was deleted.
type version struct {
	key     []byte // valid until the iterator it comes from moves
	at      revision
	live    bool
	created int64 // main revision
	count   int64 // versions since created, this one included: etcd's "version"
	lease   int64
	value   []byte // valid until the iterator it comes from moves
}

// isNew reports whether the version's command has made the key.
func (v *version) isNew() bool { return v.live && v.created == v.at.main }

const (
	rowDead byte = 0
	rowLive byte = 1
	// rowCosted is added for a change that says what its prior version counts for.
	rowCosted byte = 2
)

// appendVersion appends a version's row value: one byte 0 for a tombstone, or 1, uvarint created, uvarint count, varint lease, value.
func appendVersion(dst []byte, v *version) []byte {
	if !v.live {
		return append(dst, rowDead)
	}
	dst = append(dst, rowLive)
	dst = binary.AppendUvarint(dst, uint64(v.created))
	dst = binary.AppendUvarint(dst, uint64(v.count))
	dst = binary.AppendVarint(dst, v.lease)
	return append(dst, v.value...)
}

// parseVersion reads a version out of its row. Its slices alias the row.
func parseVersion(row, value []byte) (version, error) {
	key, at, err := parseVersionKey(row)
	if err != nil {
		return version{}, err
	}
	v := version{key: key, at: at}
	if len(value) == 1 && value[0] == rowDead {
		return v, nil
	}
	p := parser{rest: value}
	p.expect(rowLive)
	v.live = true
	v.created = int64(p.uvarint())
	v.count = int64(p.uvarint())
	v.lease = p.varint()
	v.value = p.rest
	if p.failed {
		return version{}, fmt.Errorf("kv: malformed version of key %q at %d.%d: %w", key, at.main, at.sub, errCorrupt)
	}
	return v, nil
}

// change is a row of the space of changes: which key, and which live version it took the place of.
type change struct {
	at        revision
	dead      bool
	prior     revision // zero if there was none
	priorCost int64    // what the prior version counts for in the size of the store
	key       []byte   // valid until the iterator it comes from moves
}

// appendChange appends a change's row value: byte 0 or 1 as in a version, and 2 more if a cost is there; uvarint prior main, uvarint prior sub, uvarint prior cost, key.
func appendChange(dst []byte, c *change) []byte {
	kind := rowCosted
	if !c.dead {
		kind |= rowLive
	}
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(c.prior.main))
	dst = binary.AppendUvarint(dst, uint64(c.prior.sub))
	dst = binary.AppendUvarint(dst, uint64(c.priorCost))
	return append(dst, c.key...)
}

func parseChange(row, value []byte) (change, error) {
	at, err := parseChangeKey(row)
	if err != nil {
		return change{}, err
	}
	p := parser{rest: value}
	kind := p.byte()
	c := change{at: at, dead: kind&rowLive == 0}
	c.prior.main = int64(p.uvarint())
	c.prior.sub = uint32(p.uvarint())
	if kind&rowCosted != 0 {
		c.priorCost = int64(p.uvarint())
	}
	c.key = p.rest
	if p.failed || kind > rowLive|rowCosted {
		return change{}, fmt.Errorf("kv: malformed change %d.%d: %w", at.main, at.sub, errCorrupt)
	}
	return c, nil
}

// errCorrupt marks bytes in the database that this version cannot have written.
var errCorrupt = errors.New("the database is corrupt; replace this member")

// parser reads small numbers off the front of a row's value; failed stays set once anything was missing.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) byte() byte {
	if len(p.rest) == 0 {
		p.failed = true
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *parser) expect(b byte) {
	if p.byte() != b {
		p.failed = true
	}
}

func (p *parser) uvarint() uint64 {
	n, w := binary.Uvarint(p.rest)
	if w <= 0 {
		p.failed = true
		return 0
	}
	p.rest = p.rest[w:]
	return n
}

func (p *parser) varint() int64 {
	n, w := binary.Varint(p.rest)
	if w <= 0 {
		p.failed = true
		return 0
	}
	p.rest = p.rest[w:]
	return n
}
