package synod

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// membership keeps what is known of the cluster's configurations beside the machines, in the file "membership": it is durable before any machine is given the slot that has decided it, since the log that says so may be
// trimmed afterwards. A cluster whose members have never changed has no such file: its founders are in the log's vital state. So is the epoch of the file, and a node whose file is gone, or an old copy, does not start. It is safe for concurrent use.
//
// Little endian: CRC-32C of the rest 4, "Smem" 4, incarnation of the log 8, then what paxos.AppendConfigurations writes.
type membership struct {
	fs          disk.FS
	dir         string
	incarnation paxos.Incarnation
	epoch       uint32                   // of the file, as the vital state has it at Open
	note        func(epoch uint32) error // makes that of a newer file durable in the vital state

	mu       sync.Mutex
	founders []byte // as identify writes them; nil until they are known, and on a disk that has joined later
	known    []*paxos.Configuration
}

const (
	membershipName  = "membership"
	membershipMagic = "Smem"
	membershipHead  = 16
)

// open reads what has become known since the cluster was founded; nil if that is nothing.
func (m *membership) open() ([]*paxos.Configuration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.known, err = m.read(); err != nil {
		return nil, fmt.Errorf("synod: cannot tell who the members are from %s: %w; restore the file, or replace this member", filepath.Join(m.dir, membershipName), err)
	}
	if m.known == nil {
		return nil, nil
	}
	return m.known, m.note(latestOf(m.known).Epoch) // a crash may have cut that short
}

// found takes the founders' configuration.
func (m *membership) found(founders *paxos.Configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.founders = identify(founders)
	if m.known == nil {
		m.known = []*paxos.Configuration{founders}
	}
}

// configurations returns what is known; nil if that is nothing.
func (m *membership) configurations() []*paxos.Configuration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// read reads the file, and demands that it is what the vital state says it is, or later.
func (m *membership) read() ([]*paxos.Configuration, error) {
	known, err := m.readFile()
	switch {
	case err != nil:
		return nil, err
	case m.epoch > 0 && known == nil:
		return nil, fmt.Errorf("it is gone, and had those of epoch %d", m.epoch)
	case m.epoch > 0 && latestOf(known).Epoch < m.epoch:
		return nil, fmt.Errorf("it is an old copy, of epoch %d where epoch %d was", latestOf(known).Epoch, m.epoch)
	}
	return known, nil
}

// readFile returns nil if there is no file.
func (m *membership) readFile() (known []*paxos.Configuration, err error) {
	f, err := m.fs.OpenRead(filepath.Join(m.dir, membershipName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, membershipHead+snapshot.ConfigurationBytesMax+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	b = b[:n]
	switch {
	case len(b) < membershipHead, len(b) > membershipHead+snapshot.ConfigurationBytesMax,
		binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli), string(b[4:8]) != membershipMagic:
		return nil, errors.New("it is damaged")
	case paxos.Incarnation(binary.LittleEndian.Uint64(b[8:])) != m.incarnation:
		return nil, errors.New("it belongs to another log")
	}
	return paxos.DecodeConfigurations(b[membershipHead:])
}

// keep makes what is known durable, if it is newer than what is kept.
func (m *membership) keep(known []*paxos.Configuration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) > 0 && known[len(known)-1].Epoch <= m.known[len(m.known)-1].Epoch {
		return nil
	}
	b := append(make([]byte, 4), membershipMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.incarnation))
	b = paxos.AppendConfigurations(b, known)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	if err := disk.Replace(m.fs, filepath.Join(m.dir, membershipName), b); err != nil {
		return fmt.Errorf("cannot store who the members are: %w", err)
	}
	if err := m.note(latestOf(known).Epoch); err != nil {
		return err
	}
	m.known = known
	return nil
}

// encode returns what is known, for a snapshot: at least what any machine's state goes with.
func (m *membership) encode() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		return nil
	}
	return paxos.AppendConfigurations(nil, m.known)
}

// accept reads what a snapshot brings. It refuses another cluster's founders.
func (m *membership) accept(b []byte) ([]*paxos.Configuration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, err := paxos.DecodeConfigurations(b)
	if err != nil {
		return nil, fmt.Errorf("who the members are cannot be read: %w", err)
	}
	if known[0].Epoch == 0 && m.founders != nil && !bytes.Equal(identify(known[0]), m.founders) {
		return nil, errors.New("it is of a cluster with other founders")
	}
	return known, nil
}

// identify writes what all members know alike of the founders: all but their addresses, which each has from its own operator.
func identify(founders *paxos.Configuration) []byte {
	bare := *founders
	bare.Members = slices.Clone(founders.Members)
	for i := range bare.Members {
		bare.Members[i].Address = ""
	}
	return paxos.AppendConfigurations(nil, []*paxos.Configuration{&bare})
}

// describe lists the members for the log: whose vote counts, who learns, and who is to have more roles once it has come and caught up.
func describe(c *paxos.Configuration) []string {
	members := make([]string, len(c.Members))
	for i, m := range c.Members {
		members[i] = hexID(m.ID) + " " + m.Roles.String()
		if m.Invited != 0 {
			members[i] = strings.TrimSpace(hexID(m.ID)+" "+m.Roles.String()) + ", to be " + m.Invited.String()
		}
	}
	return members
}
