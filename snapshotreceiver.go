package synod

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
	"synod.dev/synod/transport"
)

// snapshotReceiver fetches snapshots, one at a time. Its methods are called by the event loop.
type snapshotReceiver struct {
	n        *Node
	current  *incoming
	next     int // index of the member to ask if the core names none
	progress atomic.Pointer[Transfer]
}

// incoming is one snapshot on its way here.
type incoming struct {
	n        *Node
	from     paxos.NodeID
	transfer uint64
	answers  chan fetchAnswer // capacity 1: what does not fit is asked for again
	began    time.Time
	received int64
	told     time.Time // when the operator was last told of the progress
}

const (
	fetchPatience  = 10              // attempts at a chunk that does not come, an election timeout each, before its sender is given up
	fetchTries     = 3               // how often in all a chunk is asked for that comes damaged
	progressPeriod = 5 * time.Second // between two lines about a transfer
)

// begin fetches a snapshot from a member and installs it, unless one is being fetched already. Without a machine it fetches only what goes with one, and skips everything up to a slot.
func (r *snapshotReceiver) begin(from paxos.NodeID, skip paxos.Slot) {
	if r.current != nil || r.n.transport == nil || r.n.machine != nil && !transferable(r.n.sections) {
		return
	}
	in := &incoming{n: r.n, from: from, transfer: rand.Uint64(), answers: make(chan fetchAnswer, 1), began: time.Now(), told: time.Now()}
	r.current = in
	r.n.run(func() {
		run := in.run
		if r.n.machine == nil {
			run = func() error { return in.skip(skip) }
		}
		err := run()
		r.progress.Store(nil)
		if err != nil && !errors.Is(err, ErrClosed) {
			r.n.logger.Warn("no snapshot from this member: another attempt follows", "sender", fmt.Sprintf("%x", uint64(from)), "reason", err.Error())
		}
		r.n.inbox.call(func() { r.current = nil })
	})
}

// beginAnywhere is begin with the next of the other members.
func (r *snapshotReceiver) beginAnywhere() {
	if r.current != nil {
		return
	}
	if peers := r.n.contacts.all(); len(peers) > 0 {
		r.begin(paxos.NodeID(peers[r.next%len(peers)].Node), 0)
		r.next++
	}
}

func (r *snapshotReceiver) onChunk(from paxos.NodeID, a fetchAnswer) {
	if in := r.current; in != nil && in.from == from && in.transfer == a.transfer {
		select {
		case in.answers <- a:
		default:
		}
	}
}

// run fetches the snapshot and installs it.
func (in *incoming) run() error {
	r, err := snapshot.NewReader(in.chunk, fetchTries)
	if err != nil {
		return err
	}
	h := r.Header()
	if err := in.n.accepts(h); err != nil {
		return err
	}
	configurations, err := in.n.membership.accept(h.Configuration)
	if err != nil {
		return err
	}
	in.n.logger.Info("fetching a snapshot", "sender", fmt.Sprintf("%x", uint64(in.from)), "slot", h.Slot, "about_bytes", h.Bytes)
	in.show(h)
	rc, err := in.n.receive(r, in.show)
	if err != nil {
		return err
	}
	rc.configurations = configurations
	in.send(fetchEnd)
	if err := in.n.install(rc); err != nil {
		return err
	}
	done := Installed{From: in.from, Slot: h.Slot, Bytes: in.received, Duration: time.Since(in.began)}
	in.n.logger.Info("a snapshot is installed", "sender", fmt.Sprintf("%x", uint64(in.from)), "slot", h.Slot, "bytes", in.received, "took", done.Duration.Round(time.Millisecond))
	if e := in.n.cfg.Events; e != nil && e.Installed != nil {
		e.Installed(done)
	}
	return nil
}

// accepts judges a snapshot by its header.
func (n *Node) accepts(h snapshot.Header) error {
	switch applied := n.apply.appliedSlot(); {
	case h.Cluster != n.cfg.Cluster:
		return fmt.Errorf("it is of cluster %x", h.Cluster)
	case !bytes.Equal(h.Sections, idsOf(n.sections)):
		return fmt.Errorf("it has the state machines %v, this member has %v: run the same version on all members", h.Sections, idsOf(n.sections))
	case h.Slot <= applied || h.Slot < n.apply.lacks():
		return fmt.Errorf("it is of slot %d, and slot %d is needed", h.Slot, max(applied+1, n.apply.lacks()))
	}
	return nil
}

func (in *incoming) show(h snapshot.Header) {
	in.n.receiver.progress.Store(&Transfer{From: in.from, Slot: h.Slot, Bytes: in.received, Total: int64(h.Bytes)})
	if time.Since(in.told) >= progressPeriod {
		in.told = time.Now()
		in.n.logger.Info(fmt.Sprintf("fetching a snapshot from member %x: %d of about %d MiB", uint64(in.from), in.received>>20, h.Bytes>>20))
	}
}

// chunk is the source of the stream: it asks for a chunk until it comes.
func (in *incoming) chunk(index uint32) ([]byte, error) {
	for range fetchPatience {
		in.send(index)
		a, err := in.await(index)
		if err != nil {
			return nil, err
		}
		if a.chunk != nil {
			in.received += int64(len(a.chunk))
			return a.chunk, nil
		}
	}
	return nil, fmt.Errorf("it has not sent chunk %d for %v", index, fetchPatience*in.n.cfg.ElectionTimeout)
}

func (in *incoming) send(index uint32) {
	in.n.transport.Send(uint64(in.from), transport.Control, fetchRequest{in.transfer, index}.encode())
}

// await waits for the answer to a request, and returns the zero answer if it does not come for a while.
func (in *incoming) await(index uint32) (fetchAnswer, error) {
	timer := time.NewTimer(in.n.cfg.ElectionTimeout)
	defer timer.Stop()
	for {
		select {
		case a := <-in.answers:
			if a.index != index {
				continue // it was asked for twice
			}
			if a.verdict != chunkGiven {
				return a, errors.New(a.verdict.String())
			}
			return a, nil
		case <-timer.C:
			return fetchAnswer{}, nil
		case <-in.n.done:
			return fetchAnswer{}, ErrClosed
		}
	}
}
