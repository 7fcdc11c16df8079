package synod

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
	"synod.dev/synod/wal"
)

// mender makes good what the disk has lost of chosen slots: it asks the other members for the record, each in turn, and has the core log it again. Of a slot that has not been delivered here the value
// is not known to be the chosen one; that is the core's own business, which learns it or votes again.
type mender struct {
	n       *Node
	wanted  map[paxos.Slot]int // the slots that were found lost, and how often each has been asked for; the run loop's own
	records chan *paxos.Record // capacity mendBatch: what does not fit is asked for again
	serving chan struct{}      // capacity 1: one answer at a time
}

const (
	mendPeriod  = 200 * time.Millisecond // between two rounds of asking
	mendBatch   = 16                     // slots asked for in one round
	mendTries   = 50                     // rounds before a slot that has to be applied is given up
	wantedBytes = 8
)

func newMender(n *Node) *mender {
	return &mender{n: n, wanted: map[paxos.Slot]int{}, records: make(chan *paxos.Record, mendBatch), serving: make(chan struct{}, 1)}
}

// run asks and logs until the node ends.
func (m *mender) run() {
	ticker := time.NewTicker(mendPeriod)
	defer ticker.Stop()
	for {
		select {
		case rec := <-m.records:
			if _, ok := m.wanted[rec.Slot]; ok {
				m.n.inbox.put(paxos.Event{Kind: paxos.Mended, Records: []*paxos.Record{rec}})
			}
		case <-ticker.C:
			m.round()
		case <-m.n.closing:
			return
		case <-m.n.done:
			return
		}
	}
}

// round tells of what has been found and made good since the last, and asks for what is still lost.
func (m *mender) round() {
	lost := map[paxos.Slot]bool{}
	chosen := m.n.apply.chosenSlot()
	asked := 0
	for _, u := range m.n.log.Unknown() {
		lost[u.Slot] = true
		if _, known := m.wanted[u.Slot]; !known {
			m.wanted[u.Slot] = 0
			m.n.damaged(Damaged{What: "record", Slot: u.Slot}, "a record of this member's log is damaged: it is asked for again from the others")
		}
		if u.Slot <= chosen && asked < mendBatch {
			m.ask(u.Slot)
			asked++
		}
	}
	for slot := range m.wanted {
		if !lost[slot] {
			delete(m.wanted, slot)
			m.n.mended(Damaged{What: "record", Slot: slot})
		}
	}
}

// ask asks the next member for a slot.
func (m *mender) ask(slot paxos.Slot) {
	var others []paxos.NodeID
	for _, member := range m.n.Status().Members {
		if !member.Self {
			others = append(others, member.ID)
		}
	}
	if len(others) == 0 || m.n.transport == nil {
		return
	}
	to := others[m.wanted[slot]%len(others)]
	m.wanted[slot]++
	m.n.transport.Send(uint64(to), transport.Control, binary.LittleEndian.AppendUint64([]byte{frameWanted}, uint64(slot)))
}

// onWanted answers a member that asks for a slot, if this one has applied it and still has it: then its last record holds the chosen value.
func (m *mender) onWanted(from paxos.NodeID, payload []byte) {
	if len(payload) < wantedBytes {
		return
	}
	slot := paxos.Slot(binary.LittleEndian.Uint64(payload))
	if slot == 0 || slot > m.n.apply.appliedSlot() {
		return
	}
	select {
	case m.serving <- struct{}{}:
	default:
		return // it asks again
	}
	m.n.run(func() {
		defer func() { <-m.serving }()
		if rec, err := m.n.log.Read(slot); err == nil {
			m.n.transport.Send(uint64(from), transport.Background, []byte{frameRecord}, rec.Seal())
		}
	})
}

// onRecord takes an answer; its checksums are verified, and run knows whether it was asked for.
func (m *mender) onRecord(from paxos.NodeID, payload []byte) {
	rec, _, err := paxos.DecodeRecord(append([]byte(nil), payload...))
	if err != nil {
		if muted, ok := m.n.unreadable.May(time.Now()); ok {
			m.n.logger.Warn("a peer has sent a record that cannot be read: dropped; run the same version on all members", "peer", hexID(from), "error", err, "muted", muted)
		}
		return
	}
	select {
	case m.records <- rec:
	default:
	}
}

// read reads a chosen record of the log for the apply loop. One that is damaged is waited for until it has been made good.
func (m *mender) read(slot paxos.Slot) (*paxos.Record, error) {
	ticker := time.NewTicker(mendPeriod)
	defer ticker.Stop()
	for range mendTries {
		rec, err := m.n.log.Read(slot)
		if !errors.Is(err, wal.ErrUnknown) || len(m.n.cfg.Members) == 1 {
			return rec, err
		}
		select {
		case <-ticker.C:
		case <-m.n.closing:
			return nil, err
		case <-m.n.done:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w, and no other member has sent it: start again, then its state is fetched", wal.ErrUnknown)
}

// damaged tells operator and listener of something that has rotted.
func (n *Node) damaged(d Damaged, what string) {
	n.logger.Warn(what, "kind", d.What, "slot", d.Slot)
	if e := n.cfg.Events; e != nil && e.Damaged != nil {
		e.Damaged(d)
	}
}

// mended tells them that it has been made good.
func (n *Node) mended(d Damaged) {
	n.logger.Info("what was damaged on this member's disk has been made good", "kind", d.What, "slot", d.Slot)
	if e := n.cfg.Events; e != nil && e.Mended != nil {
		e.Mended(d)
	}
}
