package kv

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"synod.dev/synod/disk"
)

// check returns what Check finds in the store of a test.
func check(t fataler, fs vfs.FS) (findings []disk.Finding, health Health) {
	t.Helper()
	health, err := Check(fs, "db", disk.Inspection{
		Found:    func(f disk.Finding) { findings = append(findings, f) },
		Progress: func(string, int64, int64) {},
	})
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	return findings, health
}

func TestCheckFindsNothingWrongWithAnyStoreThatCommandsHaveMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		f := open(t, fs)
		m := newModel()
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			f.applyBoth(t, m, rapid.IntRange(1, 6).Draw(t, "commands"))
			if rapid.IntRange(0, 3).Draw(t, "wait") == 0 {
				f.awaitCompaction()
			}
		}
		keys := f.rangeOf(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true}).Count
		f.close()
		findings, health := check(t, fs)
		if len(findings) > 0 {
			t.Fatalf("found %v", findings)
		}
		if want := (Health{Applied: f.slot, Revision: m.rev, Keys: keys, Versions: health.Versions}); health != want {
			t.Fatalf("%+v, want %+v", health, want)
		}
	})
}

func TestCheckFindsNothingWrongWithAStoreThatCrashedBeforeItFirstWrote(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("db", 0o700); err != nil {
		t.Fatal(err)
	}
	harm(t, fs, func(*pebble.Batch) error { return nil })
	if findings, health := check(t, fs); len(findings) > 0 || health != (Health{Revision: 1}) {
		t.Errorf("%+v, %v", health, findings)
	}
}

// checked is a store with some of everything, closed.
func checked(t *testing.T) vfs.FS {
	fs := vfs.NewMem()
	f := open(t, fs)
	f.must(&pb.LeaseGrantRequest{ID: 7, TTL: 100})
	f.must(&pb.PutRequest{Key: []byte("leased"), Value: []byte("v"), Lease: 7})
	for range 3 {
		f.put("key", strings.Repeat("value", 1000))
	}
	f.put("other", "gone")
	f.delete("other")
	f.close()
	return fs
}

func TestCheckFindsRowsThatDoNotFitTogether(t *testing.T) {
	prefix := appendPrefix(nil, []byte("key"))
	versionAt := func(main int64) []byte { return appendRevision(append([]byte{}, prefix...), revision{main, 0}) }
	for _, test := range []struct {
		name, want string
		harm       func(b *pebble.Batch) error
	}{
		{"a change is missing", "change 4.0 of key \"key\" is missing", func(b *pebble.Batch) error { return b.Delete(appendChangeKey(nil, revision{4, 0}), nil) }},
		{"a version is missing", "names 4.0 as the version before it, which is 3.0", func(b *pebble.Batch) error { return b.Delete(versionAt(4), nil) }},
		{"both are missing", "changes of revisions 4 to 4 are missing", func(b *pebble.Batch) error {
			if err := b.Delete(versionAt(4), nil); err != nil {
				return err
			}
			return b.Delete(appendChangeKey(nil, revision{4, 0}), nil)
		}},
		{"a version counts wrong", "version 9 since revision 3", func(b *pebble.Batch) error {
			return b.Set(versionAt(4), appendVersion(nil, &version{live: true, created: 3, count: 9}), nil)
		}},
		{"a version is above the revision", "which the store does not have", func(b *pebble.Batch) error {
			return b.Set(versionAt(99), appendVersion(nil, &version{live: true, created: 3, count: 4}), nil)
		}},
		{"a change is of another key", "is of key \"other\"", func(b *pebble.Batch) error {
			return b.Set(appendChangeKey(nil, revision{4, 0}), appendChange(nil, &change{key: []byte("other")}), nil)
		}},
		{"a bucket counts wrong", "the bucket from \"\" on has 3 keys, 2 of them live, and counts 3 and 1", func(b *pebble.Batch) error {
			return b.Set(appendBucketKey(nil, ""), appendBucket(nil, bucket{live: 1, weight: 3}), nil)
		}},
		{"an attachment is missing", "1 keys have a lease, 0 are attached", func(b *pebble.Batch) error { return b.Delete(appendAttachmentKey(nil, 7, []byte("leased")), nil) }},
		{"an attachment is of a key without a lease", "does not say so", func(b *pebble.Batch) error { return b.Set(appendAttachmentKey(nil, 7, []byte("key")), nil, nil) }},
		{"the state is missing", "the row of the state is missing", func(b *pebble.Batch) error { return b.Delete(stateKey, nil) }},
		{"a lease is malformed", "malformed lease", func(b *pebble.Batch) error { return b.Set(appendLeaseKey(nil, 8), []byte{1}, nil) }},
		{"a stranger", "of an unknown kind", func(b *pebble.Batch) error { return b.Set([]byte{99}, nil, nil) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := checked(t)
			harm(t, fs, test.harm)
			findings, _ := check(t, fs)
			var lines []string
			for _, f := range findings {
				lines = append(lines, f.String())
			}
			if all := strings.Join(lines, "\n"); !strings.Contains(all, test.want) {
				t.Errorf("found %q, want %q", all, test.want)
			}
		})
	}
}

// harm changes rows behind the store's back.
func harm(t *testing.T, fs vfs.FS, fn func(*pebble.Batch) error) {
	t.Helper()
	s := &Store{log: quiet, dead: func(err error) { t.Error(err) }}
	db, err := pebble.Open("db/db", s.options(Config{FS: fs}, memTableBytes))
	if err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	if err := fn(b); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFindsAFlippedByteOfATable flips, in turn, bytes all over each table; each lies in a block with a checksum, in the footer, or in none at all.
func TestCheckFindsAFlippedByteOfATable(t *testing.T) {
	fs := checked(t)
	names, err := fs.List("db/db")
	if err != nil {
		t.Fatal(err)
	}
	found, flipped := 0, 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := "db/db/" + name
		content := readAll(t, fs, path)
		for offset := 0; offset < len(content); offset += 97 {
			content[offset] ^= 0x10
			writeAll(t, fs, path, content)
			findings, _ := check(t, fs)
			if flipped++; len(findings) > 0 {
				found++
			}
			content[offset] ^= 0x10
		}
		writeAll(t, fs, path, content)
	}
	if found < flipped*9/10 || flipped == 0 {
		t.Errorf("%d of %d flipped bytes were noticed", found, flipped)
	}
	t.Logf("%d of %d flipped bytes were noticed", found, flipped)
	if findings, _ := check(t, fs); len(findings) > 0 {
		t.Errorf("restored, and still %v", findings)
	}
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	info, err := fs.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := make([]byte, info.Size())
	if _, err := f.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return content
}

func writeAll(t *testing.T, fs vfs.FS, path string, content []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(content)); err != nil { // Write may change what it is given; with the race detector it does
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
