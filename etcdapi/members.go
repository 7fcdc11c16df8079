package etcdapi

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// saveEvery bounds how many slots the file may be behind, and so how many are applied again after a restart.
const saveEvery = 1 << 14

// membersFileMax bounds the file in bytes: far more than a cluster's worth of names and URLs.
const membersFileMax = 1 << 20

// ErrMembersFile means that the file of members is not what was written.
var ErrMembersFile = errors.New("the file of members is corrupt; remove it, and the log fills it again")

// Members is a synod.StateMachine that knows under which name and at which URLs each member serves clients. The cluster's
// configuration tells who the members are and where their peers reach them; name and client URLs are
// the member's own affair, so each publishes them through the log once it has started, and until then they are empty, as in etcd.
//
// It is a machine of its own because names are no part of the keys: they must touch neither revisions nor hashes. Its
// state is small, changes about once per start of a member, and is kept in one file, replaced as a whole.
// Apply, Applied and Advance are the node's to call; Published may be called from any goroutine.
type Members struct {
	files disk.FS
	path  string
	fail  func(error)

	applied paxos.Slot

	mu    sync.RWMutex
	saved paxos.Slot   // that the file covers
	list  []*pb.Member // who has published: ID, Name and ClientURLs, sorted by ID; replaced, never changed
}

// OpenMembers reads the state in the file at path, if there is one. fail is called, once, if the state cannot be saved; the node must not go on then.
func OpenMembers(path string, fail func(error)) (*Members, error) {
	return openMembers(disk.OS(), path, fail)
}

func openMembers(files disk.FS, path string, fail func(error)) (*Members, error) {
	m := &Members{files: files, path: path, fail: fail}
	b, err := readFile(files, path)
	if err == nil && b != nil {
		err = m.decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the members in %s: %w", path, err)
	}
	return m, nil
}

// EncodeMember returns the command by which a member publishes its Name and ClientURLs. Without either the member is forgotten: it has been removed.
func EncodeMember(m *pb.Member) ([]byte, error) {
	return proto.Marshal(&pb.Member{ID: m.ID, Name: m.Name, ClientURLs: m.ClientURLs})
}

// Apply executes commands made by EncodeMember. The result of each is nil; a command that
// this version cannot read ends the node, because skipping it would part this replica from the others.
func (m *Members) Apply(commands []synod.Command) []any {
	for _, c := range commands {
		published := &pb.Member{}
		if err := proto.Unmarshal(c.Data, published); err != nil {
			m.fail(fmt.Errorf("slot %d holds a command for the members that cannot be read; run a newer version: %w", c.Slot, err))
			return make([]any, len(commands))
		}
		m.publish(published)
		m.applied = c.Slot
	}
	if len(commands) > 0 {
		m.save()
	}
	return make([]any, len(commands))
}

// publish takes on what a member says of itself.
func (m *Members) publish(p *pb.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.list)
	i, known := slices.BinarySearchFunc(list, p.ID, func(m *pb.Member, id uint64) int { return cmp.Compare(m.ID, id) })
	if known {
		list = slices.Delete(list, i, i+1)
	}
	if hasStarted(p) {
		list = slices.Insert(list, i, &pb.Member{ID: p.ID, Name: p.Name, ClientURLs: p.ClientURLs})
	}
	m.list = list
}

// hasStarted reports whether a member has said anything of itself: it does so once it has started.
func hasStarted(p *pb.Member) bool { return p.Name != "" || len(p.ClientURLs) > 0 }

// Applied returns the last slot that the file covered when it was opened, or has been saved since.
func (m *Members) Applied() paxos.Slot {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.saved
}

// Advance notes that everything up to slot has been applied, and saves it now and then.
func (m *Members) Advance(slot paxos.Slot) {
	m.applied = max(m.applied, slot)
	if m.applied >= m.Applied()+saveEvery {
		m.save()
	}
}

// Published returns what a member has published: its ID, Name and ClientURLs. It has nothing but the ID if that is nothing, or if it is no member. The caller must not change it.
func (m *Members) Published(id uint64) *pb.Member {
	for _, p := range m.all() {
		if p.ID == id {
			return p
		}
	}
	return &pb.Member{ID: id}
}

func (m *Members) all() []*pb.Member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.list
}

func (m *Members) save() {
	if err := disk.Replace(m.files, m.path, m.encode()); err != nil {
		m.fail(fmt.Errorf("cannot save the file of members: %w", err))
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = m.applied
}

// The file: 4 bytes CRC-32C of the rest, 8 bytes slot, little endian both, then the members as an etcdserverpb.MemberListResponse.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m *Members) encode() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 4), uint64(m.applied))
	b, err := proto.MarshalOptions{}.MarshalAppend(b, &pb.MemberListResponse{Members: m.list})
	if err != nil { // a string that is not UTF-8, which no command can have brought in
		panic(err)
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func (m *Members) decode(b []byte) error {
	if len(b) < 12 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return ErrMembersFile
	}
	saved := &pb.MemberListResponse{}
	if err := proto.Unmarshal(b[12:], saved); err != nil {
		return ErrMembersFile
	}
	for _, member := range saved.Members {
		m.publish(member)
	}
	m.saved = paxos.Slot(binary.LittleEndian.Uint64(b[4:]))
	m.applied = m.saved
	return nil
}

// readFile returns the content of path, nil if there is no such file.
func readFile(files disk.FS, path string) (content []byte, err error) {
	f, err := files.OpenRead(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > membersFileMax {
		return nil, ErrMembersFile
	}
	content = make([]byte, size)
	_, err = f.ReadAt(content, 0)
	if errors.Is(err, io.EOF) {
		err = nil // the end is where it should be, or the checksum will tell
	}
	return content, err
}
