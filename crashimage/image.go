package crashimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"path"

	"synod.dev/synod/disk"
)

// dir is where every log lives.
const dir = "log"

var digestSeed = maphash.MakeSeed()

// digest returns a hash of the names and contents of an image and of the ledger that it is judged by. Two that differ are taken for
// one with a probability of images²/2⁶⁵.
func digest(m *disk.Mem, g *ledger) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	for _, v := range [...]uint64{uint64(len(g.appended)), uint64(g.synced), uint64(g.boot), uint64(g.trimmed), uint64(g.trimming), g.promised.Round, uint64(len(g.founders))} {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	err := eachFile(m, func(name string, content []byte) error {
		h.WriteString(name)
		h.Write(content)
		return nil
	})
	return h.Sum64(), err
}

// eachFile calls fn for each file of the log, in the order of the names.
func eachFile(m *disk.Mem, fn func(name string, content []byte) error) error {
	names, err := m.ReadDir(dir)
	if err != nil {
		return nil // the directory was not there yet
	}
	for _, name := range names {
		content, err := contentOf(m, path.Join(dir, name))
		if err != nil {
			return err
		}
		if err := fn(name, content); err != nil {
			return err
		}
	}
	return nil
}

func contentOf(m *disk.Mem, name string) (content []byte, err error) {
	f, err := m.OpenRead(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	content = make([]byte, size)
	if n, err := f.ReadAt(content, 0); int64(n) < size {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, f.Close()
}

// rot changes one byte of one file. It reports false if there is none.
func rot(m *disk.Mem, choose func(n int) int, mask byte) (where string, ok bool, err error) {
	sizes := map[string]int{}
	var names []string
	total := 0
	err = eachFile(m, func(name string, content []byte) error {
		sizes[name] = len(content)
		names = append(names, name)
		total += len(content)
		return nil
	})
	if err != nil || total == 0 {
		return "", false, err
	}
	at := choose(total)
	for _, name := range names {
		if at < sizes[name] {
			return fmt.Sprintf("byte %d of %s changed", at, name), true, m.Flip(path.Join(dir, name), int64(at), mask)
		}
		at -= sizes[name]
	}
	return "", false, errors.New("no byte to change")
}
