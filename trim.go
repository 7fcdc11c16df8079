package synod

import (
	"errors"
	"fmt"
	"math"
	"time"

	"synod.dev/synod/paxos"
)

// keeper keeps the log within its bounds: it snapshots the machines in memory, has those with a disk flush, and trims what all of them hold durably.
type keeper struct {
	n       *Node
	memory  []*section
	flushed paxos.Slot // what was applied when the machines were last told to flush
	warned  time.Time  // when the operator was last told that others keep the log from being trimmed
}

// trimPeriod is how often the keeper looks.
const trimPeriod = 100 * time.Millisecond

// warnPeriod is how long it is between two warnings that the log grows because others lack what is in it.
const warnPeriod = time.Minute

// witnessSegments is how many segments a member without a machine keeps at least: it serves those that lag only with what nobody else may have.
const witnessSegments = 2

// sendingFactor bounds the log that is kept for a member that is being sent a snapshot, in units of LogBytes.
const sendingFactor = 4

// snapshotDue, as what the log has grown by, makes a snapshot due whatever its size.
const snapshotDue = math.MaxInt64 / 2

// run looks until the node ends.
func (k *keeper) run() {
	if k.n.machine != nil && !transferable(k.n.sections) {
		return // its log is all there is
	}
	ticker := time.NewTicker(trimPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-k.n.done:
			return
		}
		err := k.snapshot()
		if err == nil {
			err = k.trimSpoiled()
		}
		if err == nil {
			err = k.trim()
		}
		if err != nil && !errors.Is(err, ErrClosed) {
			k.n.Fail(err)
			return
		}
	}
}

// snapshot writes a snapshot of the machines in memory if enough has been applied since the last.
func (k *keeper) snapshot() error {
	_, size := k.n.files.latest()
	grown := k.n.apply.grown.Load()
	if len(k.memory) == 0 || grown < max(k.n.cfg.SnapshotBytes, size) {
		return nil
	}
	began := time.Now()
	taken, err := k.n.takeImages(k.memory)
	if err != nil {
		return err
	}
	k.n.apply.grown.Add(-grown) // what has come since counts for the next one
	bytes, err := k.write(taken)
	if err := errors.Join(err, taken.close()); err != nil {
		return fmt.Errorf("cannot write the snapshot of slot %d: %w", taken.slot, err)
	}
	done := Snapshotted{Slot: taken.slot, Bytes: bytes, Duration: time.Since(began)}
	k.n.logger.Info("a snapshot is written", "slot", done.Slot, "bytes", done.Bytes, "took", done.Duration.Round(time.Millisecond))
	if e := k.n.cfg.Events; e != nil && e.Snapshotted != nil {
		e.Snapshotted(done)
	}
	return nil
}

func (k *keeper) write(taken *images) (bytes int64, err error) {
	file, err := k.n.files.create(writtenTemp)
	if err != nil {
		return 0, err
	}
	err = taken.writeTo(taken.header(k.n.cfg.Cluster, k.n.membership.encode()), func(chunk []byte) error {
		select {
		case <-k.n.done:
			return ErrClosed
		default:
			return file.append(chunk)
		}
	})
	if err == nil {
		err = file.seal()
	}
	if err == nil {
		err = k.awaitDisks(taken.slot)
	}
	if err != nil {
		return 0, errors.Join(err, file.discard())
	}
	return file.bytes, file.publish(taken.slot)
}

// awaitDisks waits, if there are sessions, until the machines with a disk hold a slot durably. A table of sessions that is restored ahead of its machine would call commands repeated that the machine has yet to execute.
func (k *keeper) awaitDisks(slot paxos.Slot) error {
	if !k.n.cfg.Sessions {
		return nil
	}
	ticker := time.NewTicker(trimPeriod)
	defer ticker.Stop()
	for {
		durable, err := k.onDisk()
		if err != nil {
			return fmt.Errorf("cannot tell what of the state machine is durable: %w", err)
		}
		if durable >= slot {
			return nil
		}
		if err := k.flush(durable); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-k.n.done:
			return ErrClosed
		}
	}
}

