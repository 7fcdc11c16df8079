package synod

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// section is one machine of the log and its part of every snapshot. A machine that is not one of several is section 0.
type section struct {
	id      byte
	machine StateMachine
	memory  keptInMemory // one of these two, or neither
	durable Durable
	applied paxos.Slot // of a machine with a disk, or one that was restored: when the node was opened
	skipTo  func(paxos.Slot)
}

// keptInMemory is the part of a Snapshotter that copies its state.
type keptInMemory interface {
	Snapshot() (Image, error)
	Restore(r io.Reader) error
}

func sectionsOf(machine StateMachine) (all []*section) {
	if machine == nil {
		return nil
	}
	if s, ok := machine.(*sessions); ok {
		return s.sections()
	}
	add := func(id byte, m StateMachine, skipTo func(paxos.Slot)) {
		s := &section{id: id, machine: m, applied: m.Applied(), skipTo: skipTo}
		if s.durable, _ = m.(Durable); s.durable == nil {
			if snapshotter, ok := m.(Snapshotter); ok {
				s.memory = snapshotter
			}
		}
		all = append(all, s)
	}
	several, ok := machine.(*Machines)
	if !ok {
		add(0, machine, func(paxos.Slot) {})
		return all
	}
	for i, id := range several.ids {
		add(id, several.machines[i], func(slot paxos.Slot) { several.skipTo(id, slot) })
	}
	return all
}

// image takes an image of the section's machine. It is called between two calls of Apply.
func (s *section) image() (Image, error) {
	if s.durable != nil {
		return s.durable.Snapshot()
	}
	return s.memory.Snapshot()
}

// inMemory returns the sections whose machines are in memory.
func inMemory(sections []*section) (memory []*section) {
	for _, s := range sections {
		if s.inMemory() {
			memory = append(memory, s)
		}
	}
	return memory
}

func (s *section) inMemory() bool { return s.memory != nil }

// transferable reports whether there are machines, all of which can give their state away, and take another's.
func transferable(sections []*section) bool {
	return len(sections) > 0 && !slices.ContainsFunc(sections, func(s *section) bool { return s.memory == nil && s.durable == nil })
}

func appliedByAll(sections []*section) paxos.Slot {
	return slices.MinFunc(sections, func(a, b *section) int { return cmp.Compare(a.applied, b.applied) }).applied
}

func appliedByAny(sections []*section) (slot paxos.Slot) {
	for _, s := range sections {
		slot = max(slot, s.applied)
	}
	return slot
}

func idsOf(sections []*section) (ids []byte) {
	for _, s := range sections {
		ids = append(ids, s.id)
	}
	return ids
}

// images are those of several sections, all of one slot.
type images struct {
	slot     paxos.Slot
	sections []*section
	images   []Image
}

// takeImages waits for a moment between two calls of Apply and takes the images of some sections in it.
func (n *Node) takeImages(sections []*section) (taken *images, err error) {
	taken = &images{sections: sections}
	alive := n.apply.do(func() {
		taken.slot = n.apply.appliedSlot()
		for _, s := range sections {
			var image Image
			if image, err = s.image(); err != nil {
				err = fmt.Errorf("cannot take an image of the state machine: %w", err)
				return
			}
			taken.images = append(taken.images, image)
		}
	})
	if !alive {
		err = ErrClosed
	}
	if err != nil {
		return nil, errors.Join(err, taken.close())
	}
	return taken, nil
}

// header describes a snapshot of the images.
func (i *images) header(cluster uint64, founders []byte) snapshot.Header {
	h := snapshot.Header{Cluster: cluster, Slot: i.slot, Sections: idsOf(i.sections), Configuration: founders}
	for _, image := range i.images {
		h.Bytes += uint64(image.Size())
	}
	return h
}

// writeTo writes a snapshot of the images, chunk by chunk.
func (i *images) writeTo(h snapshot.Header, emit func(chunk []byte) error) error {
	w, err := snapshot.NewWriter(h, emit)
	if err != nil {
		return err
	}
	for k, image := range i.images {
		if err := w.Section(i.sections[k].id); err != nil {
			return err
		}
		if _, err := image.WriteTo(w); err != nil {
			return err
		}
	}
	return w.Close()
}

func (i *images) close() error {
	var errs []error
	for _, image := range i.images {
		errs = append(errs, image.Close())
	}
	return errors.Join(errs...)
}

// drain reads a section to its end, for what comes after it.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
