package etcdapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

var _ synod.Durable = (*Members)(nil)

// A snapshot of the members is their file. It is received under another name, and installed by taking the place of the file.

// Durable returns the slot that the file covers.
func (m *Members) Durable() (paxos.Slot, error) { return m.Applied(), nil }

// Flush saves the file.
func (m *Members) Flush() { m.save() }

// Snapshot returns the file as it would be saved now.
func (m *Members) Snapshot() (synod.Image, error) {
	return membersImage{bytes.NewReader(m.encode())}, nil
}

type membersImage struct{ *bytes.Reader }

func (membersImage) Close() error { return nil }

// Receive writes a file beside the present one.
func (m *Members) Receive(slot paxos.Slot, r io.Reader) (synod.Installation, error) {
	content, err := io.ReadAll(io.LimitReader(r, membersFileMax+1))
	if err != nil {
		return nil, err
	}
	if len(content) > membersFileMax {
		return nil, ErrMembersFile
	}
	received := &Members{}
	if err := received.decode(content); err != nil {
		return nil, err
	}
	if received.applied > slot {
		return nil, fmt.Errorf("members of slot %d in a snapshot of slot %d: %w", received.applied, slot, ErrMembersFile)
	}
	received.applied = slot // the slots between were for other machines
	i := &membersInstallation{m: m, slot: slot, list: received.list, path: m.path + ".received"}
	return i, disk.Replace(m.files, i.path, received.encode())
}

// membersInstallation is a file that is ready to take the place of the present one.
type membersInstallation struct {
	m    *Members
	slot paxos.Slot
	list []*pb.Member
	path string
}

// Install makes the file the members'.
func (i *membersInstallation) Install() error {
	m := i.m
	if err := disk.MoveTo(m.files, i.path, m.path); err != nil {
		return err
	}
	m.applied = i.slot
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved, m.list = i.slot, i.list
	return nil
}

// Discard removes the file.
func (i *membersInstallation) Discard() error {
	if err := i.m.files.Remove(i.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
