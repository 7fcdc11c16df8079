package paxos

import "encoding/binary"

// Change asks for another membership. Chosen in a slot j it governs the slots from j + α on, if it names the epoch of the latest configuration there is and that one is in force in j; else it is
// no change at all. So of two that race one wins, and the other's proposer is told.
type Change struct {
	Replaces       uint32 // the epoch of the configuration it was made from
	Members        []Member
	Phase1, Phase2 int    // as in NewConfiguration
	Origin         NodeID // whose callers asked for it
	ID             uint64 // their name for it, unique for the origin over all boots
}

// Reconfigured says what became of a change.
type Reconfigured struct {
	Slot   Slot // in which it is chosen
	Change *Change
	Next   *Configuration // what it has led to; nil if it was superseded and changes nothing
}

// Value returns the change as what a slot decides: the kind ValueReconfigure, then unsigned varints: replaces, phase 1, phase 2, origin, id, the number of members, and for
// each its id, incarnation, a byte with the roles in the lower half and those it is invited for in the upper, the length of its address, and the address.
func (c *Change) Value() Value {
	b := []byte{ValueReconfigure}
	for _, v := range [...]uint64{uint64(c.Replaces), uint64(c.Phase1), uint64(c.Phase2), uint64(c.Origin), c.ID} {
		b = binary.AppendUvarint(b, v)
	}
	return appendMembers(b, c.Members)
}

// DecodeChange reads a change. It returns ErrValue, or says why the members it names make no configuration. A later version that means more has to use another kind of value: two members that read
// the same bytes must come to the same conclusion.
func DecodeChange(v Value) (*Change, error) {
	if len(v) == 0 || v[0] != ValueReconfigure {
		return nil, ErrValue
	}
	d := decoder{head: v[1:]}
	c := &Change{Replaces: d.uint32(), Phase1: d.small(MembersMax), Phase2: d.small(MembersMax), Origin: NodeID(d.uvarint()), ID: d.uvarint(), Members: d.members()}
	if d.err != nil || len(d.head) > 0 || c.Replaces == 1<<32-1 {
		return nil, ErrValue
	}
	_, err := NewConfiguration(c.Replaces+1, c.Members, c.Phase1, c.Phase2)
	return c, err
}

// configuration makes what a decoded change asks for; the slots it governs are for others to say.
func (c *Change) configuration() *Configuration {
	next, err := NewConfiguration(c.Replaces+1, c.Members, c.Phase1, c.Phase2)
	if err != nil {
		panic(Violation("a change that was checked is none: %v", err))
	}
	return next
}

const invitedBits = 4 // how far the roles that a member is invited for are shifted

func appendMembers(b []byte, members []Member) []byte {
	b = binary.AppendUvarint(b, uint64(len(members)))
	for _, m := range members {
		b = binary.AppendUvarint(b, uint64(m.ID))
		b = binary.AppendUvarint(b, uint64(m.Incarnation))
		b = append(b, byte(m.Roles|m.Invited<<invitedBits))
		b = binary.AppendUvarint(b, uint64(len(m.Address)))
		b = append(b, m.Address...)
	}
	return b
}

// AppendConfigurations appends what a Replica knows of the membership, to be kept or sent beside a machine's state: a version byte, then unsigned varints: the window, the number of
// configurations, and for each its epoch, first slot, phase 1, phase 2, and its members as in a change.
func AppendConfigurations(b []byte, known []*Configuration) []byte {
	b = append(b, configurationsVersion)
	b = binary.AppendUvarint(b, uint64(known[0].Window))
	b = binary.AppendUvarint(b, uint64(len(known)))
	for _, c := range known {
		for _, v := range [...]uint64{uint64(c.Epoch), uint64(c.First), uint64(c.Phase1), uint64(c.Phase2)} {
			b = binary.AppendUvarint(b, v)
		}
		b = appendMembers(b, c.Members)
	}
	return b
}

const configurationsVersion = 2 // 1 begins a list of founders, in older snapshots

// DecodeConfigurations reads what AppendConfigurations has written, all of b. It returns ErrValue, or says why members make no configuration.
func DecodeConfigurations(b []byte) ([]*Configuration, error) {
	if len(b) == 0 || b[0] != configurationsVersion {
		return nil, ErrValue
	}
	d := decoder{head: b[1:]}
	window, n := Slot(d.small(WindowMax)), d.small(2)
	var known []*Configuration
	for range n {
		epoch, first, phase1, phase2 := d.uint32(), Slot(d.uvarint()), d.small(MembersMax), d.small(MembersMax)
		members := d.members()
		if d.err != nil {
			return nil, ErrValue
		}
		c, err := NewConfiguration(epoch, members, phase1, phase2)
		if err != nil {
			return nil, err
		}
		c.First, c.Window = first, window
		known = append(known, c)
	}
	if len(d.head) > 0 || !follow(known) {
		return nil, ErrValue
	}
	return known, nil
}

// follow reports whether configurations can be what somebody knows: the founders', or the latest and the one it has replaced, which was in force when it was chosen.
func follow(known []*Configuration) bool {
	switch {
	case len(known) == 0 || known[0].Window < 1 || known[0].Window > WindowMax:
		return false
	case len(known) == 1:
		return known[0].Epoch == 0 && known[0].First == 1
	}
	return known[1].Epoch == known[0].Epoch+1 && known[0].First >= 1 && known[1].First > known[1].Window && known[0].First <= known[1].First-known[1].Window
}

// small reads a number that is at most limit.
func (d *decoder) small(limit uint64) int {
	v := d.uvarint()
	if v > limit {
		d.fail(ErrValue)
		return 0
	}
	return int(v)
}

func (d *decoder) members() []Member { return list(d, d.small(MembersMax), (*decoder).member) }

func (d *decoder) member() Member {
	m := Member{ID: NodeID(d.uvarint()), Incarnation: Incarnation(d.uvarint())}
	roles := Role(d.byte())
	m.Roles, m.Invited = roles&(1<<invitedBits-1), roles>>invitedBits
	n := d.small(AddressBytesMax)
	if n > len(d.head) {
		d.fail(ErrValue)
		return Member{}
	}
	m.Address = string(d.head[:n])
	d.head = d.head[n:]
	return m
}
