package modelcheck

import (
	"synod.dev/synod/paxos"
)

// World is a cluster and the bounds within which it is explored.
type World struct {
	Name  string
	About string // what happens in it, in a line
	Size  Size   // how long it takes

	members        []member
	phase1, phase2 int // sizes of quorums; 0 for majorities
	slots          int // a step that would propose above this slot is not taken
	window         int // α; 0 for as many as there are slots
	crashes        int // of all members together
	disk           disk
	acquainted     bool                // every member has heard from every other, so that they send each other requests
	lost           []paxos.MessageKind // the network delivers none of these
	late           bool                // it delivers what comes too late: answers to a ballot that was given up, a promise to who leads already, a Prepare to who has promised that ballot
	snapshots      bool                // of what a member has delivered; see snapshot.go
	gathered       bool                // see gather.go
	goals          goals
}

// Size says where a world can be explored.
type Size uint8

const (
	Small Size = iota // wherever tests run: seconds
	Large             // where there is time: half a minute each
	Vast              // after a change of the core, by hand: minutes, and gigabytes
)

// member is what one member may do.
type member struct {
	roles    paxos.Role
	rounds   []uint64 // of the ballots with which it may take over
	commands int      // that its clients propose while it leads
	reads    int
	crashes  int
	losses   int  // restarts at which its disk has lost the last record of a slot
	serves   bool // it is asked, at any time, for what is chosen
	installs bool // it may take over anybody's snapshot, at any time
	joins    bool // it is no founder; see membership.go
	instead  int  // of this member, from 1: the same node with another disk, in another incarnation. It comes when it has been named
	changes  []change
}

// disk says when a record that has been appended is durable.
type disk uint8

const (
	atOnce disk = iota // before anything else happens: where nobody crashes, a later sync is a later delivery of what it releases
	anyTime
)

// Worlds returns the worlds that are explored, the smallest first.
func Worlds() []World { return worlds }
