package synod

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// A slotFile is a small file in a node's directory that says one slot, for one log, durably.
//
// Little endian: CRC-32C of the rest 4, magic 4, incarnation of the log 8, slot 8.
type slotFile struct{ name, magic string }

var (
	// intentFile says that a snapshot of that slot is about to become the machine's state. It alone explains, after a crash, a machine that is above the end of its log: a log
	// that was lost, or replaced by an old copy, has none.
	intentFile = slotFile{"install", "Sins"}
	// releasedFile says up to where enough learners hold everything for witnesses to forget it: whoever trims its log by that has it there, so that a witness that was away can be told later, too.
	releasedFile = slotFile{"released", "Srel"}
	// divergedFile says after which slot this member's state was another than the majority's: it serves nobody any more, not after a restart either.
	divergedFile = slotFile{"diverged", "Sdiv"}
)

const slotFileBytes = 24

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write makes the slot durable, in the place of one that is there.
func (f slotFile) write(files disk.FS, dir string, incarnation paxos.Incarnation, slot paxos.Slot) error {
	b := append(make([]byte, 4, slotFileBytes), f.magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(incarnation))
	b = binary.LittleEndian.AppendUint64(b, uint64(slot))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return disk.Replace(files, filepath.Join(dir, f.name), b)
}

// read returns the slot, or 0 if there is none that is sound and for this log.
func (f slotFile) read(files disk.FS, dir string, incarnation paxos.Incarnation) (slot paxos.Slot, err error) {
	file, err := files.OpenRead(filepath.Join(dir, f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b := make([]byte, slotFileBytes)
	if n, err := file.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) || string(b[4:8]) != f.magic {
		return 0, nil
	}
	if paxos.Incarnation(binary.LittleEndian.Uint64(b[8:])) != incarnation {
		return 0, nil
	}
	return paxos.Slot(binary.LittleEndian.Uint64(b[16:])), nil
}

// remove is durable before it returns: before anything else happens to log or machine, lest an intent of the past explain what it must not.
func (f slotFile) remove(files disk.FS, dir string) error {
	if err := files.Remove(filepath.Join(dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return files.SyncDir(dir)
}
