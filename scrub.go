package synod

import (
	"errors"
	"fmt"
	"time"

	"synod.dev/synod/wal"
)

// scrubber reads everything on this member's disk again and again, slowly: what rots unnoticed on one disk is repaired from the others, as long as it has not rotted there, too. It rests as long as a pass took.
type scrubber struct {
	n     *Node
	pace  pace
	bytes int64 // read in this pass
}

// scrubRestMin is the least time between two passes: a disk that holds little need not be read all the time.
const scrubRestMin = 10 * time.Second

// run makes passes until the node ends.
func (s *scrubber) run() {
	if s.n.cfg.ScrubRate < 0 {
		return
	}
	for rest := s.n.cfg.scrubRest; s.wait(rest) == nil; {
		if s.n.view.Load() == nil {
			continue // the cluster is being founded: the event loop still writes the vital state
		}
		began := time.Now()
		s.bytes = 0
		if err := s.pass(); err != nil {
			if !errors.Is(err, ErrClosed) {
				s.n.Fail(err)
			}
			return
		}
		done := Scrubbed{Bytes: s.bytes, Duration: time.Since(began)}
		s.n.logger.Debug("everything on this member's disk has been read again", "bytes", done.Bytes, "took", done.Duration.Round(time.Millisecond))
		if e := s.n.cfg.Events; e != nil && e.Scrubbed != nil {
			e.Scrubbed(done)
		}
		rest = max(s.n.cfg.scrubRest, done.Duration)
	}
}

// pass reads the vital state, the log, the snapshots and the machines. Its error ends the node.
func (s *scrubber) pass() error {
	if err := s.vital(); err != nil {
		return err
	}
	if err := s.n.log.Scrub(s.read, s.found); err != nil && !errors.Is(err, wal.ErrClosed) {
		return s.failed("the log", err)
	}
	if err := s.snapshot(); err != nil {
		return err
	}
	for _, section := range s.n.sections {
		if machine, ok := section.machine.(Scrubber); ok {
			if err := machine.Scrub(s.read); err != nil {
				return s.failed("the state machine's disk", err)
			}
		}
	}
	return nil
}

func (s *scrubber) failed(what string, err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%s cannot be read again: %w", what, err)
}

// vital has the copies of the vital state compared, and written again if they differ.
func (s *scrubber) vital() error {
	bad := 0
	err := s.n.disk.call("mend the vital state", func() (err error) {
		bad, err = s.n.log.MendVital()
		return err
	})
	if err == nil && bad > 0 {
		s.n.damaged(Damaged{What: "vital"}, fmt.Sprintf("%d copies of the vital state were damaged: they are written again", bad))
		s.n.mended(Damaged{What: "vital"})
	}
	return err
}

// found is told of a damaged batch; damaged records are the mender's to find.
func (s *scrubber) found(d wal.Damage) {
	if d.Slot == 0 {
		s.n.damaged(Damaged{What: "batch"}, fmt.Sprintf("%s is damaged at %d: the log will be trimmed past it; if this member stops before, it cannot start again and has to be replaced", d.Segment, d.Offset))
	}
}

// snapshot reads the newest snapshot of the machines in memory. If it is damaged another one is due.
func (s *scrubber) snapshot() error {
	slot, _ := s.n.files.latest()
	if slot == 0 {
		return nil
	}
	err := s.n.files.read(slot, s.n.cfg.Cluster, verifyPaced(s.read))
	if newer, _ := s.n.files.latest(); err == nil || errors.Is(err, ErrClosed) || newer != slot {
		if errors.Is(err, ErrClosed) {
			return err
		}
		return nil
	}
	s.n.damaged(Damaged{What: "snapshot", Slot: slot}, "this member's snapshot is damaged ("+err.Error()+"): another one is written")
	s.n.files.forget()
	s.n.apply.grown.Store(snapshotDue)
	return nil
}

// read waits for its turn to read so many bytes.
func (s *scrubber) read(bytes int) error {
	s.bytes += int64(bytes)
	return s.wait(s.pace.reserve(bytes, time.Now()))
}

func (s *scrubber) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.n.closing:
	case <-s.n.done:
	}
	return ErrClosed
}
