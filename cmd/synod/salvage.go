package main

import (
	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// salvage is what the logs of some disks of one cluster have above a slot. For each slot it holds the value that one of them proves to be chosen, or else, as a new leader would, that of the vote with the highest
// ballot: if the slot was chosen with a vote of these disks, it was with this value or one that is on no disk here.
type salvage struct {
	from  paxos.Slot // the slots above this one
	known paxos.Slot // the last that any disk knows to be chosen
	slots map[paxos.Slot]salvaged
}

// salvaged is what there is for one slot.
type salvaged struct {
	proven bool
	ballot paxos.Ballot // of the vote, unless it is proven
	record *paxos.Record
}

func newSalvage(from paxos.Slot) *salvage {
	return &salvage{from: from, known: from, slots: map[paxos.Slot]salvaged{}}
}

// add takes in the log of one more disk.
func (s *salvage) add(fsys disk.FS, dir string) error {
	found, err := prove(fsys, dir)
	if err != nil {
		return err
	}
	s.known = max(s.known, found.last)
	latest := map[paxos.Slot]*paxos.Record{} // the last record of each slot, unless that is damaged
	if _, err := wal.Dump(fsys, dir, func(e wal.Entry) error {
		switch {
		case e.Record == nil || e.State == wal.Torn || e.Record.Slot <= s.from:
		case e.State == wal.Corrupt:
			delete(latest, e.Record.Slot)
		default:
			e.Record.Value = append(paxos.Value(nil), e.Record.Value...) // which aliases the segment
			latest[e.Record.Slot] = e.Record
			if found.lsn[e.Record.Slot] == e.LSN {
				s.slots[e.Record.Slot] = salvaged{proven: true, record: e.Record}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for slot, r := range latest {
		if held, ok := s.slots[slot]; !ok || !held.proven && held.ballot.Less(r.Ballot) {
			s.slots[slot] = salvaged{ballot: r.Ballot, record: r}
		}
	}
	return nil
}

// reach returns the slots up to which there is something for every slot, and up to which all of it is proven.
func (s *salvage) reach() (proven, held paxos.Slot) {
	proven = s.from
	for held = s.from; ; held++ {
		next, ok := s.slots[held+1]
		if !ok {
			return proven, held
		}
		if next.proven && proven == held {
			proven++
		}
	}
}
