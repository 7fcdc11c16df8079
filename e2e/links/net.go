// Package links carries the connections of a cluster's members, to each other and from their clients, through this process, and lets each
// direction between two of them fail by itself: with every member on one machine and one loopback device, as on a broken network.
//
// A stream cannot lose a packet, so faults are what TCP makes of them: bytes that wait until the direction works again, bytes that come
// late, connections that are reset.
package links

import (
	"net"
	"sync"
	"time"
)

// Clients stands for all who are not members.
const Clients uint64 = 0

// direction is one way between two members.
type direction struct{ from, to uint64 }

// Net is the network of one cluster. Its methods may be called at any time by anyone.
type Net struct {
	running sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	listeners   []net.Listener
	links       map[direction]*link
	connections map[*connection]struct{}
	renamed     map[uint64]uint64 // who dials under another ID than its links have
}

// New returns a network on which everything works and nobody listens.
func New() *Net {
	return &Net{links: map[direction]*link{}, connections: map[*connection]struct{}{}, renamed: map[uint64]uint64{}}
}

// ServeMember carries what arrives at l to the address where member to listens for other members. Who sends it is read from the hello with
// which every connection between members begins (docs/wire.md); one that does not begin so is closed.
func (n *Net) ServeMember(l net.Listener, to uint64, address string) { n.serve(l, to, address, true) }

// ServeClients carries what arrives at l to the address where member to listens for clients.
func (n *Net) ServeClients(l net.Listener, to uint64, address string) { n.serve(l, to, address, false) }

func (n *Net) serve(l net.Listener, to uint64, address string, fromMember bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners = append(n.listeners, l)
	n.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			n.running.Go(func() { n.carry(conn, to, address, fromMember) })
		}
	})
}

// Cut makes everything that goes from one member to another wait, new connections included, until Heal.
func (n *Net) Cut(from, to uint64) { n.link(from, to).cut() }

// Delay makes everything in one direction arrive later by so much.
func (n *Net) Delay(from, to uint64, by time.Duration) { n.link(from, to).setDelay(by) }

// Lose makes that share of what goes in one direction, in percent, arrive as late as if a packet had been lost and sent again.
func (n *Net) Lose(from, to uint64, percent int) { n.link(from, to).setLoss(percent) }

// Reset ends all connections between two members, in both directions, and forgets what was on its way.
func (n *Net) Reset(a, b uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.connections {
		if (c.from == a && c.to == b) || (c.from == b && c.to == a) {
			c.end()
		}
	}
}

// Rename says that member is called id from now on when it dials. Its links keep the name that they have.
func (n *Net) Rename(member, id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renamed[id] = member
}

// Heal makes everything work again. What was held by a cut arrives now.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.heal()
	}
}

// Close ends everything and returns once nothing runs any more.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for _, l := range n.listeners {
		l.Close()
	}
	for c := range n.connections {
		c.end()
	}
	n.mu.Unlock()
	n.running.Wait()
}

func (n *Net) link(from, to uint64) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := direction{from, to}
	if n.links[d] == nil {
		n.links[d] = newLink()
	}
	return n.links[d]
}

// enter makes c known, to be ended by Reset and Close; it reports false if the network is closed.
func (n *Net) enter(c *connection) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.connections[c] = struct{}{}
	return true
}

func (n *Net) leave(c *connection) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.connections, c)
}
