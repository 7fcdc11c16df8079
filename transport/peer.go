package transport

import (
	"context"
	"log/slog"
	"sync"
)

// peer is another member: a sender and a receiver for each class, and whether all the senders are connected.
type peer struct {
	Peer
	handler   Handler
	log       *slog.Logger
	senders   [classes]*sender
	receivers [classes]*receiver
	failures  complaints

	context  context.Context         // ends with the Transport, or when this is no peer any more
	end      context.CancelCauseFunc // ends the context
	after    []*peer                 // earlier ones of the same node, which end first
	launched bool                    // guarded by Transport.state
	ended    chan struct{}           // closed when every sender has ended

	mu        sync.Mutex        // also held during Connected and Disconnected, to keep their order
	up        [classes]Identity // by class, who is connected; the zero Identity if none is
	announced Identity          // whom Connected was called for; zero if Disconnected was called since
	absent    bool              // the log's last word on this peer is that it is not connected
}

func newPeer(t *Transport, cfg Peer) *peer {
	p := &peer{Peer: cfg, handler: t.cfg.Handler, ended: make(chan struct{}), absent: true}
	p.context, p.end = context.WithCancelCause(t.context)
	p.log = t.log.With("peer", hexID(cfg.Node), "address", cfg.Address)
	for class := range Class(classes) {
		p.senders[class] = newSender(t, p, class)
		p.receivers[class] = newReceiver(t, p, class)
	}
	return p
}

// run dials the peer in every class, until it is none any more.
func (p *peer) run() {
	for _, earlier := range p.after {
		<-earlier.ended
	}
	p.after = nil
	var dialling sync.WaitGroup
	for _, s := range p.senders {
		dialling.Go(s.run)
	}
	dialling.Wait()
	close(p.ended)
}

// leave ends all connections of a node that is no peer any more. It does not wait for that. The caller holds Transport.state.
func (p *peer) leave() {
	p.end(errNoPeer)
	for _, r := range p.receivers {
		r.leave()
	}
	if !p.launched {
		close(p.ended)
	}
}

func (p *peer) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// opened notes that Send can reach who in class.
func (p *peer) opened(class Class, who Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up[class] = who
	for _, other := range p.up {
		if other != who {
			return
		}
	}
	p.announced = who
	if p.absent {
		p.log.Info("connected to peer", "incarnation", hexID(who.Incarnation))
		p.absent = false
	}
	p.handler.Connected(who)
}

// closed notes that Send cannot reach the peer in class any more.
func (p *peer) closed(class Class, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up[class] = Identity{}
	if who := p.announced; who != (Identity{}) {
		p.announced = Identity{}
		p.handler.Disconnected(who, why)
	}
}

// report logs why there is no connection: once in a while for each kind of reason, however many classes there are and whether it has broken or never was.
func (p *peer) report(what string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures.warn(p.log, what, why) {
		p.absent = true
	}
}

// refused tells the Handler and the log that the peer does not admit this member, whichever side has dialled.
func (p *peer) refused(r *refusedByPeer, why error) {
	p.handler.Refused(p.Node, r.reason)
	p.report("peer refuses this member: trying again", why)
}

// reportInbound logs why a connection from the peer ended, or came to nothing, if there is something amiss. Of the network the connection to the peer tells.
func (p *peer) reportInbound(what string, why error, class Class) {
	if category(why) != "" {
		p.failures.warn(p.log, what, why, "class", class.String())
	}
}
