package wal

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
)

// FormatVersion is the version of a directory's format: the major version in the upper 16 bits, the minor in the lower.
// A newer minor version adds only what an older program may ignore and drop; a newer major one must be refused.
type FormatVersion uint32

const (
	// Format1 is the first: vital state in four copies, segments that are one chain of batches each.
	Format1 FormatVersion = 1 << 16
	// Format1Epoch adds the epoch of the membership to the vital state.
	Format1Epoch = Format1 + 1

	formatNewest = Format1Epoch
)

func (v FormatVersion) major() uint16 { return uint16(v >> 16) }

func (v FormatVersion) String() string { return fmt.Sprintf("%d.%d", v.major(), uint16(v)) }

const (
	// sectorBytes is the unit that a write is assumed not to harm beyond its own bounds. Batches begin at
	// a multiple of it, so that no sector with acknowledged bytes is ever written again.
	sectorBytes = 512
	// defaultSegmentBytes is a compromise: long enough that rolling is rare, short enough to read at once in recovery.
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 8 * sectorBytes
	// maxSegmentBytes bounds what recovery reads at once on the word of a file's length.
	maxSegmentBytes = 1 << 30
	// maxSpares is how many retired segments are kept to be written again: one for now and one while that is in use.
	maxSpares = 2
)

const (
	vitalName     = "vital"
	vitalTemp     = "vital.tmp"
	segmentTemp   = "segment.tmp"
	segmentExt    = ".log"
	spareExt      = ".spare"
	segmentDigits = 8
)

// segmentID numbers segments in the order of the log. No file ever bears the same number in two lives, so that bytes of
// the former are never taken for the present. Zero means none.
type segmentID uint32

func (id segmentID) fileName() string {
	return fmt.Sprintf("%0*x%s", segmentDigits, uint32(id), segmentExt)
}
func (id segmentID) spareName() string {
	return fmt.Sprintf("%0*x%s", segmentDigits, uint32(id), spareExt)
}

// parseName returns the number in a file name with the given extension.
func parseName(name, ext string) (segmentID, bool) {
	digits, ok := strings.CutSuffix(name, ext)
	if !ok || len(digits) != segmentDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	return segmentID(n), err == nil && n > 0
}

// listing is what a log's directory holds; files of other names are nobody's business here.
type listing struct {
	vital    bool
	segments []segmentID // ascending, and so are the spares
	spares   []segmentID
	temps    []string // left behind by a crash half way
}

func list(names []string) (l listing) {
	for _, name := range names {
		if id, ok := parseName(name, segmentExt); ok {
			l.segments = append(l.segments, id)
		} else if id, ok := parseName(name, spareExt); ok {
			l.spares = append(l.spares, id)
		} else if name == vitalName {
			l.vital = true
		} else if name == vitalTemp || name == segmentTemp {
			l.temps = append(l.temps, name)
		}
	}
	return l
}

func join(dir, name string) string { return filepath.Join(dir, name) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// roundUp returns n rounded up to whole sectors.
func roundUp[T int | int64](n T) T { return (n + sectorBytes - 1) / sectorBytes * sectorBytes }
