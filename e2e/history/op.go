// Package history holds what clients asked of a store and what they were told, and judges it in two ways that share no code: Check follows
// the chosen log as a witness, Linearizable looks for an order of its own.
package history

import "time"

// Kind is what a client asks for.
type Kind int

const (
	Put      Kind = iota
	Swap          // put if the key's modification revision is as expected; else get
	Delete        // of one key
	Get           // linearizable
	LocalGet      // serializable: as far as the member asked has got
)

// Outcome is what a client knows of its request.
type Outcome int

const (
	Unknown      Outcome = iota // it may have happened, or may yet
	Acknowledged                // it happened
	Refused                     // it did not happen and never will
)

// Item is a key's state; the zero Item is that of no such key.
type Item struct {
	Value       string
	ModRevision int64
	Version     int64
}

// Op is one request of one client, which asks nothing else meanwhile.
type Op struct {
	Kind   Kind
	Key    string
	Value  string // of Put and Swap; no other request has the same
	Expect int64  // of Swap: the modification revision, 0 for no such key

	Through string // the member that was asked

	Call, Return time.Duration // since the history began

	// What the client was told:
	Outcome  Outcome
	Revision int64 // of the store, by the answer's header
	Done     bool  // a Swap has put; a Delete has found the key
	Seen     Item  // by Get, LocalGet and a Swap that has not put
}

// writes reports whether the request, if it happens, may change the store.
func (o *Op) writes() bool { return o.Kind == Put || o.Kind == Swap || o.Kind == Delete }

// changed reports whether the client was told that its request has made a revision.
func (o *Op) changed() bool {
	return o.Outcome == Acknowledged && (o.Kind == Put || o.writes() && o.Done)
}
