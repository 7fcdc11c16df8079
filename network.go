package synod

import (
	"strings"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// network is a node's face to its transport. Each frame begins with a byte that says what it is.
type network struct{ n *Node }

const (
	frameNotice   byte = 1 // of founding
	frameMessage  byte = 2 // of Paxos
	frameCampaign byte = 3 // the leader wants the receiver to take over; see Node.MoveLeader
	frameFetch    byte = 4 // asks for a chunk of a snapshot
	frameChunk    byte = 5 // answers that
	frameWanted   byte = 6 // asks for the chosen record of a slot that the asker's disk has lost
	frameRecord   byte = 7 // answers that
	frameDigests  byte = 8 // of the sender's state after some slots
)

// Admit judges a node by the newest configuration that this one or the other knows; before there is any, by the founders.
func (w *network) Admit(peer transport.Identity, greeting []byte) error {
	id, incarnation := paxos.NodeID(peer.Node), paxos.Incarnation(peer.Incarnation)
	if w.n.contacts.hear(decodeGreeting(greeting)) {
		w.n.inbox.call(w.n.loop.join)
	}
	if judged, err := w.n.contacts.admit(id, incarnation); judged {
		return err
	}
	return w.n.loop.admit(id, incarnation)
}

func (w *network) Receive(peer transport.Identity, _ transport.Class, payload []byte) {
	if len(payload) == 0 {
		return
	}
	from, incarnation := paxos.NodeID(peer.Node), paxos.Incarnation(peer.Incarnation)
	switch payload[0] {
	case frameNotice:
		w.n.inbox.call(func() { w.n.loop.onNotice(from, payload[1:]) })
	case frameMessage:
		m, err := paxos.DecodeMessage(payload[1:])
		if err != nil {
			if muted, ok := w.n.unreadable.May(time.Now()); ok {
				w.n.logger.Warn("a peer has sent a message that cannot be read: dropped; run the same version on all members", "peer", hexID(from), "error", err, "muted", muted)
			}
			return
		}
		w.n.inbox.putMessage(paxos.Event{Kind: paxos.Received, From: from, Incarnation: incarnation, Message: m})
	case frameCampaign:
		if leader, _ := w.n.Leader(); leader == from { // not if it comes late
			w.n.inbox.put(paxos.Event{Kind: paxos.Campaign})
		}
	case frameFetch:
		if f, ok := decodeFetch(payload[1:]); ok {
			w.n.inbox.callForPeer(func() { w.n.sender.onFetch(from, f) })
		}
	case frameWanted:
		w.n.inbox.callForPeer(func() { w.n.mender.onWanted(from, payload[1:]) })
	case frameRecord:
		w.n.inbox.callForPeer(func() { w.n.mender.onRecord(from, payload[1:]) })
	case frameDigests:
		if points, ok := decodeDigests(payload[1:]); ok {
			w.n.comparison.hear(from, points)
		}
	case frameChunk:
		if c, ok := decodeChunk(payload[1:]); ok {
			w.n.inbox.callForPeer(func() { w.n.receiver.onChunk(from, c) })
		}
	}
}

func (w *network) Connected(peer transport.Identity) {
	id := paxos.NodeID(peer.Node)
	w.n.inbox.call(func() { w.n.loop.onConnected(id, paxos.Incarnation(peer.Incarnation)) })
	w.n.inbox.put(paxos.Event{Kind: paxos.Connected, Peer: id})
	if e := w.n.cfg.Events; e != nil && e.PeerUp != nil {
		e.PeerUp(Peer{ID: id, Address: w.n.contacts.address(id)})
	}
}

func (w *network) Disconnected(peer transport.Identity, reason error) {
	id := paxos.NodeID(peer.Node)
	w.n.inbox.put(paxos.Event{Kind: paxos.Disconnected, Peer: id})
	w.n.inbox.call(func() { delete(w.n.loop.met, id) })
	if e := w.n.cfg.Events; e != nil && e.PeerDown != nil {
		e.PeerDown(Peer{ID: id, Address: w.n.contacts.address(id), Reason: reason.Error()})
	}
}

// Refused ends this node if the cluster knows it in another incarnation: its disk has forgotten what it promised; or if it was a member and is none any more. A disk that was never active waits a while: it may be invited,
// and whoever refuses it has not heard of that yet.
func (w *network) Refused(_ uint64, reason string) {
	known := w.n.Membership().Latest != nil
	switch {
	case w.n.contacts.isLate(reason):
	case strings.HasPrefix(reason, errStranger.Error()) && known:
		w.n.Fail(strangerError(reason))
	case strings.HasPrefix(reason, errStranger.Error()):
		w.n.inbox.call(func() { w.n.loop.doubtRefusal(strangerError(reason)) })
	case strings.HasPrefix(reason, errNotMember.Error()+": ") && (known || w.n.loop.isFounder()):
		w.n.Fail(ErrRemoved)
	}
}

type strangerError string

func (e strangerError) Error() string { return "the cluster refuses this member: " + string(e) }

// send gives the core's messages to the transport. A message for several receivers is encoded once. The core is told which commands have not left for the leader;
// whatever else is lost, it sends again by itself.
func (n *Node) send(messages []paxos.Outgoing) {
	var last *paxos.Message
	var pieces [][]byte
	for _, out := range messages {
		if out.Message != last {
			last = out.Message
			pieces = paxos.AppendMessage([][]byte{{frameMessage}}, last)
		}
		sent := n.transport.Send(uint64(out.To), transport.Class(last.Stream()), pieces...)
		if !sent && last.Kind == paxos.Forward {
			n.inbox.put(paxos.Event{Kind: paxos.Unsent, Message: last})
		}
	}
}
