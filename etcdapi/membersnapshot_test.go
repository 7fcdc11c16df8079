package etcdapi

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod"
)

func TestASnapshotOfTheMembersIsInstalledInOneStep(t *testing.T) {
	dir := t.TempDir()
	source := mustOpenMembers(t, filepath.Join(dir, "source"))
	source.Apply([]synod.Command{publication(t, 3, &pb.Member{ID: 1, Name: "one", ClientURLs: []string{"http://b:2"}})})
	image, err := source.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if _, err := image.WriteTo(&packed); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "members")
	m := mustOpenMembers(t, path)
	m.Apply([]synod.Command{publication(t, 1, &pb.Member{ID: 2, Name: "two"})})
	i, err := m.Receive(40, bytes.NewReader(packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	one, two := &pb.Member{ID: 1, Name: "one", ClientURLs: []string{"http://b:2"}}, &pb.Member{ID: 2, Name: "two"}
	wantMembers(t, m, two)
	wantMembers(t, mustOpenMembers(t, path), two)
	if err := i.Install(); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, m, one) // it is the sender's state, whatever was here
	again := mustOpenMembers(t, path)
	wantMembers(t, again, one)
	if durable, err := m.Durable(); err != nil || durable != 40 || again.Applied() != 40 {
		t.Errorf("durable up to %d, and %d after a restart: %v", durable, again.Applied(), err)
	}
}

func TestAMembersSnapshotThatIsDamagedIsRefused(t *testing.T) {
	m := mustOpenMembers(t, filepath.Join(t.TempDir(), "members"))
	packed := m.encode()
	for name, b := range map[string][]byte{"empty": nil, "cut": packed[:len(packed)-1], "too long": make([]byte, membersFileMax+1)} {
		if _, err := m.Receive(9, bytes.NewReader(b)); !errors.Is(err, ErrMembersFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.Advance(8)
	m.Flush()
	if durable, err := m.Durable(); err != nil || durable != 8 {
		t.Errorf("after a flush it is durable up to %d: %v", durable, err)
	}
}
