package synod

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// A new cluster is founded once all of its members have met. A member is a node in one incarnation, the number that its disk drew when it was
// formatted, and nobody knows the others' beforehand; so they agree on the list before anyone promises or votes:
//
//  1. A member that has met all others, each in one incarnation, makes that list durable, once and for all.
//  2. A member that has heard the same list from all others, or from one that is active already, is active: it promises and votes.
//
// An active member implies that all have the same list on disk. So a member whose disk is wiped afterwards, and comes back in another incarnation, finds a list
// that names the old one, whoever it asks, and nobody ever makes a list with the new one. That keeps a disk that has forgotten its promises from voting.
type founding struct {
	founders
	self   paxos.NodeID
	met    []paxos.Incarnation // by index in members: as seen on the network; 0 is not yet
	list   []paxos.Incarnation // as agreed to on this disk; nil is not yet
	agreed []bool              // by index in members: has sent the same list
	active bool
}

// founders is what all founders are told alike: who they are, and the sizes of quorums.
type founders struct {
	members        []Member
	phase1, phase2 int // 0 and 0 stand for majorities
}

// notice is what members tell each other until they are active: the list they have agreed to, if any, and whether they are active.
type notice struct {
	list   []paxos.Incarnation
	active bool
}

func newFounding(founders founders, self paxos.NodeID, incarnation paxos.Incarnation, list []paxos.Incarnation, used bool) *founding {
	members := founders.members
	f := &founding{founders: founders, self: self, met: make([]paxos.Incarnation, len(members)), agreed: make([]bool, len(members)), list: list}
	f.met[f.index(self)] = incarnation
	f.agreed[f.index(self)] = true
	f.active = list != nil && (used || len(members) == 1) // whoever has written a record was active
	return f
}

func (f *founders) index(id paxos.NodeID) int {
	return slices.IndexFunc(f.members, func(m Member) bool { return m.ID == id })
}

// admit judges a peer's incarnation.
func (f *founding) admit(id paxos.NodeID, incarnation paxos.Incarnation) error {
	i := f.index(id)
	if i < 0 {
		return fmt.Errorf("node %x is not among the founders that this member was told", uint64(id))
	}
	if f.list != nil && f.list[i] != incarnation {
		return strangerIn(0, id, f.list[i], incarnation)
	}
	return nil
}

// meet takes note of a peer's incarnation. It returns the list to make durable if everybody has been met and there is none yet.
func (f *founding) meet(id paxos.NodeID, incarnation paxos.Incarnation) []paxos.Incarnation {
	if i := f.index(id); i >= 0 {
		f.met[i] = incarnation
	}
	if f.list != nil || slices.Contains(f.met, 0) {
		return nil
	}
	return slices.Clone(f.met)
}

// hear takes a peer's notice. It returns the list to make durable if the peer has one and this node does not. An error means that this node can
// never be part of the cluster.
func (f *founding) hear(from paxos.NodeID, n notice) (adopt []paxos.Incarnation, err error) {
	if n.list == nil || len(n.list) != len(f.members) {
		return nil, nil
	}
	self, i := f.index(f.self), f.index(from)
	if n.list[self] != f.met[self] {
		return nil, fmt.Errorf("this member's data directory is not the one it founded the cluster with (incarnation %x, member %x knows %x): it was wiped or replaced, and must not vote any more; restore it, or replace the member",
			uint64(f.met[self]), uint64(from), uint64(n.list[self]))
	}
	if f.list == nil {
		adopt = n.list
	} else if !slices.Equal(f.list, n.list) {
		return nil, fmt.Errorf("member %x founded another cluster under the same identity: the lists of incarnations differ", uint64(from))
	}
	f.agreed[i] = true
	if n.active {
		for k := range f.agreed {
			f.agreed[k] = true
		}
	}
	return adopt, nil
}

// settle takes the list that is durable now.
func (f *founding) settle(list []paxos.Incarnation) { f.list = list }

// ready reports whether this node may promise and vote from now on.
func (f *founding) ready() bool {
	if f.list != nil && !slices.Contains(f.agreed, false) {
		f.active = true
	}
	return f.active
}

func (f *founding) notice() notice { return notice{list: f.list, active: f.active} }

// configuration returns the founders' configuration, in the incarnations of the list.
func (f *founders) configuration(list []paxos.Incarnation) (*paxos.Configuration, error) {
	members := make([]paxos.Member, len(f.members))
	for i, m := range f.members {
		members[i] = paxos.Member{ID: m.ID, Incarnation: list[i], Roles: m.Roles, Address: m.Address}
	}
	return paxos.NewConfiguration(0, members, f.phase1, f.phase2)
}

