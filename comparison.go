package synod

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"synod.dev/synod/paxos"
	"synod.dev/synod/transport"
)

// comparison finds out whether this member's state machine has come to another state than those of the others. Each member takes the digest of its machine at the same slots, the multiples of
// digestSlots, and tells the others its last ones now and then. Safe for concurrent use.
type comparison struct {
	self paxos.NodeID

	mu     sync.Mutex
	from   paxos.Slot // digests of earlier slots are not of one state: after a restart one machine is ahead of another
	own    []digestPoint
	others map[paxos.NodeID][]digestPoint
	waited int                   // periods for which members have differed and nobody had a majority
	told   bool                  // that it cannot be decided
	blamed map[paxos.NodeID]bool // who differs from a majority that this member is of
}

// digestPoint is what a state machine was after a slot.
type digestPoint struct {
	slot   paxos.Slot
	digest uint64
}

const (
	digestSlots     = 256         // between two digests
	digestPeriod    = time.Second // between two words to the others
	digestsKept     = 512         // of each member: as far as members may be apart to be compared
	digestsSent     = 64          // at a time: 1 KiB
	digestDoubtsMax = 10          // periods for which a majority is waited for
)

// divergedError is that this member has come to another state than the majority.
type divergedError struct {
	slot    paxos.Slot
	finding string
}

func (e divergedError) Error() string {
	return fmt.Sprintf("after slot %d the state of this member %s to another state than the majority; remove this member, and add it anew with an empty directory", e.slot, e.finding)
}

// Divergence is that members have come to different states, and that no majority agrees on one.
type Divergence struct {
	Slot    paxos.Slot
	Digests map[paxos.NodeID]uint64 // of the state after that slot
}

func newComparison(self paxos.NodeID, from paxos.Slot) *comparison {
	return &comparison{self: self, from: from, others: map[paxos.NodeID][]digestPoint{}, blamed: map[paxos.NodeID]bool{}}
}

// due reports whether a digest is to be taken after a slot.
func (c *comparison) due(slot paxos.Slot) bool { return slot%digestSlots == 0 && slot >= c.from }

// take notes the digest of this member's own machine after a slot.
func (c *comparison) take(slot paxos.Slot, digest uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = addPoint(c.own, digestPoint{slot, digest})
}

// hear notes what another member says.
func (c *comparison) hear(from paxos.NodeID, points []digestPoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range points {
		c.others[from] = addPoint(c.others[from], p)
	}
}

// addPoint keeps the last points in the order of slots. One that comes again, after a restart, takes the place of the first.
func addPoint(points []digestPoint, p digestPoint) []digestPoint {
	at, there := slices.BinarySearchFunc(points, p.slot, bySlot)
	if there {
		points[at] = p
		return points
	}
	points = slices.Insert(points, at, p)
	return slices.Delete(points, 0, max(0, len(points)-digestsKept))
}

func bySlot(p digestPoint, slot paxos.Slot) int {
	switch {
	case p.slot < slot:
		return -1
	case p.slot > slot:
		return 1
	}
	return 0
}

// judge compares what is known of the members that keep a state. The error is this member's end. divergence is set once if members differ and no majority agrees, and all of them have spoken or there was time to.
// blamed are members that have been found to differ from a majority, each named once.
func (c *comparison) judge(learners []paxos.NodeID) (blamed []paxos.NodeID, divergence *Divergence, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var doubt *Divergence
	for _, p := range slices.Backward(c.own) {
		said := c.saidOf(p, learners)
		agreeing, rival, most := tally(said, p.digest)
		switch {
		case 2*most > len(learners):
			return nil, nil, divergedError{p.slot, fmt.Sprintf("has the digest %016x, that of %d of %d members %016x: it has come", p.digest, most, len(learners), rival)}
		case 2*agreeing > len(learners) && doubt == nil:
			c.waited, c.told = 0, false
			return c.blame(said, p.digest), nil, nil
		case most > 0 && doubt == nil: // what was agreed on before does not settle it
			doubt = &Divergence{p.slot, said}
		}
	}
	if doubt == nil || c.told {
		return nil, nil, nil
	}
	if c.waited++; len(doubt.Digests) < len(learners) && c.waited < digestDoubtsMax {
		return nil, nil, nil
	}
	c.told = true
	return nil, doubt, nil
}

// saidOf returns the digests that members have told of a slot.
func (c *comparison) saidOf(p digestPoint, learners []paxos.NodeID) map[paxos.NodeID]uint64 {
	said := map[paxos.NodeID]uint64{}
	for _, id := range learners {
		if id == c.self {
			said[id] = p.digest
		} else if at, there := slices.BinarySearchFunc(c.others[id], p.slot, bySlot); there {
			said[id] = c.others[id][at].digest
		}
	}
	return said
}

