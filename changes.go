package synod

import (
	"fmt"
	"slices"
	"time"

	"synod.dev/synod/paxos"
)

// changes are the changes of membership that this node's callers wait for. A change names the epoch it replaces, so that it is carried out once however often it is asked for: it is asked for again until the log says what
// became of it. It belongs to the event loop.
type changes struct {
	l       *eventLoop
	waiting []*changeWaiter
}

// changeWaiter is one call of Reconfigure.
type changeWaiter struct {
	change  paxos.Change
	open    []uint64  // the attempts that may still be carried out, by their number
	asked   time.Time // the last attempt
	outcome chan error
}

func newChangeWaiter(c Change) *changeWaiter {
	return &changeWaiter{change: paxos.Change{Replaces: c.Replaces, Members: slices.Clone(c.Members), Phase1: c.Phase1, Phase2: c.Phase2}, outcome: make(chan error, 1)}
}

func (c *changes) begin(w *changeWaiter) {
	c.waiting = append(c.waiting, w)
	c.ask(w)
}

// ask makes an attempt, if there is a way.
func (c *changes) ask(w *changeWaiter) {
	r := c.l.replica
	if r == nil || !r.KnowsWay() {
		return
	}
	change := w.change
	change.ID = c.l.n.pending.draw()
	w.open = append(w.open, change.ID)
	w.asked = time.Now()
	c.l.n.inbox.put(paxos.Event{Kind: paxos.Reconfigure, Change: &change})
}

// tick asks again where there is no answer.
func (c *changes) tick() {
	for _, w := range c.waiting {
		if time.Since(w.asked) > c.l.n.cfg.ElectionTimeout || len(w.open) == 0 {
			c.ask(w)
		}
	}
}

// abandon tells a caller who does not wait any longer what is known.
func (c *changes) abandon(w *changeWaiter) {
	if len(w.open) > 0 {
		c.end(w, ErrUnknown)
	} else {
		c.end(w, ErrNoLeader)
	}
}

func (c *changes) end(w *changeWaiter, err error) {
	if i := slices.Index(c.waiting, w); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
		w.outcome <- err
	}
}

// onRejected takes the leader's word that an attempt did not happen, and reports whether it was one. What it was superseded by may be an earlier attempt at the same change: then the log will say.
func (c *changes) onRejected(rj paxos.Rejection) bool {
	for _, w := range c.waiting {
		i := slices.Index(w.open, rj.ID)
		if i < 0 {
			continue
		}
		w.open = slices.Delete(w.open, i, i+1)
		switch {
		case rj.Reason == paxos.NoLeader || len(w.open) > 0:
		case rj.Reason == paxos.Invalid:
			c.end(w, fmt.Errorf("%w: the leader cannot read it: run the same version on all members", ErrInvalidChange))
		default:
			c.end(w, ErrSuperseded)
		}
		return true
	}
	return false
}

// onReconfigured takes the log's word.
func (c *changes) onReconfigured(rc paxos.Reconfigured) {
	for _, w := range slices.Clone(c.waiting) {
		own := rc.Change.Origin == c.l.n.cfg.ID && slices.Contains(w.open, rc.Change.ID)
		switch {
		case own && rc.Next != nil:
			c.end(w, nil)
		case rc.Next != nil && rc.Change.Replaces == w.change.Replaces:
			c.end(w, ErrSuperseded)
		case own && !c.overtaken(w):
			c.onRejected(paxos.Rejection{ID: rc.Change.ID, Reason: paxos.Superseded})
		}
	}
}

// giveUp ends the waiting for changes from an epoch of which this node cannot tell any more what has followed it: a snapshot has brought what came after that.
func (c *changes) giveUp() {
	for _, w := range slices.Clone(c.waiting) {
		if c.overtaken(w) {
			c.end(w, ErrUnknown)
		}
	}
}

func (c *changes) overtaken(w *changeWaiter) bool {
	_, latest, _ := c.l.replica.Membership()
	return latest.Epoch > w.change.Replaces+1
}
