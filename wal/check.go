package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// Health is what Check has found a log to be.
type Health struct {
	Vital   Vital
	Durable paxos.LSN     // its last record that recovery would keep
	Last    paxos.Slot    // the highest slot that there is such a record of
	Unknown []UnknownSlot // as Log.Unknown would return after Open
}

// Check reads a log's directory whole, compares every checksum and every watermark, changes nothing, and tells what is wrong. It takes no lock: nobody may write meanwhile. The error is about what could not be read,
// and not about what is wrong with it; ErrNotFormatted if there is no log.
func Check(fsys disk.FS, dir string, to disk.Inspection) (Health, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return Health{}, err
	}
	files := list(names)
	if !files.vital && len(files.segments) == 0 {
		return Health{}, notFormatted(dir)
	}
	for _, name := range files.temps {
		to.Found(disk.Finding{Severity: disk.Notice, Place: join(dir, name), Problem: "a crash left it half made", Advice: "nothing: the next start removes it", Remedy: disk.Recovery})
	}
	s, err := checkVital(fsys, dir, to)
	if err != nil {
		return Health{}, err
	}
	c := &checker{dir: dir, to: to, damaged: map[paxos.Slot]Entry{}, health: Health{Vital: s.Vital}, total: len(files.segments)}
	v := &survey{fs: fsys, dir: dir, state: s, segments: files.segments}
	if err := v.walk(c.entry); err != nil {
		return Health{}, err
	}
	c.finish(v.last)
	return c.health, nil
}

// checkVital looks at each copy of the vital state and returns the latest.
func checkVital(fsys disk.FS, dir string, to disk.Inspection) (s state, err error) {
	place := join(dir, vitalName)
	f, err := fsys.OpenRead(place)
	if errors.Is(err, fs.ErrNotExist) {
		to.Found(disk.Finding{Severity: disk.Fatal, Place: place, Problem: "the vital state is missing", Advice: "put the file back, or replace the member: it may not vote"})
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	latest, s, err := readVital(f)
	if errors.Is(err, ErrMayNotVote) {
		to.Found(disk.Finding{Severity: disk.Fatal, Place: place, Problem: "all copies of the vital state are damaged", Advice: "replace the member: it may not vote"})
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	for n, fate := range latest.copies {
		switch fate {
		case copyDamaged:
			to.Found(disk.Finding{Severity: disk.Damage, Place: fmt.Sprintf("%s:%d", place, n*vitalBlockBytes),
				Problem: fmt.Sprintf("copy %d of the vital state is damaged, a sound one has all it held", n), Advice: "start the member or run synod disk repair: it is written again", Remedy: disk.Recovery})
		case copyOlder:
			to.Found(disk.Finding{Severity: disk.Notice, Place: fmt.Sprintf("%s:%d", place, n*vitalBlockBytes),
				Problem: fmt.Sprintf("a crash left copy %d of the vital state behind", n), Advice: "nothing: the next start writes it again", Remedy: disk.Recovery})
		}
	}
	return s, nil
}

// checker judges the entries of a survey. A damaged record harms nobody if its slot is trimmed, or has a later record.
type checker struct {
	dir     string
	to      disk.Inspection
	damaged map[paxos.Slot]Entry // the last record of each, by slot
	health  Health
	segment string // the one that is being read
	read    int    // segments so far
	total   int
}

func (c *checker) entry(e Entry) error {
	if e.Segment != c.segment {
		c.segment = e.Segment
		c.read++
		c.to.Progress("log segments", int64(c.read), int64(c.total))
	}
	switch {
	case e.State == Torn:
		c.found(disk.Notice, e, fmt.Sprintf("LSN %d was cut off by a crash before anybody was told of it", e.LSN), "nothing: the next start cuts it off")
	case e.Record == nil:
		c.found(disk.Fatal, e, fmt.Sprintf("what was written as LSN %d and on, up to a later batch, is not known", e.LSN), "replace the member: it may not vote")
	case e.State == Corrupt && e.Record.Slot == 0:
		c.found(disk.Notice, e, fmt.Sprintf("the promise of LSN %d is damaged, and the vital state has it", e.LSN), "nothing")
	case e.State == Corrupt && e.Record.Slot <= c.health.Vital.Trimmed:
		c.found(disk.Notice, e, fmt.Sprintf("the record of slot %d is damaged, which is trimmed", e.Record.Slot), "nothing")
	case e.State == Corrupt:
		c.health.Last = max(c.health.Last, e.Record.Slot)
		c.damaged[e.Record.Slot] = e
	case e.Record.Slot != 0:
		c.health.Last = max(c.health.Last, e.Record.Slot)
		delete(c.damaged, e.Record.Slot)
	}
	return nil
}

func (c *checker) found(severity disk.Severity, e Entry, problem, advice string) {
	f := disk.Finding{Severity: severity, Place: fmt.Sprintf("%s:%d", join(c.dir, e.Segment), e.Offset), Problem: problem, Advice: advice}
	if e.State == Torn {
		f.Remedy = disk.Recovery
	}
	c.to.Found(f)
}

func (c *checker) finish(last paxos.LSN) {
	c.health.Durable = last
	for _, e := range slices.SortedFunc(maps.Values(c.damaged), func(a, b Entry) int { return cmp.Compare(a.Record.Slot, b.Record.Slot) }) {
		c.health.Unknown = append(c.health.Unknown, UnknownSlot{Slot: e.Record.Slot, Ballot: e.Record.Ballot, LSN: e.LSN})
		c.found(disk.Damage, e, fmt.Sprintf("the record of slot %d, LSN %d, is damaged", e.Record.Slot, e.LSN),
			"start the member: it says that it does not know its vote there, and learns the slot from the others")
	}
}

// Owns reports whether a file of that name in a log's directory is the log's.
func Owns(name string) bool {
	files := list([]string{name})
	return files.vital || len(files.segments)+len(files.spares)+len(files.temps) > 0
}
