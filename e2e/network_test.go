package e2e

import (
	"net"
	"testing"
	"time"

	"synod.dev/synod/e2e/links"
	"synod.dev/synod/internal/serverconfig"
)

// network is what lies between the members of a cluster, and between them and their clients. A nil member stands for the clients.
type network interface {
	form() string
	cut(from, to *member)               // nothing passes in this direction
	lose(from, to *member, percent int) // so many packets are lost in this direction
	reset(a, b *member)                 // all connections between the two end
	rename(m *member, id uint64)        // this is the member's ID from now on
	heal()                              // everything works again
}

// linked is a network of links that the test carries itself.
type linked struct{ net *links.Net }

// newLinkedCluster describes a cluster whose members reach each other, and are reached by clients, through the test's own links.
func newLinkedCluster(t testing.TB, n int) (*cluster, linked) {
	t.Helper()
	w := linked{links.New()}
	t.Cleanup(w.net.Close)
	var places []place
	var clients, peers []net.Listener
	for range n {
		client, peer := listenHere(t), listenHere(t)
		clients, peers = append(clients, client), append(peers, peer)
		places = append(places, place{client.Addr().String(), peer.Addr().String(), listenAddress(t), listenAddress(t)})
	}
	c := newCluster(t, serve(), places)
	for i, m := range c.members {
		w.net.ServeClients(clients[i], w.id(m), m.listenClient)
		w.net.ServeMember(peers[i], w.id(m), m.listenPeer)
	}
	return c, w
}

func listenHere(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", listenAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// id is the node that a member says it is when it dials another, as long as it is a founder.
func (linked) id(m *member) uint64 {
	const defaultToken = "etcd-cluster"
	if m == nil {
		return links.Clients
	}
	return serverconfig.MemberID([]string{"http://" + m.peer}, defaultToken)
}

func (w linked) form() string                       { return "links" }
func (w linked) cut(from, to *member)               { w.net.Cut(w.id(from), w.id(to)) }
func (w linked) lose(from, to *member, percent int) { w.net.Lose(w.id(from), w.id(to), percent) }
func (w linked) reset(a, b *member)                 { w.net.Reset(w.id(a), w.id(b)) }
func (w linked) rename(m *member, id uint64)        { w.net.Rename(w.id(m), id) }
func (w linked) heal()                              { w.net.Heal() }

// delay is what only links can do.
func (w linked) delay(from, to *member, by time.Duration) { w.net.Delay(w.id(from), w.id(to), by) }

// part cuts both directions between two.
func part(w network, a, b *member) {
	w.cut(a, b)
	w.cut(b, a)
}

// star leaves only the links with hub, in both directions.
func star(w network, members []*member, hub *member) {
	for _, a := range members {
		for _, b := range members {
			if a != b && a != hub && b != hub {
				w.cut(a, b)
			}
		}
	}
}

// chain leaves only the links between neighbours in the order given.
func chain(w network, members []*member) {
	for i, a := range members {
		for j, b := range members {
			if i-j > 1 || j-i > 1 {
				w.cut(a, b)
			}
		}
	}
}
