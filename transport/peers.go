package transport

import (
	"fmt"
	"net"
	"slices"
)

// peerSet is the peers at one instant. It is replaced as a whole.
type peerSet struct {
	byNode map[uint64]*peer
	list   []*peer // in the order in which they were given
	ending []*peer // no peers any more, whose connections may not have ended yet
}

// SetPeers replaces the peers. Connections to and from those who are no peers any more end, and so do those of a peer whose address is another one: it is dialled there. It returns at once; the
// Handler may call it.
func (t *Transport) SetPeers(peers []Peer) error {
	if err := validatePeers(t.cfg.Self.Node, peers); err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	t.state.Lock()
	defer t.state.Unlock()
	before := t.peers.Load()
	now := t.replacePeers(before, peers)
	t.peers.Store(now)
	for _, p := range before.list {
		if now.byNode[p.Node] != p {
			p.leave()
		}
	}
	if !t.started || t.context.Err() != nil {
		return nil
	}
	for _, p := range now.list {
		if before.byNode[p.Node] != p {
			t.launch(p)
		}
	}
	return nil
}

// replacePeers makes a set out of the peers there are, where they are as wanted, and new ones. A new one dials when earlier ones of the same node have ended: the Handler hears of one at a time.
func (t *Transport) replacePeers(before *peerSet, wanted []Peer) *peerSet {
	now := &peerSet{byNode: make(map[uint64]*peer, len(wanted))}
	for _, w := range wanted {
		p := before.byNode[w.Node]
		if p == nil || p.Peer != w {
			p = newPeer(t, w)
		}
		now.byNode[p.Node] = p
		now.list = append(now.list, p)
	}
	for _, p := range slices.Concat(before.ending, before.list) {
		if now.byNode[p.Node] == p || p.hasEnded() {
			continue
		}
		now.ending = append(now.ending, p)
		if next := now.byNode[p.Node]; next != nil && before.byNode[p.Node] != next {
			next.after = append(next.after, p)
		}
	}
	return now
}

// launch lets a peer be dialled.
func (t *Transport) launch(p *peer) {
	p.launched = true
	t.running.Go(p.run)
}

func validatePeers(self uint64, peers []Peer) error {
	seen := map[uint64]bool{0: true, self: true}
	for _, p := range peers {
		if seen[p.Node] {
			return fmt.Errorf("peer %x is 0, this node itself, or listed twice: list each other member once", p.Node)
		}
		seen[p.Node] = true
		if network, address := networkOf(p.Address); network == "tcp" {
			if _, _, err := net.SplitHostPort(address); err != nil {
				return fmt.Errorf("address %q of peer %x: %w: write host:port, or unix: and a path", p.Address, p.Node, err)
			}
		}
	}
	return nil
}
