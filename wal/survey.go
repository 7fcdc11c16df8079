package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// State is what recovery makes of a record.
type State uint8

const (
	Sound   State = iota // as it was written
	Torn                 // cut off by a crash before it was acknowledged: as if it had never been written
	Corrupt              // damaged after it may have been acknowledged: its position is kept
)

func (s State) String() string { return [...]string{"sound", "torn", "corrupt"}[s] }

// evidence is what there is to judge a record by.
type evidence struct {
	batch   bool // header and table of its batch are sound
	record  bool // the record is sound, and the batch's own
	durable bool // it lies below a watermark: a later batch, or the vital state, says that it had been synced
}

// verdicts is the whole decision. Only what lies beyond every watermark is ever cut; in doubt it is corrupt.
var verdicts = map[evidence]State{
	{batch: true, record: true, durable: true}:   Sound,
	{batch: true, record: true, durable: false}:  Sound,   // acknowledged or not; written again before it is trusted
	{batch: true, record: false, durable: true}:  Corrupt, // its slot is known, and what it said is not
	{batch: true, record: false, durable: false}: Torn,
	// Without the table nobody knows which records there were, and a sound one may be a former life's.
	{batch: false, record: true, durable: true}:   Corrupt, // of no known slot: the member may not vote
	{batch: false, record: true, durable: false}:  Torn,
	{batch: false, record: false, durable: true}:  Corrupt,
	{batch: false, record: false, durable: false}: Torn,
}

// Entry is one record as it lies on disk.
type Entry struct {
	Segment string    // file name
	Offset  int64     // in the segment, in bytes
	Batch   int64     // offset of its batch
	LSN     paxos.LSN // its own
	Durable paxos.LSN // of its batch: the last LSN that was durable before the batch was written
	State   State
	// Record is the record. Of one that is damaged Value is nil, and Kind is zero if no more is known than its slot.
	// It is nil if something must have been written here and not even its slot is known, nor how many records there were.
	Record *paxos.Record

	segment  segmentID
	position position
}

// survey reads a log's directory and changes nothing. It is what recovery and Dump share.
type survey struct {
	fs       disk.FS
	dir      string
	state    state
	segments []segmentID

	obsolete []segmentID // trimmed before a crash kept them from being retired
	blank    []segmentID // no batch in them
	tail     *chain      // the last that is not blank, without what is torn; nil if there is none
	last     paxos.LSN   // the last record that is not torn
	cut      bool        // whether something torn was cut off the tail
}

// walk calls fn for each record in the order of the log, and for each place where there must have been records and
// nothing is known of them.
func (v *survey) walk(fn func(Entry) error) error {
	v.last = v.state.first - 1
	for _, id := range []segmentID{v.state.oldest, v.state.live} {
		if id != 0 && !slices.Contains(v.segments, id) {
			if err := fn(v.damage(id, 0)); err != nil {
				return err
			}
		}
	}
	for _, id := range v.segments {
		if id < v.state.oldest {
			v.obsolete = append(v.obsolete, id)
			continue
		}
		if err := v.walkSegment(id, fn); err != nil {
			return err
		}
	}
	return v.walkTail(fn)
}

// walkSegment reads a segment and tells of the one before, now that it is known that there is more of the log after it.
func (v *survey) walkSegment(id segmentID, fn func(Entry) error) error {
	content, err := readSegment(v.fs, join(v.dir, id.fileName()))
	if err != nil {
		return err
	}
	c := readChain(content, 0, v.state.Incarnation, id)
	if c.blank() {
		v.blank = append(v.blank, id)
		return nil
	}
	for {
		if v.tail != nil {
			if err := v.walkChain(v.tail, v.tail.batches, fn); err != nil {
				return err
			}
		}
		v.tail = c
		if c.stray == nil {
			return nil
		}
		c = readChain(content, c.stray.offset, v.state.Incarnation, id)
	}
}

// walkChain tells of batches that are all below a watermark.
func (v *survey) walkChain(c *chain, batches []batch, fn func(Entry) error) error {
	if err := v.checkGap(c, fn); err != nil {
		return err
	}
	for i := range batches {
		b := &batches[i]
		for j := range b.entries {
			if err := fn(b.entryAt(j, true)); err != nil {
				return err
			}
		}
		v.last = b.next() - 1
	}
	if c.stray == nil {
		return nil
	}
	err := fn(v.damage(c.segment, c.end))
	v.last = c.stray.first - 1
	return err
}

func (v *survey) checkGap(c *chain, fn func(Entry) error) error {
	if len(c.batches) == 0 || c.batches[0].first == v.last+1 {
		return nil
	}
	if v.state.first == 0 { // Dump goes on without a vital state, and takes the log to begin where it does
		v.state.first, v.last = c.batches[0].first, c.batches[0].first-1
		return nil
	}
	err := fn(v.damage(c.segment, c.start))
	v.last = c.batches[0].first - 1
	return err
}

// walkTail tells of the last chain. Its last batch is the one that may not have been synced.
func (v *survey) walkTail(fn func(Entry) error) error {
	c := v.tail
	if c == nil {
		return v.checkEnd(fn)
	}
	n := len(c.batches) - 1
	if err := v.walkChain(c, c.batches[:n], fn); err != nil {
		return err
	}
	b := &c.batches[n]
	kept, durable := len(b.entries), v.last < v.state.durable
	for i := range b.entries {
		e := b.entryAt(i, durable)
		if e.State == Torn {
			kept = min(kept, i)
		}
		if i < kept {
			v.last = e.LSN
		} else {
			e.State = Torn // also what is sound beyond: without the one before it there is no place for it
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if v.cut = kept < len(b.entries); v.cut {
		c.cut(kept)
	}
	return v.checkEnd(fn)
}

// checkEnd holds the end of the log against the vital state's watermark, and tells of a batch whose header was torn.
func (v *survey) checkEnd(fn func(Entry) error) error {
	if v.last < v.state.durable {
		if v.tail == nil {
			return fn(v.damage(v.state.live, 0))
		}
		return fn(v.damage(v.tail.segment, v.tail.end))
	}
	if v.tail != nil && ours(v.tail.content[min(v.tail.end, len(v.tail.content)):], v.state.Incarnation, v.tail.segment) {
		e := v.damage(v.tail.segment, v.tail.end)
		e.State = Torn
		return fn(e)
	}
	return nil
}

func (v *survey) damage(id segmentID, offset int) Entry {
	return Entry{
		Segment: id.fileName(), Offset: int64(offset), Batch: int64(offset), LSN: v.last + 1, Durable: v.state.durable,
		State: verdicts[evidence{durable: true}], segment: id,
	}
}

// readSegment returns the content of a whole segment.
func readSegment(fs disk.FS, name string) (content []byte, err error) {
	f, err := fs.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSegmentBytes {
		return nil, fmt.Errorf("wal: %s is %d bytes long and no segment is longer than %d: it is not this log's, move it away", name, size, maxSegmentBytes)
	}
	content = make([]byte, size)
	if n, err := f.ReadAt(content, 0); n < len(content) {
		return nil, fmt.Errorf("wal: read %s: %w", name, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return content, nil
}
