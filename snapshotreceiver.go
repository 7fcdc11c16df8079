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
	next     int    // index of the member to ask if the core names none
	spool    *spool // used by the transfer while there is one
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

	spool  *spool
	replay snapshot.Source // of what the spool has; nil unless that is of this snapshot
	kept   uint32          // how many chunks that are
	passed uint32          // how many of them have been taken
	asked  time.Time       // when the sender was last asked for something
	last   fetchAnswer     // the last chunk that has come: it is sound once the one behind it is wanted
	bytes  int64           // of what was kept
}

const (
	fetchPatience  = 10              // attempts at a chunk that does not come, an election timeout each, before its sender is given up
	probePatience  = 5               // the same, if it is not known whether the sender has the image still; it may take a second to connect again
	fetchTries     = 3               // how often in all a chunk is asked for that comes damaged
	progressPeriod = 5 * time.Second // between two lines about a transfer
)

// begin fetches a snapshot from a member and installs it, unless one is being fetched already. Without a machine it fetches only what goes with one, and skips everything up to a slot.
func (r *snapshotReceiver) begin(from paxos.NodeID, skip paxos.Slot) {
	if r.current != nil || r.n.transport == nil || r.n.machine != nil && !transferable(r.n.sections) {
		return
	}
	in := &incoming{n: r.n, spool: r.spool, from: from, transfer: rand.Uint64(), answers: make(chan fetchAnswer, 1), began: time.Now(), told: time.Now()}
	if r.spool.transfer != 0 && r.n.contacts.address(r.spool.from) != "" {
		in.from, in.transfer = r.spool.from, r.spool.transfer // it may have its image still
	}
	run := in.run
	if r.n.machine == nil {
		run = func() error { return in.skip(skip) }
	}
	r.occupy(in, func() {
		err := run()
		r.progress.Store(nil)
		if err != nil && !errors.Is(err, ErrClosed) {
			r.n.logger.Warn("no snapshot from this member: another attempt follows", "peer", hexID(in.from), "error", err)
		}
	})
}

// occupy does something that no transfer may be under way beside.
func (r *snapshotReceiver) occupy(in *incoming, do func()) {
	r.current = in
	r.n.run(func() {
		do()
		r.n.inbox.call(func() { r.current = nil })
	})
}

// tidy removes what is left of a transfer when the machines have come as far by themselves.
func (r *snapshotReceiver) tidy() {
	if r.current == nil && r.spool.holds() && r.spool.slot <= r.n.apply.appliedSlot() {
		r.occupy(&incoming{}, r.spool.discard)
	}
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

// run fetches the snapshot and installs it. What an earlier attempt has kept is forgotten if it is of no use.
func (in *incoming) run() error {
	err := in.fetchAndInstall()
	if err == nil || in.replay != nil && in.last.chunk == nil && !errors.Is(err, ErrClosed) {
		in.spool.discard()
	}
	return err
}

func (in *incoming) fetchAndInstall() error {
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
	in.spool.slot = h.Slot
	in.n.logger.Info("fetching a snapshot", "peer", hexID(in.from), "slot", h.Slot, "about-bytes", h.Bytes, "chunks-kept", in.kept)
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
	done := Installed{From: in.from, Slot: h.Slot, Bytes: in.received, Kept: in.bytes, Duration: time.Since(in.began)}
	in.n.logger.Info("a snapshot is installed", "peer", hexID(in.from), "slot", h.Slot, "bytes", in.received, "took", done.Duration.Round(time.Millisecond))
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

// chunk is the source of the stream: what was kept, then what the sender has.
func (in *incoming) chunk(index uint32) ([]byte, error) {
	if in.last.chunk != nil && index == in.last.index+1 {
		in.spool.keep(in.last.index, in.last.chunk)
	}
	if index == 0 && in.last.chunk == nil {
		if chunk, err := in.begin(); chunk != nil || err != nil {
			return chunk, err
		}
	}
	if index < in.kept {
		return in.replayed(index)
	}
	chunk, err := in.fetch(index)
	if err == nil {
		in.last = fetchAnswer{index: index, chunk: chunk}
		in.received += int64(len(chunk))
	}
	return chunk, err
}

// begin finds out whether what was kept is of this snapshot: the sender still has the transfer that it is of, or one that begins with the same chunk. If neither is so it returns the first chunk.
func (in *incoming) begin() (first []byte, err error) {
	if in.transfer == in.spool.transfer {
		if _, err := in.fetchWithin(probePatience, in.spool.chunks); err != nil {
			in.spool.transfer = 0
			return nil, err
		}
		in.resume()
		return nil, nil
	}
	if first, err = in.fetch(0); err != nil {
		return nil, err
	}
	if in.spool.begins(first) {
		in.resume()
		if err := in.spool.belong(in.from, in.transfer); err != nil {
			in.spool.lose(err)
		}
		in.send(in.kept) // it passes over the rest meanwhile
		return nil, nil
	}
	in.spool.begin(in.from, in.transfer)
	in.last = fetchAnswer{chunk: first}
	in.received += int64(len(first))
	return first, nil
}

func (in *incoming) resume() { in.replay, in.kept = in.spool.source(), in.spool.chunks }

// replayed returns a chunk that was kept. The sender is told now and then that it is to hold its image.
func (in *incoming) replayed(index uint32) ([]byte, error) {
	if index != in.passed {
		return nil, fmt.Errorf("what was kept of it is damaged at chunk %d: it is fetched from its beginning", index)
	}
	if time.Since(in.asked) > imageIdleTime/4 {
		in.send(in.kept)
	}
	chunk, err := in.replay(index)
	in.passed++
	in.bytes += int64(len(chunk))
	in.received += int64(len(chunk))
	return chunk, err
}

// fetch asks for a chunk until it comes.
func (in *incoming) fetch(index uint32) ([]byte, error) {
	return in.fetchWithin(fetchPatience, index)
}

func (in *incoming) fetchWithin(patience int, index uint32) ([]byte, error) {
	for range patience {
		in.send(index)
		a, err := in.await(index)
		if err != nil {
			return nil, err
		}
		if a.chunk != nil {
			return a.chunk, nil
		}
	}
	return nil, fmt.Errorf("it has not sent chunk %d for %v", index, time.Duration(patience)*in.n.cfg.ElectionTimeout)
}

func (in *incoming) send(index uint32) {
	in.asked = time.Now()
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