// tally counts who agrees with own, and the most that agree on another digest.
func tally(said map[paxos.NodeID]uint64, own uint64) (agreeing int, rival uint64, most int) {
	counts := map[uint64]int{}
	for _, digest := range said {
		counts[digest]++
	}
	for digest, n := range counts {
		if digest != own && n > most {
			rival, most = digest, n
		}
	}
	return counts[own], rival, most
}

// blame returns who differs and was not named before.
func (c *comparison) blame(said map[paxos.NodeID]uint64, own uint64) (blamed []paxos.NodeID) {
	for id, digest := range said {
		if digest == own {
			delete(c.blamed, id)
		} else if !c.blamed[id] {
			c.blamed[id] = true
			blamed = append(blamed, id)
		}
	}
	return blamed
}

// encode makes the frame with this member's last digests: slot 8 and digest 8 bytes each, little endian; nil if there are none.
func (c *comparison) encode() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.own) == 0 {
		return nil
	}
	last := c.own[max(0, len(c.own)-digestsSent):]
	b := append(make([]byte, 0, 1+16*len(last)), frameDigests)
	for _, p := range last {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.slot))
		b = binary.LittleEndian.AppendUint64(b, p.digest)
	}
	return b
}

// decodeDigests reads what encode has written, after its first byte.
func decodeDigests(b []byte) (points []digestPoint, ok bool) {
	if len(b)%16 != 0 || len(b) > 16*digestsSent {
		return nil, false
	}
	for ; len(b) > 0; b = b[16:] {
		points = append(points, digestPoint{paxos.Slot(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:])})
	}
	return points, true
}

// compare tells the others this member's digests, and judges theirs, until the node ends.
func (n *Node) compare() {
	ticker := time.NewTicker(digestPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.done:
			return
		}
		if err := n.compareOnce(); err != nil {
			n.Fail(errors.Join(err, n.noteDiverged(err)))
			return
		}
	}
}

// noteDiverged makes durable that this member has come to another state than the majority, if that is so: it must not serve again until a digest is due.
func (n *Node) noteDiverged(err error) error {
	var diverged divergedError
	if !errors.As(err, &diverged) {
		return nil
	}
	if err := divergedFile.write(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation, diverged.slot); err != nil {
		return fmt.Errorf("this cannot be noted on disk, do not start it again: %w", err)
	}
	return nil
}

// judgeDiverged is an error if an earlier process has noted that.
func (n *Node) judgeDiverged() error {
	slot, err := divergedFile.read(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation)
	if err != nil {
		return fmt.Errorf("synod: cannot tell whether %s has the state that the others have: %w", n.cfg.Dir, err)
	}
	if slot != 0 {
		return fmt.Errorf("synod: %s: %w", n.cfg.Dir, divergedError{slot, "had come"})
	}
	return nil
}

func (n *Node) compareOnce() error {
	configuration := n.Membership().InForce
	if configuration == nil {
		return nil
	}
	var learners []paxos.NodeID
	for _, m := range configuration.Members {
		if m.Roles&paxos.Learner != 0 {
			learners = append(learners, m.ID)
		}
	}
	if frame := n.comparison.encode(); frame != nil {
		for _, id := range learners {
			if id != n.cfg.ID {
				n.transport.Send(uint64(id), transport.Control, frame)
			}
		}
	}
	blamed, divergence, err := n.comparison.judge(learners)
	for _, id := range blamed {
		n.logger.Error("another member has come to another state than the majority; it stops when it hears of it: replace it", "peer", hexID(id))
	}
	if divergence != nil {
		n.logger.Error("members have come to different states, and no majority agrees on one: find out which is right, and replace the others", "slot", divergence.Slot, "digests", divergence.String())
		if e := n.cfg.Events; e != nil && e.Diverged != nil {
			e.Diverged(*divergence)
		}
	}
	return err
}

// String lists the digests by member.
func (d *Divergence) String() string {
	var parts []string
	for id, digest := range d.Digests {
		parts = append(parts, fmt.Sprintf("%x: %016x", uint64(id), digest))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// digestOf returns the digest of a machine, if it keeps one and knows it.
func digestOf(machine any) (uint64, bool) {
	if d, ok := machine.(Digester); ok {
		return d.Digest()
	}
	return 0, false
}

// joinDigests makes one digest of several.
func joinDigests(digests ...uint64) uint64 {
	h := fnv.New64a()
	for _, d := range digests {
		h.Write(binary.LittleEndian.AppendUint64(nil, d))
	}
	return h.Sum64()
}
