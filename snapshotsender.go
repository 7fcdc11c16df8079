package synod

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// snapshotSender sends images of this node's machine to members that ask for them. Its methods are called by the event loop, but for oldest.
type snapshotSender struct {
	n    *Node
	pace pace

	mu      sync.Mutex
	sending map[paxos.NodeID]*outgoing
}

// outgoing is one image on its way to one member.
type outgoing struct {
	s        *snapshotSender
	to       paxos.NodeID
	transfer uint64
	requests chan uint32 // capacity 1: the receiver asks again for what gets lost
	replaced chan struct{}
	slot     paxos.Slot // of the image; guarded by s.mu
	index    uint32     // of the chunk at hand
	wanted   uint32     // the index that was asked for last
	asked    bool       // it has not been sent since
}

const (
	receiversMax  = 2
	imageIdleTime = time.Minute // an image nobody asks for is held this long
)

var (
	errTransferOver = errors.New("the receiver has what it wants, or another transfer")
	errTransferIdle = errors.New("the receiver has not asked for a minute")
)

func newSnapshotSender(n *Node) *snapshotSender {
	return &snapshotSender{n: n, pace: pace{bytesPerSecond: n.cfg.SnapshotRate}, sending: map[paxos.NodeID]*outgoing{}}
}

// onFetch takes a request. The first of a transfer begins it, and ends another one of the same member.
func (s *snapshotSender) onFetch(from paxos.NodeID, f fetchRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.sending[from]
	switch {
	case o != nil && o.transfer == f.transfer:
		select {
		case o.requests <- f.index:
		default:
		}
		return
	case f.index == fetchEnd:
		return
	case f.index > 0:
		s.refuse(from, f, transferGone)
		return
	case s.n.machine == nil:
		s.refuse(from, f, senderHasNone)
		return
	case o == nil && len(s.sending) == receiversMax:
		s.refuse(from, f, senderBusy)
		return
	case o != nil:
		close(o.replaced)
	}
	o = &outgoing{s: s, to: from, transfer: f.transfer, requests: make(chan uint32, 1), replaced: make(chan struct{}), asked: true}
	s.sending[from] = o
	s.n.run(o.run)
}

func (s *snapshotSender) refuse(to paxos.NodeID, f fetchRequest, v verdict) {
	s.n.transport.Send(uint64(to), transport.Background, fetchAnswer{transfer: f.transfer, index: f.index, verdict: v}.encodeHead())
}

// oldest returns the slot of the oldest image that is being sent: the log above it is needed by the receiver. ok is false if there is none.
func (s *snapshotSender) oldest() (slot paxos.Slot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.sending {
		if o.slot > 0 && (!ok || o.slot < slot) {
			slot, ok = o.slot, true
		}
	}
	return slot, ok
}

// run sends an image to its end, or until nobody asks any more.
func (o *outgoing) run() {
	logger := o.s.n.logger.With("peer", hexID(o.to))
	err := o.send()
	o.s.mu.Lock()
	if o.s.sending[o.to] == o {
		delete(o.s.sending, o.to)
	}
	o.s.mu.Unlock()
	switch {
	case errors.Is(err, errTransferOver), errors.Is(err, ErrClosed):
		logger.Info("a snapshot has been sent", "chunks", o.index)
	case err != nil:
		logger.Warn("a snapshot could not be sent", "chunks", o.index, "error", err)
	}
}

func (o *outgoing) send() (err error) {
	n := o.s.n
	sections := n.sections
	if !transferable(sections) {
		sections = nil // who has no machine wants no more than to know who the members are
	}
	taken, err := n.takeImages(sections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, taken.close()) }()
	o.s.mu.Lock()
	o.slot = taken.slot
	o.s.mu.Unlock()
	taken.sections = n.sections
	h := taken.header(n.cfg.Cluster, n.membership.encode())
	n.logger.Info("sending a snapshot", "peer", hexID(o.to), "slot", h.Slot, "about-bytes", h.Bytes)
	return taken.writeTo(h, o.emit)
}

// emit holds a chunk until a later one is asked for, and sends it each time it is asked for itself. It passes over chunks below the one that is asked for: the receiver has them.
func (o *outgoing) emit(chunk []byte) error {
	for o.index >= o.wanted {
		if o.asked {
			if err := o.deliver(chunk); err != nil {
				return err
			}
			o.asked = false
		}
		index, err := o.await()
		if err != nil {
			return err
		}
		if index == fetchEnd || index < o.index {
			return errTransferOver
		}
		o.wanted, o.asked = index, true
	}
	o.index++
	select {
	case <-o.replaced:
		return errTransferOver
	case <-o.s.n.done:
		return ErrClosed
	default:
		return nil
	}
}

// deliver sends the chunk at hand, in its turn.
func (o *outgoing) deliver(chunk []byte) error {
	n := o.s.n
	timer := time.NewTimer(o.s.pace.reserve(len(chunk), time.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.replaced:
		return errTransferOver
	case <-n.done:
		return ErrClosed
	}
	head := fetchAnswer{transfer: o.transfer, index: o.index}.encodeHead()
	n.transport.Send(uint64(o.to), transport.Background, head, bytes.Clone(chunk)) // if it is lost the receiver asks again
	return nil
}

func (o *outgoing) await() (index uint32, err error) {
	timer := time.NewTimer(imageIdleTime)
	defer timer.Stop()
	select {
	case index = <-o.requests:
		return index, nil
	case <-timer.C:
		return 0, errTransferIdle
	case <-o.replaced:
		return 0, errTransferOver
	case <-o.s.n.done:
		return 0, ErrClosed
	}
}
