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

// An intent is the file "install" in a node's directory: a snapshot of that slot is about to become the machine's state. It alone explains, after a crash, a machine that is above the end of its log: a log
// that was lost, or replaced by an old copy, has none.
//
// Little endian: CRC-32C of the rest 4, "Sins" 4, incarnation of the log 8, slot 8.
const (
	intentName  = "install"
	intentMagic = "Sins"
	intentBytes = 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeIntent makes an intent durable, in the place of one that is there.
func writeIntent(files disk.FS, dir string, incarnation paxos.Incarnation, slot paxos.Slot) error {
	b := append(make([]byte, 4, intentBytes), intentMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(incarnation))
	b = binary.LittleEndian.AppendUint64(b, uint64(slot))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return replaceFile(files, dir, intentName, b)
}

// readIntent returns the slot of the intent, or 0 if there is none that is sound and for this log.
func readIntent(files disk.FS, dir string, incarnation paxos.Incarnation) (slot paxos.Slot, err error) {
	f, err := files.OpenRead(filepath.Join(dir, intentName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, intentBytes)
	if n, err := f.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) || string(b[4:8]) != intentMagic {
		return 0, nil
	}
	if paxos.Incarnation(binary.LittleEndian.Uint64(b[8:])) != incarnation {
		return 0, nil
	}
	return paxos.Slot(binary.LittleEndian.Uint64(b[16:])), nil
}

// removeIntent is durable before anything else happens to log or machine, lest an intent of the past explain what it must not.
func removeIntent(files disk.FS, dir string) error {
	if err := files.Remove(filepath.Join(dir, intentName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return files.SyncDir(dir)
}