// trim trims the log if it is over its bound.
func (k *keeper) trim() error {
	n := k.n
	size, bytes := n.log.Size(), n.cfg.LogBytes
	if n.machine == nil {
		bytes = min(bytes, witnessSegments*n.cfg.SegmentBytes)
	}
	view := n.view.Load()
	if size <= bytes || view == nil {
		return nil
	}
	durable, err := k.durable()
	if err != nil {
		return fmt.Errorf("cannot tell what of the state machine is durable: %w", err)
	}
	limit := min(durable, view.TrimLimit)
	if sent, ok := n.sender.oldest(); ok && size <= sendingFactor*n.cfg.LogBytes {
		limit = min(limit, sent)
	}
	keep := bytes / 2
	point := n.log.TrimPoint(keep, limit)
	if point == 0 && n.log.TrimPoint(keep, durable) == 0 && n.log.TrimPoint(keep, n.apply.appliedSlot()) > 0 {
		return k.flush(durable)
	}
	if point == 0 {
		k.warn(size, view.TrimLimit < durable && n.log.TrimPoint(keep, durable) > 0)
		return nil
	}
	if err := n.keepReleased(); err != nil {
		return err
	}
	if err := n.disk.trim(point); err != nil {
		return err
	}
	n.logger.Info("the log is trimmed", "slot", point, "kept-bytes", n.log.Size())
	if e := n.cfg.Events; e != nil && e.Trimmed != nil {
		e.Trimmed(point)
	}
	return nil
}

// warn tells the operator now and then that the log grows for want of others.
func (k *keeper) warn(size int64, retained bool) {
	if retained && time.Since(k.warned) > warnPeriod {
		k.warned = time.Now()
		k.n.logger.Warn("the log cannot be trimmed: too few members hold what is in it for a witness to forget it; bring those back that are behind, or replace them", "bytes", size, "held-by-enough", k.n.view.Load().Released)
	}
}

// trimSpoiled trims the log past a batch that has rotted beyond reading, as soon as the machines hold what it is about: with it in the log, this member could not start again.
func (k *keeper) trimSpoiled() error {
	slot, view := k.n.log.Spoiled(), k.n.view.Load()
	if slot == 0 || view == nil || view.TrimLimit < slot {
		return nil
	}
	durable, err := k.durable()
	if err != nil {
		return err
	}
	if durable < slot {
		if len(k.memory) > 0 {
			k.n.apply.grown.Store(snapshotDue)
		}
		return k.flush(durable)
	}
	if err := k.n.keepReleased(); err != nil {
		return err
	}
	if err := k.n.disk.trim(slot); err != nil {
		return err
	}
	k.n.logger.Warn("the log is trimmed past a damaged batch", "slot", slot)
	k.n.mended(Damaged{What: "batch", Slot: slot})
	return nil
}

// durable returns the slot up to which every machine would survive a crash; without one, up to which everything is known to be chosen.
func (k *keeper) durable() (slot paxos.Slot, err error) {
	if k.n.machine == nil {
		return k.n.view.Load().Delivered, nil
	}
	if slot, err = k.onDisk(); err == nil && len(k.memory) > 0 {
		newest, _ := k.n.files.latest()
		slot = min(slot, newest)
	}
	return slot, err
}

// onDisk returns the slot up to which every machine with a disk of its own would.
func (k *keeper) onDisk() (slot paxos.Slot, err error) {
	slot = math.MaxUint64
	for _, s := range k.n.sections {
		if s.durable == nil {
			continue
		}
		own, err := s.durable.Durable()
		if err != nil {
			return 0, err
		}
		slot = min(slot, own)
	}
	return slot, nil
}

// flush tells the machines with a disk to make durable what they have applied, unless they are at it: what they hold in memory alone is all that keeps the log from being trimmed.
func (k *keeper) flush(durable paxos.Slot) error {
	if durable < k.flushed {
		return nil
	}
	alive := k.n.apply.do(func() {
		k.flushed = k.n.apply.appliedSlot()
		for _, s := range k.n.sections {
			if s.durable == nil {
				continue
			}
			if marker, ok := s.machine.(SlotMarker); ok {
				marker.Advance(k.flushed)
			}
			s.durable.Flush()
		}
	})
	if !alive {
		return ErrClosed
	}
	return nil
}
