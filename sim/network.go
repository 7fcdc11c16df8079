package sim

import (
	"math/rand/v2"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// network carries frames between members, one link for each direction. What a link does with a frame is drawn by the link's own generator.
type network struct {
	w       *world
	links   []link // from·members + to
	packets []packet
	free    []int32 // of packets
	decoder transport.FrameDecoder
	old     []packet // to be replayed: in the first half the last ones sent, in the other some of all
	oldRand *rand.Rand
	sent    uint64

	message *paxos.Message // the last one sent, and its frame: one frame serves all receivers
	frame   []byte
	pieces  [][]byte
}

type link struct {
	cut     bool
	clogged int64 // nothing arrives before
	last    int64 // when the last frame arrives, if frames keep their order
	life    uint32
	broken  uint64 // of the connections up to life, frames from this number on are lost
	rand    *rand.Rand
}

// packet is a frame on its way.
type packet struct {
	frame       []byte
	number      uint64
	life        uint32 // of its connection
	boot        uint32 // of its sender
	incarnation paxos.Incarnation
	class       transport.Class
	from, to    uint8
	replayed    bool
	damaged     bool
}

// oldMost bounds the frames kept for replay.
const oldMost = 512

func newNetwork(w *world) *network {
	n := w.cfg.nodes()
	net := &network{w: w, links: make([]link, n*n), oldRand: derive(w.seed, "old messages", 0)}
	for i := range net.links {
		net.links[i].rand = derive(w.seed, "link", i)
	}
	return net
}

func (n *network) link(from, to int) *link { return &n.links[from*len(n.w.members)+to] }

// send gives a message to the link. It reports false if it has certainly not been sent.
func (n *network) send(m *member, out paxos.Outgoing) bool {
	to := int(out.To) - 1
	l := n.link(m.index, to)
	if (l.cut || !n.w.members[to].up()) && out.Message.Kind == paxos.Forward && oneIn(l.rand, 2) {
		n.w.faults[unsent]++
		return false
	}
	if out.Message != n.message {
		n.encode(out.Message)
	}
	n.sent++
	p := packet{frame: n.frame, number: n.sent, life: l.life, boot: m.boot, incarnation: m.incarnation,
		class: transport.Class(out.Message.Stream()), from: uint8(m.index), to: uint8(to)}
	n.keep(p)
	switch {
	case l.cut:
		n.w.faults[cut]++
		return true
	case !n.w.calm && perMille(l.rand, n.w.cfg.Loss):
		n.w.faults[lost]++
		return true
	}
	n.carry(l, p)
	for !n.w.calm && perMille(l.rand, n.w.cfg.Duplicate) {
		n.w.faults[duplicated]++
		n.carry(l, p)
	}
	return true
}

func (n *network) encode(m *paxos.Message) {
	n.pieces = paxos.AppendMessage(n.pieces[:0], m)
	size := 16
	for _, piece := range n.pieces {
		size += len(piece)
	}
	n.message, n.frame = m, transport.AppendFrame(make([]byte, 0, size), transport.Class(m.Stream()), n.pieces...)
}

// keep remembers a packet for replay: each for a while, and for long each as likely as any other.
func (n *network) keep(p packet) {
	if n.w.cfg.Faults[Replay] == 0 {
		return
	}
	if n.old == nil {
		n.old = make([]packet, oldMost)
	}
	n.old[n.sent%(oldMost/2)] = p
	if i := n.oldRand.Uint64N(n.sent); i < oldMost/2 {
		n.old[oldMost/2+i] = p
	}
}

// carry puts a packet on its way.
func (n *network) carry(l *link, p packet) {
	delay, mean := n.w.cfg.DelayLeast, n.w.cfg.DelayMean
	if n.w.calm {
		delay, mean = calmDelay, calmDelay
	}
	at := max(n.w.now+delay+around(l.rand, mean), l.clogged)
	if !n.w.calm && perMille(l.rand, n.w.cfg.Late) {
		at += l.rand.Int64N(3 * int64(n.w.cfg.SuspectTicks) * tickMicros)
		n.w.faults[delayed]++
	}
	if n.w.cfg.Ordered {
		at = max(at, l.last)
		l.last = at
	}
	if !n.w.calm && perMille(l.rand, n.w.cfg.Corrupt) {
		p.frame, p.damaged = damage(l.rand, p.frame), true
		n.w.faults[corrupted]++
	}
	n.w.queue.push(event{at: at, kind: evDeliver, member: p.to, arg: n.hold(p)})
}

// damage returns a copy of a frame with up to three bytes in a row changed: a burst that a CRC-32 never misses.
func damage(r *rand.Rand, frame []byte) []byte {
	frame = append([]byte(nil), frame...)
	at := r.IntN(len(frame))
	for i := range min(1+r.IntN(3), len(frame)-at) {
		frame[at+i] ^= byte(1 + r.IntN(255))
	}
	return frame
}

func (n *network) hold(p packet) int32 {
	if last := len(n.free) - 1; last >= 0 {
		i := n.free[last]
		n.free = n.free[:last]
		n.packets[i] = p
		return i
	}
	n.packets = append(n.packets, p)
	return int32(len(n.packets) - 1)
}

func (n *network) take(i int32) packet {
	p := n.packets[i]
	n.packets[i].frame = nil
	n.free = append(n.free, i)
	return p
}

// arrive returns the message of a packet that arrives, or nil if it is lost on the way or damaged.
func (n *network) arrive(p *packet) *paxos.Message {
	l := n.link(int(p.from), int(p.to))
	switch {
	case p.replayed:
	case l.cut:
		n.w.faults[cut]++
		return nil
	case p.life < l.life && p.number >= l.broken:
		n.w.faults[cutOff]++
		n.w.reach(suffixLost)
		return nil
	}
	payload, err := n.decoder.Decode(p.frame, p.class)
	if err != nil {
		n.w.reach(frameRejected)
		n.breakLink(int(p.from), int(p.to))
		return nil
	}
	if p.damaged {
		n.w.violate("damage is noticed", "a damaged frame from member %d to %d is taken for a sound one", p.from+1, p.to+1)
	}
	m, err := paxos.DecodeMessage(payload)
	if err != nil {
		n.w.violate("the codec reads what it wrote", "a frame from member %d to %d is sound and its message is not: %v", p.from+1, p.to+1, err)
	}
	return m
}

// breakLink breaks the connections between two members: what was on its way is lost from some frame on, and both sides hear of it.
func (n *network) breakLink(a, b int) {
	if a == b {
		return
	}
	for _, l := range []*link{n.link(a, b), n.link(b, a)} {
		l.broken = n.sent - min(n.sent, l.rand.Uint64N(40))
		l.life++
	}
	n.tellBoth(a, b, evBroken, 100)
	n.tellBoth(a, b, evConnected, 200)
}

// tellBoth lets two members learn, after so long, what has become of the connections between them, if they live until then.
func (n *network) tellBoth(a, b int, what eventKind, after int64) {
	for _, end := range []struct{ m, peer int }{{a, b}, {b, a}} {
		n.w.queue.push(event{at: n.w.now + after, kind: what, member: uint8(end.m), life: n.w.members[end.m].life, arg: int32(end.peer)})
	}
}

// partition cuts the links whose bits are set, and no others.
func (n *network) partition(bits uint64) {
	for i := range n.links {
		n.links[i].cut = bits>>i&1 == 1
	}
}

// replay sends old packets again, those of earlier boots included.
func (n *network) replay(count int, r *rand.Rand) {
	for range min(count, len(n.old)) {
		p := n.old[r.IntN(len(n.old))]
		if p.frame == nil {
			continue
		}
		p.replayed = true
		n.w.queue.push(event{at: n.w.now + 1 + r.Int64N(2000), kind: evDeliver, member: p.to, arg: n.hold(p)})
		n.w.faults[duplicated]++
	}
}