// A list is stored and sent as a version byte, the sizes of phase-1 and phase-2 quorums as they were given (a byte each), and for each member, in order of the ids, id and incarnation (8 bytes each, little
// endian) and roles (a byte). The first version has neither sizes nor roles: all are full members, and majorities quorums. It is what such founders write.
const (
	foundersOfOneKind = 1
	foundersWithRoles = 2
	joinedLater       = 3 // alone, in the place of a list: this disk has joined later, and the file "membership" says who the members are
)

// ofOneKind reports whether all are full members, and majorities are quorums.
func (f *founders) ofOneKind() bool {
	return f.phase1 == 0 && f.phase2 == 0 && !slices.ContainsFunc(f.members, func(m Member) bool { return m.Roles != paxos.FullMember })
}

func (f *founders) encode(list []paxos.Incarnation) []byte {
	plain := f.ofOneKind()
	b := []byte{foundersOfOneKind}
	if !plain {
		b = []byte{foundersWithRoles, byte(f.phase1), byte(f.phase2)}
	}
	for i, m := range f.members {
		b = binary.LittleEndian.AppendUint64(b, uint64(m.ID))
		b = binary.LittleEndian.AppendUint64(b, uint64(list[i]))
		if !plain {
			b = append(b, byte(m.Roles))
		}
	}
	return b
}

// countFounders returns how many founders a list has, 0 if it is none.
func countFounders(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == foundersOfOneKind:
		return (len(b) - 1) / 16
	case len(b) > 2 && b[0] == foundersWithRoles:
		return (len(b) - 3) / 17
	}
	return 0
}

// decode reads a list for exactly these founders. Its errors say in what they differ.
func (f *founders) decode(b []byte) ([]paxos.Incarnation, error) {
	was, list, err := decodeFounders(b)
	if err != nil {
		return nil, err
	}
	if len(was.members) != len(f.members) {
		return nil, fmt.Errorf("the cluster was founded by %d members, the configuration lists %d", len(was.members), len(f.members))
	}
	if was.phase1 != f.phase1 || was.phase2 != f.phase2 {
		return nil, fmt.Errorf("the cluster was founded with quorums of %d and %d (0 for majorities), the configuration says %d and %d", was.phase1, was.phase2, f.phase1, f.phase2)
	}
	for i, m := range was.members {
		if m.ID != f.members[i].ID {
			return nil, fmt.Errorf("the cluster was founded with member %x, which the configuration does not list", uint64(m.ID))
		}
		if m.Roles != f.members[i].Roles {
			return nil, fmt.Errorf("the cluster was founded with member %x as %v, the configuration says %v", uint64(m.ID), m.Roles, f.members[i].Roles)
		}
	}
	return list, nil
}

// decodeFounders reads who the founders were, without names and addresses, and the incarnations in the list.
func decodeFounders(b []byte) (f founders, list []paxos.Incarnation, err error) {
	entry := 16
	switch {
	case len(b) > 0 && b[0] == foundersOfOneKind:
		b = b[1:]
	case len(b) > 2 && b[0] == foundersWithRoles:
		f.phase1, f.phase2 = int(b[1]), int(b[2])
		entry, b = 17, b[3:]
	default:
		return f, nil, errors.New("list of founders is malformed or of a newer version")
	}
	if len(b)%entry != 0 {
		return f, nil, errors.New("list of founders is malformed")
	}
	for ; len(b) > 0; b = b[entry:] {
		m := Member{ID: paxos.NodeID(binary.LittleEndian.Uint64(b)), Roles: paxos.FullMember}
		if entry > 16 {
			m.Roles = paxos.Role(b[16])
		}
		f.members = append(f.members, m)
		list = append(list, paxos.Incarnation(binary.LittleEndian.Uint64(b[8:])))
	}
	return f, list, nil
}

func (f *founding) encodeNotice() []byte {
	n := f.notice()
	b := []byte{0}
	if n.active {
		b[0] = 1
	}
	if n.list != nil {
		b = append(b, f.encode(n.list)...)
	}
	return b
}

func (f *founding) decodeNotice(b []byte) (n notice, err error) {
	if len(b) == 0 {
		return n, errors.New("empty notice")
	}
	n.active = b[0] == 1
	if len(b) > 1 {
		n.list, err = f.decode(b[1:])
	}
	return n, err
}
