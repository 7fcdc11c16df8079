package main

import (
	"errors"
	"fmt"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// proofs says, from one member's disk alone, which of its records hold chosen values. A vote is not a choice; these are proofs:
//
//   - The record says so itself: it was learned as chosen.
//   - It is a vote, and a record of the same ballot says that its slot is in the leader's chosen prefix. Another ballot's word
//     does not do: it may be about another value.
//   - This member led, or promised, and said that the slot is in its own chosen prefix: then the last record that its log had for the
//     slot was the chosen one.
type proofs struct {
	first paxos.Slot               // the first that has not been trimmed
	last  paxos.Slot               // the last that anyone said is chosen
	end   paxos.LSN                // the last record that was looked at
	lsn   map[paxos.Slot]paxos.LSN // where each proven slot's value is
}

// ballotVote is one vote of this member.
type ballotVote struct {
	ballot paxos.Ballot
	lsn    paxos.LSN
}

// prover collects evidence record by record, in the order of the log.
type prover struct {
	self      paxos.NodeID
	votes     map[paxos.Slot][]ballotVote
	announced map[paxos.Ballot]paxos.Slot // the chosen prefix that the leader of a ballot said it had
	own       paxos.Slot                  // the chosen prefix that this member itself has said it had
	proofs
}

func newProver(self paxos.NodeID, trimmed paxos.Slot) *prover {
	return &prover{
		self:      self,
		votes:     map[paxos.Slot][]ballotVote{},
		announced: map[paxos.Ballot]paxos.Slot{},
		own:       trimmed,
		proofs:    proofs{first: trimmed + 1, last: trimmed, lsn: map[paxos.Slot]paxos.LSN{}},
	}
}

func (p *prover) record(lsn paxos.LSN, r *paxos.Record) {
	p.end = lsn
	switch r.Kind {
	case paxos.RecordPromise:
		p.settleOwn(r.Chosen)
		p.last = max(p.last, r.Chosen)
	case paxos.RecordChosen:
		p.lsn[r.Slot] = lsn
		p.last = max(p.last, r.Slot)
	case paxos.RecordAccept:
		if r.Ballot.Node == p.self {
			p.settleOwn(r.Chosen)
		}
		p.announced[r.Ballot] = max(p.announced[r.Ballot], r.Chosen)
		p.last = max(p.last, r.Chosen)
		p.votes[r.Slot] = append(p.votes[r.Slot], ballotVote{r.Ballot, lsn})
	}
}

// damaged takes note that a record of a slot is lost: what came before it is not the last record of the slot.
func (p *prover) damaged(slot paxos.Slot) {
	delete(p.votes, slot)
	delete(p.lsn, slot)
}

// settleOwn takes this member's own word that everything up to slot is chosen.
func (p *prover) settleOwn(slot paxos.Slot) {
	for ; p.own < slot; p.own++ {
		s := p.own + 1
		votes := p.votes[s]
		if _, proven := p.lsn[s]; !proven && len(votes) > 0 {
			p.lsn[s] = votes[len(votes)-1].lsn
		}
	}
}

// settle draws the conclusions once every record has been seen.
func (p *prover) settle() proofs {
	for slot, votes := range p.votes {
		for _, v := range votes {
			if _, proven := p.lsn[slot]; !proven && slot <= p.announced[v.ballot] {
				p.lsn[slot] = v.lsn
			}
		}
	}
	return p.proofs
}

// prove reads the log in dir and draws all proofs from it.
func prove(fsys disk.FS, dir string) (proofs, error) {
	vital, err := wal.Dump(fsys, dir, func(wal.Entry) error { return errStop })
	if err != nil && !errors.Is(err, errStop) {
		return proofs{}, err
	}
	p := newProver(vital.Node, vital.Trimmed)
	if _, err := wal.Dump(fsys, dir, func(e wal.Entry) error {
		switch {
		case e.State == wal.Sound:
			p.record(e.LSN, e.Record)
		case e.State == wal.Corrupt && e.Record != nil:
			p.damaged(e.Record.Slot)
		}
		return nil
	}); err != nil {
		return proofs{}, err
	}
	return p.settle(), nil
}

// walkChosen calls chosen for each slot whose value this disk proves, and gap for each before the last proven one that it does not,
// in the order of slots.
func walkChosen(fsys disk.FS, dir string, chosen func(*paxos.Record) error, gap func(paxos.Slot) error) error {
	found, err := prove(fsys, dir)
	if err != nil {
		return err
	}
	o := &ordered{proofs: found, waiting: map[paxos.Slot]*paxos.Record{}, chosen: chosen, gap: gap}
	o.next = o.first
	if _, err := wal.Dump(fsys, dir, o.entry); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return o.finish()
}

// ordered brings proven records from the log's order into that of slots. It holds those that wait for an earlier slot.
type ordered struct {
	proofs
	next    paxos.Slot
	waiting map[paxos.Slot]*paxos.Record
	chosen  func(*paxos.Record) error
	gap     func(paxos.Slot) error
}

func (o *ordered) entry(e wal.Entry) error {
	if e.LSN > o.end {
		return errStop // written since the proofs were drawn
	}
	if e.State == wal.Sound && e.Record.Slot >= o.next && o.lsn[e.Record.Slot] == e.LSN {
		o.waiting[e.Record.Slot] = e.Record
	}
	return o.release()
}

// release passes on what is next, until a record has to be waited for.
func (o *ordered) release() error {
	for o.next <= o.last {
		var err error
		r, here := o.waiting[o.next]
		_, proven := o.lsn[o.next]
		switch {
		case here:
			delete(o.waiting, o.next)
			err = o.chosen(r)
		case !proven:
			err = o.gap(o.next)
		default:
			return nil
		}
		if err != nil {
			return err
		}
		o.next++
	}
	return nil
}

func (o *ordered) finish() error {
	if err := o.release(); err != nil {
		return err
	}
	if o.next <= o.last {
		return fmt.Errorf("slot %d was there and is gone: the log was trimmed meanwhile; dump it again", o.next)
	}
	return nil
}
