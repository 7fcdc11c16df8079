package sim

import (
	"bytes"

	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// ledger is what a member's log has acknowledged: every record, promise and vital state must be there after any crash, or be said to be damaged, if the disk has rotted.
type ledger struct {
	records  []*paxos.Record // by LSN, from 1
	last     []paxos.LSN     // by slot: its last record
	writing  []*paxos.Record // under way when the process ended: some of them, from the first on, may be there
	trimmed  paxos.Slot
	promised paxos.Ballot
	boot     uint32
	earlier  paxos.LSN           // the last record that was there when this boot began
	unknown  map[paxos.Slot]bool // said to be damaged, and not repaired since
}

// synced takes note of records that are durable.
func (l *ledger) synced(m *member, records []*paxos.Record) {
	for _, rec := range records {
		l.records = append(l.records, rec)
		l.promised = maxBallot(l.promised, rec.Ballot)
		if rec.Slot > 0 && rec.Slot <= slotsMost {
			for int(rec.Slot) >= len(l.last) {
				l.last = append(l.last, 0)
			}
			l.last[rec.Slot] = paxos.LSN(len(l.records))
		}
		if rec.Kind == paxos.RecordChosen {
			m.w.reach(loggedAsChosen)
		}
		if l.unknown[rec.Slot] {
			m.w.reach(unknownRepaired)
			delete(l.unknown, rec.Slot)
		}
		if !m.wiped {
			m.w.history.durable(m, rec)
		}
	}
}

// ofEarlierBoot reports whether a slot's last record is of an earlier boot.
func (l *ledger) ofEarlierBoot(slot paxos.Slot) bool {
	return int(slot) < len(l.last) && l.last[slot] != 0 && l.last[slot] <= l.earlier
}

// delivered checks that what is given to the machine is chosen, and the last thing that the log says of its slot.
func (l *ledger) delivered(m *member, rec *paxos.Record) {
	m.w.history.learn(m, rec)
	if int(rec.Slot) >= len(l.last) || l.last[rec.Slot] == 0 || !bytes.Equal(l.records[l.last[rec.Slot]-1].Value, rec.Value) {
		m.w.violate("what is delivered is in the log", "member %d delivers slot %d, whose last durable record does not have the value", m.id, rec.Slot)
	}
}

// checkVital holds the vital state that a member starts with against what it has had.
func (l *ledger) checkVital(m *member, v wal.Vital) {
	switch {
	case v.Boot <= l.boot:
		m.w.violate("a boot is never repeated", "member %d starts in boot %d after %d", m.id, v.Boot, l.boot)
	case v.Promised.Less(l.promised):
		m.w.violate("a promise survives", "member %d starts with the promise %v and had %v on its disk", m.id, v.Promised, l.promised)
	case v.Trimmed < l.trimmed:
		m.w.violate("a trimmed slot stays trimmed", "member %d starts with slots up to %d trimmed, they were up to %d", m.id, v.Trimmed, l.trimmed)
	case v.Founders == nil && l.boot > 0 && len(l.records) > 0:
		m.w.violate("founders survive", "member %d starts without its list of founders", m.id)
	case v.Incarnation != m.incarnation:
		m.w.violate("an incarnation is for life", "member %d starts as %d and was %d", m.id, v.Incarnation, m.incarnation)
	}
	l.boot, l.trimmed = v.Boot, v.Trimmed
}

// restore gives the replica what the log holds, and checks that this is all that it must hold and nothing else.
func (l *ledger) restore(m *member, log *wal.Log, replica *paxos.Replica) error {
	l.unknown = map[paxos.Slot]bool{}
	for _, u := range log.Unknown() {
		l.unknown[u.Slot] = true
	}
	acknowledged := paxos.LSN(len(l.records))
	l.judgeTail(m, log.Durable())
	next := paxos.LSN(1)
	err := log.Replay(0, func(lsn paxos.LSN, rec *paxos.Record) error {
		for ; next < lsn; next++ {
			l.missing(m, next)
		}
		next = lsn + 1
		if lsn > paxos.LSN(len(l.records)) {
			m.w.violate("the log holds what was written", "member %d finds record %d in its log, it has written %d", m.id, lsn, len(l.records))
		} else if !bytes.Equal(l.records[lsn-1].Seal(), rec.Seal()) {
			m.w.violate("the log holds what was written", "member %d finds another record at %d than it has written: %v of slot %d", m.id, lsn, rec.Kind, rec.Slot)
		}
		if rec.Slot == 0 || rec.Slot > m.holds() {
			replica.Restore(lsn, rec)
		}
		return nil
	})
	for ; err == nil && next <= acknowledged; next++ {
		l.missing(m, next)
	}
	return err
}

// judgeTail takes note of what is there beyond what was acknowledged: records that were being written when the process ended.
func (l *ledger) judgeTail(m *member, durable paxos.LSN) {
	acknowledged := paxos.LSN(len(l.records))
	if durable < acknowledged {
		m.w.violate("what was acknowledged survives", "member %d finds %d records in its log, %d were acknowledged", m.id, durable, acknowledged)
		return
	}
	kept := int(durable - acknowledged)
	if kept > len(l.writing) {
		m.w.violate("the log holds what was written", "member %d finds %d records in its log, it has written at most %d", m.id, durable, int(acknowledged)+len(l.writing))
		return
	}
	if kept < len(l.writing) {
		m.w.reach(tailCut)
	}
	if kept > 0 {
		m.w.reach(tailKept)
	}
	tail := l.writing[:kept]
	l.writing = nil
	l.synced(m, tail)
	l.earlier = durable
}

// missing judges a record that was acknowledged and is not there: a promise is in the vital state as well, a trimmed slot is of no use, and of a damaged one the log must
// say so, unless a later record has replaced it.
func (l *ledger) missing(m *member, lsn paxos.LSN) {
	rec := l.records[lsn-1]
	switch {
	case rec.Slot == 0 && (m.disk.damaged || l.trimmed > 0):
	case rec.Slot > 0 && rec.Slot <= l.trimmed:
	case m.disk.damaged && (l.unknown[rec.Slot] || l.last[rec.Slot] > lsn):
	default:
		m.w.violate("what was acknowledged survives", "member %d does not find record %d in its log: %v of slot %d at %v", m.id, lsn, rec.Kind, rec.Slot, rec.Ballot)
	}
}

func maxBallot(a, b paxos.Ballot) paxos.Ballot {
	if a.Less(b) {
		return b
	}
	return a
}
