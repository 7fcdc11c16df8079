package kv

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// damageTables flips a byte in the middle of every table, on a store that nobody has open.
func damageTables(t *testing.T, fs vfs.FS) {
	t.Helper()
	names, err := fs.List("db/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			path := "db/db/" + name
			content := readAll(t, fs, path)
			content[len(content)/4] ^= 0x10
			writeAll(t, fs, path, content)
		}
	}
}

// TestWhicheverByteOfATableIsDamagedOpenSaysSoOrTheStoreDoesLater, by the error that has a member put its store aside, and not by one that comes of it.
func TestWhicheverByteOfATableIsDamagedOpenSaysSoOrTheStoreDoesLater(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	values := rand.NewChaCha8([32]byte{})
	for i := range 40 { // several blocks: what is read first and what is read last are not damaged together
		value := make([]byte, 1000)
		values.Read(value)
		f.put(string(numbered(i)), string(value))
	}
	f.close()
	names, err := fs.List("db/db")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := "db/db/" + name
		sound := readAll(t, fs, path)
		for at := 0; at < len(sound); at += 211 { // Pebble tries for a tenth of a second whether one bit explains it
			content := bytes.Clone(sound)
			content[at] ^= 0x10
			writeAll(t, fs, path, content)
			s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, Fail: func(error) {}})
			if err == nil {
				s.Close() // whatever it comes to
			} else if refused++; !IsDamaged(err) {
				t.Errorf("byte %d of %s, which has %d: %v", at, name, len(sound), err)
			}
			writeAll(t, fs, path, sound)
		}
	}
	if refused == 0 {
		t.Error("no byte was of any importance")
	}
}

func TestADamagedTableStopsTheStoreWhichNotesItForTheNextStart(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	for i := range 300 {
		f.put(string(numbered(i)), strings.Repeat("incompressible? ", 64))
	}
	f.close()
	damageTables(t, fs)
	if reason, err := Damaged(fs, "db"); reason != "" || err != nil {
		t.Fatalf("damaged before anybody has looked: %q, %v", reason, err)
	}
	var failure error
	s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, Fail: func(err error) { failure = err }})
	if err == nil {
		_, err = s.Range(context.Background(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
		if err == nil || !IsDamaged(failure) {
			t.Errorf("the range came to %v, the store said %v", err, failure)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if reason, err := Damaged(fs, "db"); err != nil || !strings.Contains(reason, "is damaged") || strings.Contains(reason, "\n") {
			t.Errorf("noted %q, %v", reason, err)
		}
	} else if !IsDamaged(err) {
		t.Errorf("open: %v", err)
	}
	aside, err := SetAside(fs, "db")
	if err != nil || aside != "db.aside" {
		t.Fatalf("set aside as %q: %v", aside, err)
	}
	again := open(t, fs)
	if again.Applied() != 0 {
		t.Errorf("the store in its place has applied slot %d", again.Applied())
	}
	again.close()
	if _, err := SetAside(fs, "db"); !errors.Is(err, ErrAside) {
		t.Errorf("set aside a second time: %v", err)
	}
}
