package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Vital is the state without which a member may not vote.
type Vital struct {
	Cluster     uint64
	Node        paxos.NodeID
	Incarnation paxos.Incarnation
	Boot        uint32       // how many times the log has been opened
	Promised    paxos.Ballot // at or above the ballot of every record that was ever written
	Trimmed     paxos.Slot   // everything up to here has been forgotten, on purpose
	Founders    []byte       // opaque; nil until SetFounders
	Epoch       uint32       // of the latest membership that is kept beside the log; 0 until SetEpoch
}

// state is what the vital file holds: Vital, and the landmarks that tell recovery which records must be there.
type state struct {
	Vital
	first   paxos.LSN // the log begins here; what was below has been trimmed
	durable paxos.LSN // everything up to here was durable when this was written: a watermark
	oldest  segmentID // the segment that first is in; 0 before there is any
	live    segmentID // the segment that was being written to; 0 before there is any
}

// A copy of the state fills one block of the vital file. Layout, little endian:
//
//	 0  4  CRC-32C of bytes 4 to 4096
//	 4  4  magic "Svit"
//	 8  4  format version
//	12  4  number of this copy, from 0: a block that was written in another's place does not count
//	16  8  sequence: the highest is the latest
//	24  8  cluster
//	32  8  node
//	40  8  incarnation
//	48  4  boot
//	52  4  live segment
//	56  8  promised ballot: round
//	64  8  promised ballot: node
//	72  4  promised ballot: boot
//	76  4  length of the founders
//	80  8  trimmed slot
//	88  8  first LSN
//	96  8  durable LSN
//	104 4  oldest segment
//	108 4  epoch; zero in format 1.0
//	112 …  founders, then zeros
const (
	vitalBlockBytes  = 4096
	vitalHeaderBytes = 112
	vitalCopies      = 4
	vitalMagic       = "Svit"

	// MaxFoundersBytes bounds Vital.Founders.
	MaxFoundersBytes = vitalBlockBytes - vitalHeaderBytes
)

func encodeVital(s state, copyNumber uint32, sequence uint64) []byte {
	b := make([]byte, vitalBlockBytes)
	le := binary.LittleEndian
	copy(b[4:], vitalMagic)
	le.PutUint32(b[8:], uint32(formatNewest))
	le.PutUint32(b[12:], copyNumber)
	le.PutUint64(b[16:], sequence)
	le.PutUint64(b[24:], s.Cluster)
	le.PutUint64(b[32:], uint64(s.Node))
	le.PutUint64(b[40:], uint64(s.Incarnation))
	le.PutUint32(b[48:], s.Boot)
	le.PutUint32(b[52:], uint32(s.live))
	le.PutUint64(b[56:], s.Promised.Round)
	le.PutUint64(b[64:], uint64(s.Promised.Node))
	le.PutUint32(b[72:], s.Promised.Boot)
	le.PutUint32(b[76:], uint32(len(s.Founders)))
	le.PutUint64(b[80:], uint64(s.Trimmed))
	le.PutUint64(b[88:], uint64(s.first))
	le.PutUint64(b[96:], uint64(s.durable))
	le.PutUint32(b[104:], uint32(s.oldest))
	le.PutUint32(b[108:], s.Epoch)
	copy(b[vitalHeaderBytes:], s.Founders)
	le.PutUint32(b, checksum(b[4:]))
	return b
}

var errVitalCopy = errors.New("not a sound copy")

func decodeVital(b []byte, copyNumber uint32) (s state, sequence uint64, err error) {
	le := binary.LittleEndian
	if len(b) != vitalBlockBytes || checksum(b[4:]) != le.Uint32(b) ||
		string(b[4:8]) != vitalMagic || le.Uint32(b[12:]) != copyNumber {
		return state{}, 0, errVitalCopy
	}
	if v := FormatVersion(le.Uint32(b[8:])); v.major() > formatNewest.major() {
		return state{}, 0, fmt.Errorf("%w: written in format %v, this program knows %v: run a newer program", ErrVersion, v, formatNewest)
	}
	length := le.Uint32(b[76:])
	if length > MaxFoundersBytes {
		return state{}, 0, errVitalCopy
	}
	s = state{
		Vital: Vital{
			Cluster:     le.Uint64(b[24:]),
			Node:        paxos.NodeID(le.Uint64(b[32:])),
			Incarnation: paxos.Incarnation(le.Uint64(b[40:])),
			Boot:        le.Uint32(b[48:]),
			Promised:    paxos.Ballot{Round: le.Uint64(b[56:]), Node: paxos.NodeID(le.Uint64(b[64:])), Boot: le.Uint32(b[72:])},
			Trimmed:     paxos.Slot(le.Uint64(b[80:])),
			Epoch:       le.Uint32(b[108:]),
		},
		oldest:  segmentID(le.Uint32(b[104:])),
		live:    segmentID(le.Uint32(b[52:])),
		first:   paxos.LSN(le.Uint64(b[88:])),
		durable: paxos.LSN(le.Uint64(b[96:])),
	}
	if length > 0 {
		s.Founders = slices.Clone(b[vitalHeaderBytes : vitalHeaderBytes+length])
	}
	return s, le.Uint64(b[16:]), nil
}

