package crashimage

import (
	"errors"
	"fmt"
	"slices"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// ledger is what a log has been told and what it has answered. It is copied by value for each image: the slice only ever grows, or
// is replaced.
type ledger struct {
	options  wal.Options
	appended []*paxos.Record // by LSN, from 1
	synced   int             // how many of them a sync, or a recovery, has vouched for
	settled  int             // how many of them were so before the last batch: rot may cost that batch and no more
	promised paxos.Ballot    // that was durable
	boot     uint32          // that an Open has returned with
	trimming paxos.Slot      // that a Trim has been asked for
	trimmed  paxos.Slot      // that a Trim has returned for
	founders string          // that were durable
	founding string          // that were asked for
}

// judge recovers an image, recovers it again after a kill, and goes on with it over one more cut.
func (g ledger) judge(m *disk.Mem) error {
	l, err := wal.Open(m, dir, g.options)
	if err != nil {
		return fmt.Errorf("recovery refuses: %w", err)
	}
	if err := g.judgeVital(l.Vital()); err != nil {
		return err
	}
	found := int(l.Durable())
	switch {
	case found < g.synced || found > len(g.appended):
		return fmt.Errorf("%d records, and %d of %d were synced", found, g.synced, len(g.appended))
	case len(l.Unknown()) != 0:
		return fmt.Errorf("unknown %v without any rot", l.Unknown())
	}
	if err := g.judgeRecords(l, false); err != nil {
		return err
	}
	g.recovered(l)
	return g.judgeSequel(m)
}

// recovered notes what an Open has vouched for.
func (g *ledger) recovered(l *wal.Log) {
	v := l.Vital()
	g.appended = slices.Clip(g.appended[:l.Durable()])
	g.synced, g.settled = len(g.appended), len(g.appended)
	g.promised, g.boot = v.Promised, v.Boot
	g.trimmed, g.trimming = v.Trimmed, v.Trimmed
	g.founders = string(v.Founders)
}

// sequelSlot is above those of any life, and its value so long that it needs a segment of its own or nearly.
const sequelSlot, sequelBytes = 1 << 20, 3900

// judgeSequel kills the process that has just recovered: the next one must find the same. Then that one takes a batch more, and the power fails in the
// harshest way.
func (g ledger) judgeSequel(m *disk.Mem) error {
	m.Kill()
	l, err := wal.Open(m, dir, g.options)
	if err != nil {
		return fmt.Errorf("recovered, killed, and then it refuses: %w", err)
	}
	if int(l.Durable()) != len(g.appended) {
		return fmt.Errorf("recovered %d records, was killed, and then recovers %d", len(g.appended), l.Durable())
	}
	g.recovered(l)
	g.appended = append(g.appended, accept(sequelSlot, g.promised.Round+1, sequelBytes))
	if _, err := l.Append(g.appended[len(g.appended)-1:]); err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	g.synced, g.promised = len(g.appended), g.appended[len(g.appended)-1].Ballot
	if l, err = wal.Open(m.Crash(disk.DropAll), dir, g.options); err != nil {
		return fmt.Errorf("recovered, took one batch more, lost power, and then it refuses: %w", err)
	}
	if int(l.Durable()) != g.synced {
		return fmt.Errorf("recovered, took one batch more, %d records in all, lost power, and has %d", g.synced, l.Durable())
	}
	if err := g.judgeVital(l.Vital()); err != nil {
		return fmt.Errorf("recovered, took one batch more, lost power: %w", err)
	}
	return g.judgeRecords(l, false)
}

func (g ledger) judgeVital(v wal.Vital) error {
	switch {
	case v.Boot <= g.boot:
		return fmt.Errorf("boot %d again", v.Boot)
	case v.Promised.Less(g.promised):
		return fmt.Errorf("promised %v, and it was %v", v.Promised, g.promised)
	case v.Trimmed < g.trimmed || v.Trimmed > g.trimming:
		return fmt.Errorf("trimmed %d, and it was %d to %d", v.Trimmed, g.trimmed, g.trimming)
	case string(v.Founders) != g.founders && string(v.Founders) != g.founding:
		return fmt.Errorf("founders %q, and they were %q", v.Founders, g.founders)
	}
	return nil
}

// judgeRecords holds what is served against what was appended: nothing is missing, nothing is made up, and a slot's last record is the one that is read.
// With rot an earlier record may be missing, and the last one be unknown.
func (g ledger) judgeRecords(l *wal.Log, rotten bool) error {
	found := g.appended[:l.Durable()]
	seen := make([]bool, len(found)+1)
	if err := l.Replay(0, func(lsn paxos.LSN, r *paxos.Record) error { return isAsWritten(found, seen, lsn, r) }); err != nil {
		return err
	}
	last := map[paxos.Slot]*paxos.Record{}
	for i, r := range found {
		if r.Slot > l.Vital().Trimmed && !seen[i+1] && !rotten {
			return fmt.Errorf("LSN %d of slot %d is missing", i+1, r.Slot)
		}
		last[r.Slot] = r
	}
	delete(last, 0)
	for slot, want := range last {
		if err := judgeRead(l, slot, want); err != nil {
			return err
		}
	}
	return nil
}

func isAsWritten(found []*paxos.Record, seen []bool, lsn paxos.LSN, r *paxos.Record) error {
	if int(lsn) > len(found) || !slices.Equal(r.Seal(), found[lsn-1].Seal()) {
		return fmt.Errorf("LSN %d is %v of slot %d, which was not written there", lsn, r.Kind, r.Slot)
	}
	seen[lsn] = true
	return nil
}

func judgeRead(l *wal.Log, slot paxos.Slot, want *paxos.Record) error {
	got, err := l.Read(slot)
	switch {
	case slot <= l.Vital().Trimmed:
		if !errors.Is(err, wal.ErrTrimmed) {
			return fmt.Errorf("trimmed slot %d is read: %v, %v", slot, got, err)
		}
	case errors.Is(err, wal.ErrUnknown) && isUnknown(l, slot):
	case err != nil || !slices.Equal(got.Seal(), want.Seal()):
		return fmt.Errorf("slot %d is read as %v, %v", slot, got, err)
	}
	return nil
}

func isUnknown(l *wal.Log, slot paxos.Slot) bool {
	return slices.ContainsFunc(l.Unknown(), func(u wal.UnknownSlot) bool { return u.Slot == slot })
}

// judgeRotten recovers an image with a changed byte. It may refuse, and it may call slots unknown; and the last batch may be gone. What it serves was
// written, and what is gone is said to be gone.
func (g ledger) judgeRotten(m *disk.Mem) error {
	l, err := wal.Open(m, dir, g.options)
	if errors.Is(err, wal.ErrMayNotVote) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recovery refuses, and not because it may not vote: %w", err)
	}
	if err := g.judgeVital(l.Vital()); err != nil {
		return err
	}
	if found := int(l.Durable()); found < g.settled || found > len(g.appended) {
		return fmt.Errorf("%d records, and %d of %d were synced before the last batch", found, g.settled, len(g.appended))
	}
	for _, u := range l.Unknown() {
		if !slices.ContainsFunc(g.appended, func(r *paxos.Record) bool { return r.Slot == u.Slot }) {
			return fmt.Errorf("slot %d is unknown, and nothing was ever written of it", u.Slot)
		}
	}
	return g.judgeRecords(l, true)
}
