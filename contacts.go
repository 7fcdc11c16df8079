package synod

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// contacts is whom this node connects to, and whom it admits: the members of the newest configurations that it has heard of, in its own log or in a peer's greeting. What a peer says is for the network alone; Paxos believes the log.
// It is safe for concurrent use.
type contacts struct {
	n *Node

	mu      sync.Mutex
	own     []*paxos.Configuration // what the log here says; nil before there is anything
	heard   []*paxos.Configuration // what a peer has said, if it is newer
	retired bool                   // those who are only in the first of two hold nothing any more that the others lack
	wiped   map[paxos.NodeID]bool  // members that have been refused because they come on another disk
}

// Whoever is refused with one of these stops: the refusal is by somebody who knows the latest configuration that either side knows.
//
// It says as of which epoch that is so: who was refused may have heard of a later one meanwhile.
var (
	errStranger  = errors.New("incarnation is not the member's")
	errNotMember = errors.New("removed")
)

const asOf = " as of epoch "

// known returns the newest configurations; nil if none are known.
func (c *contacts) known() []*paxos.Configuration {
	if len(c.heard) > 0 && (len(c.own) == 0 || latestOf(c.heard).Epoch > latestOf(c.own).Epoch) {
		return c.heard
	}
	return c.own
}

func latestOf(known []*paxos.Configuration) *paxos.Configuration { return known[len(known)-1] }

// learn takes what this node's log says.
func (c *contacts) learn(own []*paxos.Configuration, retired bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.own) > 0 && latestOf(c.own) == latestOf(own) && c.retired == retired {
		return
	}
	c.own, c.retired = own, retired
	c.dial()
}

// hear takes what a peer says, and reports whether it is news. The founders are none: who they are each has been told by its operator.
func (c *contacts) hear(said []*paxos.Configuration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(said) == 0 || latestOf(said).Epoch == 0 {
		return false
	}
	if known := c.known(); len(known) > 0 && latestOf(said).Epoch <= latestOf(known).Epoch {
		return false
	}
	c.heard = said
	c.dial()
	return true
}

// dial has the transport connect to those who matter now.
func (c *contacts) dial() {
	if c.n.transport == nil {
		return
	}
	if err := c.n.transport.SetPeers(c.peers()); err != nil {
		c.n.logger.Error("cannot connect to the members: correct their addresses", "error", err)
	}
}

// relevant returns the configurations whose members matter, the latest first.
func (c *contacts) relevant() []*paxos.Configuration {
	var all []*paxos.Configuration
	add := func(known []*paxos.Configuration) {
		for _, config := range slices.Backward(known) {
			all = append(all, config)
		}
	}
	own := c.own
	if c.retired {
		own = own[len(own)-1:]
	}
	if len(c.heard) > 0 && (len(own) == 0 || latestOf(c.heard).Epoch > latestOf(own).Epoch) {
		add(c.heard)
	}
	add(own)
	return all
}

// peers returns the other members with an address.
func (c *contacts) peers() (peers []transport.Peer) {
	add := func(id paxos.NodeID, address string) {
		if id != c.n.cfg.ID && address != "" && !slices.ContainsFunc(peers, func(p transport.Peer) bool { return p.Node == uint64(id) }) {
			peers = append(peers, transport.Peer{Node: uint64(id), Address: address})
		}
	}
	for _, config := range c.relevant() {
		for _, m := range config.Members {
			add(m.ID, m.Address)
		}
	}
	if len(c.known()) == 0 {
		for _, m := range c.n.cfg.Members {
			add(m.ID, m.Address)
		}
	}
	return peers
}

// all returns the other members with an address.
func (c *contacts) all() []transport.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers()
}

// address returns where a node is found; empty if that is not known.
func (c *contacts) address(id paxos.NodeID) string {
	for _, p := range c.all() {
		if p.Node == uint64(id) {
			return p.Address
		}
	}
	return ""
}

// admit judges a node by the newest configuration that lists it. ok is false if no configuration is known.
func (c *contacts) admit(id paxos.NodeID, incarnation paxos.Incarnation) (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	relevant := c.relevant()
	if len(relevant) == 0 {
		return false, nil
	}
	for _, config := range relevant {
		i := config.Index(id)
		if i < 0 {
			continue
		}
		member := config.Members[i].Incarnation
		if member == incarnation || member == 0 && config == relevant[0] {
			delete(c.wiped, id)
			return true, nil
		}
		if config == relevant[0] {
			c.wiped[id] = true
		}
		return true, strangerIn(relevant[0].Epoch, id, member, incarnation)
	}
	return true, fmt.Errorf("%w: node %x is no member of this cluster"+asOf+"%d: remove its data directory; to bring it back, add it", errNotMember, uint64(id), relevant[0].Epoch)
}

func strangerIn(epoch uint32, id paxos.NodeID, member, incarnation paxos.Incarnation) error {
	return fmt.Errorf("%w: the cluster"+asOf+"%d knows member %x in incarnation %x, not %x: its data directory was wiped or replaced; restore it, or replace the member",
		errStranger, epoch, uint64(id), uint64(member), uint64(incarnation))
}

// isLate reports whether somebody has refused this node who knew less than it does by now, and will know better when they meet again.
func (c *contacts) isLate(refusal string) bool {
	_, epoch, found := strings.Cut(refusal, asOf)
	if !found {
		return false
	}
	epoch, _, _ = strings.Cut(epoch, " ")
	n, err := strconv.ParseUint(strings.TrimRight(epoch, ":"), 10, 32)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known()
	return err == nil && len(known) > 0 && uint32(n) < latestOf(known).Epoch
}

// invitation returns the newest configurations if they list this node, and it has not promised anything in another incarnation; else nil.
func (c *contacts) invitation() []*paxos.Configuration {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known()
	if len(known) == 0 {
		return nil
	}
	i := latestOf(known).Index(c.n.cfg.ID)
	if i < 0 {
		return nil
	}
	if member := latestOf(known).Members[i].Incarnation; member != 0 && member != c.n.vital.Incarnation {
		return nil
	}
	return known
}

// isWiped reports whether a member has come on another disk since it was last admitted.
func (c *contacts) isWiped(id paxos.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wiped[id]
}

// greeting is what this node tells everybody whom it meets: the newest configurations that it knows. A version byte 1, then what paxos.AppendConfigurations writes, if it knows any.
func (c *contacts) greeting() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := []byte{greetingVersion}
	if known := c.known(); len(known) > 0 {
		b = paxos.AppendConfigurations(b, known)
	}
	return b
}

const greetingVersion = 1

// decodeGreeting reads what a peer knows; nil if it knows nothing, or says it in a way that this version does not understand.
func decodeGreeting(b []byte) []*paxos.Configuration {
	if len(b) < 2 || b[0] != greetingVersion {
		return nil
	}
	known, err := paxos.DecodeConfigurations(b[1:])
	if err != nil {
		return nil
	}
	return known
}