// vitalFile is the open file of copies. It is written in two halves, 0 and 1, then 2 and 3, or the other way round, each synced before the next is begun, so that
// at every instant one half holds either the old state or the new.
//
// What a program reads at its start may be the page cache's alone: a sync failed, the program ended, and the next one found what was written all the same. So what is
// written first is never what alone may be durable. A state of an odd sequence begins with half 0, one of an even sequence with half 1; the half that is written second may be in doubt, and the
// next state begins with it.
type vitalFile struct {
	file     disk.File
	sequence uint64
	copies   [vitalCopies]copyFate
}

// firstHalf returns the half that a state begins with.
func firstHalf(sequence uint64) int { return int(1 - sequence%2) }

func copiesOf(half int) []int { return []int{2 * half, 2*half + 1} }

// plan returns the copies to write next, in groups each of which is synced before the next is begun, and the sequence of what is written.
func (v *vitalFile) plan() (groups [][]int, sequence uint64) {
	has := func(half int, fate copyFate) bool { return slices.Contains(v.copies[2*half:2*half+2], fate) }
	first := 1 - firstHalf(v.sequence)
	newest, other := 0, 1
	if has(1, copyLatest) {
		newest, other = 1, 0
	}
	groups = [][]int{copiesOf(first), copiesOf(1 - first)}
	switch {
	case has(newest, copyLatest) == has(other, copyLatest): // or nothing at all is left, and the state is in memory
	case !has(other, copyOlder):
		first, groups = other, [][]int{copiesOf(other), copiesOf(newest)}
	default: // the newest was never acknowledged, or the other half was written and the disk has lost that: one copy of each stays as it is
		spare, kept := 2*newest, 2*newest+1
		if v.copies[kept] != copyLatest {
			spare, kept = kept, spare
		}
		first, groups = newest, [][]int{{spare}, copiesOf(other), {kept}}
	}
	sequence = v.sequence + 1
	if firstHalf(sequence) != first {
		sequence++
	}
	return groups, sequence
}

// copyFate is what a copy was found to be.
type copyFate uint8

const (
	copyDamaged copyFate = iota
	copyOlder
	copyLatest
)

// createVital formats dir: after it the vital file holds s, or, after a crash, does not exist.
func createVital(fs disk.FS, dir string, s state) (err error) {
	temp := join(dir, vitalTemp)
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	v := &vitalFile{file: f}
	if err := errors.Join(v.write(s), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, join(dir, vitalName)); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// readVital reads the latest state that any copy holds.
func readVital(f disk.File) (*vitalFile, state, error) {
	v := &vitalFile{file: f}
	var latest state
	var sequences [vitalCopies]uint64 // 0 of what is no sound copy
	block := make([]byte, vitalBlockBytes)
	for n := range vitalCopies {
		if read, _ := f.ReadAt(block, int64(n)*vitalBlockBytes); read < len(block) {
			continue // a copy that cannot be read is a bad copy: that is what the others are for
		}
		s, sequence, err := decodeVital(block, uint32(n))
		if errors.Is(err, ErrVersion) {
			return nil, state{}, err
		}
		if err != nil {
			continue
		}
		sequences[n] = sequence
		if sequence > v.sequence {
			latest, v.sequence = s, sequence
		}
	}
	if v.sequence == 0 {
		return nil, state{}, fmt.Errorf("%w: all %d copies of its vital state are damaged: replace the member by a new one", ErrMayNotVote, vitalCopies)
	}
	for n, sequence := range sequences {
		switch sequence {
		case v.sequence:
			v.copies[n] = copyLatest
		case 0:
		default:
			v.copies[n] = copyOlder
		}
	}
	return v, latest, nil
}

// write makes s durable. If it fails, the file holds s or what it held before.
func (v *vitalFile) write(s state) error {
	groups, sequence := v.plan()
	for _, group := range groups {
		for _, n := range group {
			if _, err := v.file.WriteAt(encodeVital(s, uint32(n), sequence), int64(n)*vitalBlockBytes); err != nil {
				return err
			}
		}
		if err := v.file.Datasync(); err != nil {
			return err
		}
	}
	v.sequence = sequence
	for n := range v.copies {
		v.copies[n] = copyLatest
	}
	return nil
}
