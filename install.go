package synod

import (
	"errors"
	"fmt"
	"io"

	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// received is a snapshot that lies on this member's disk, whole and verified, beside what the machines have.
type received struct {
	slot           paxos.Slot
	configurations []*paxos.Configuration // that go with it
	installations  []*pendingInstallation
	file           *snapshotFile // of the machines in memory, sealed; nil if there are none
}

// pendingInstallation is what one machine with a disk has received.
type pendingInstallation struct {
	section *section
	Installation
}

// receive has each machine write its section to the side. show is called now and then. On error nothing is left of it.
func (n *Node) receive(r *snapshot.Reader, show func(snapshot.Header)) (*received, error) {
	rc := &received{slot: r.Header().Slot}
	if err := n.receiveInto(rc, r, show); err != nil {
		return nil, errors.Join(err, rc.discard())
	}
	return rc, nil
}

func (n *Node) receiveInto(rc *received, r *snapshot.Reader, show func(snapshot.Header)) error {
	w, err := n.beginFile(rc, r.Header())
	if err != nil {
		return err
	}
	for {
		id, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = n.receiveSection(rc, id, &shownReader{r, show}, w)
		}
		if err != nil {
			return err
		}
	}
	if w == nil {
		return nil
	}
	if err := w.Close(); err != nil {
		return err
	}
	return rc.file.seal()
}

// shownReader reads a section and shows how it goes.
type shownReader struct {
	*snapshot.Reader
	show func(snapshot.Header)
}

func (s *shownReader) Read(p []byte) (int, error) {
	s.show(s.Header())
	return s.Reader.Read(p)
}

// beginFile begins the file for the machines in memory, if there are any.
func (n *Node) beginFile(rc *received, h snapshot.Header) (*snapshot.Writer, error) {
	memory := inMemory(n.sections)
	if len(memory) == 0 {
		return nil, nil
	}
	h.Sections = idsOf(memory)
	var err error
	if rc.file, err = n.files.create(receivedTemp); err != nil {
		return nil, err
	}
	return snapshot.NewWriter(h, rc.file.append)
}

func (n *Node) receiveSection(rc *received, id byte, r io.Reader, w *snapshot.Writer) error {
	for _, s := range n.sections {
		switch {
		case s.id != id:
		case s.inMemory():
			if err := w.Section(id); err != nil {
				return err
			}
			_, err := io.Copy(w, r)
			return err
		case s.applied >= rc.slot: // it was installed before a crash that came before the others' turn
			return drain(r)
		default:
			installation, err := s.durable.Receive(rc.slot, r)
			if err == nil {
				rc.installations = append(rc.installations, &pendingInstallation{s, installation})
				err = drain(r)
			}
			return err
		}
	}
	return fmt.Errorf("there is no state machine %d", id)
}

// discard removes what was received.
func (rc *received) discard() error {
	var errs []error
	for _, i := range rc.installations {
		errs = append(errs, i.Discard())
	}
	if rc.file != nil {
		errs = append(errs, rc.file.discard())
	}
	return errors.Join(errs...)
}

// install makes what was received the machines' state. An error of the disk ends the node; ErrClosed means that it ended before.
func (n *Node) install(rc *received) (err error) {
	late := false
	alive := n.apply.do(func() {
		if late = rc.slot <= n.apply.appliedSlot(); late {
			return
		}
		if err = n.switchTo(rc); err != nil {
			n.Fail(fmt.Errorf("cannot install the snapshot of slot %d: %w", rc.slot, err))
			return
		}
		n.apply.skip(rc.slot)
		n.pending.giveUp(n.pending.last())
		n.inbox.put(paxos.Event{Kind: paxos.Installed, Slot: rc.slot, Configurations: rc.configurations})
	})
	switch {
	case !alive:
		return errors.Join(ErrClosed, rc.discard())
	case late:
		return errors.Join(errors.New("what it covers has been applied meanwhile"), rc.discard())
	}
	return err
}

// switchTo does what a crash may cut short at any point; docs/snapshots.md says what is found after each. The order is what makes it safe: the log is trimmed when every machine has
// switched, and the core is told when the log is trimmed.
func (n *Node) switchTo(rc *received) error {
	if err := intentFile.write(n.cfg.fs, n.cfg.Dir, n.vital.Incarnation, rc.slot); err != nil {
		return err
	}
	if err := n.membership.keep(rc.configurations); err != nil {
		return err
	}
	for _, i := range rc.installations {
		if err := i.Install(); err != nil {
			return err
		}
		i.section.applied = rc.slot
		i.section.skipTo(rc.slot)
	}
	if rc.file != nil {
		if err := rc.file.publish(rc.slot); err != nil {
			return err
		}
		if err := n.restore(rc.slot); err != nil {
			return err
		}
	}
	if err := n.disk.trim(rc.slot); err != nil {
		return err
	}
	return intentFile.remove(n.cfg.fs, n.cfg.Dir)
}
