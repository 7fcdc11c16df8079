package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
)

// systems are the implementations that must behave alike while nothing goes wrong.
func systems(t *testing.T) map[string]struct {
	fs  FS
	dir string
} {
	return map[string]struct {
		fs  FS
		dir string
	}{
		"OS":  {OS(), filepath.Join(t.TempDir(), "a", "b")},
		"Mem": {NewMem(), filepath.Join("a", "b")},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func create(t testing.TB, fsys FS, name, content string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	return f
}

func read(t testing.TB, fsys FS, name string) string {
	t.Helper()
	f, err := fsys.OpenRead(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	must(t, f.Close())
	return string(b)
}

func TestFilesBehaveAlikeOnDiskAndInMemory(t *testing.T) {
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			path := func(name string) string { return filepath.Join(s.dir, name) }
			_, err := s.fs.ReadDir(s.dir)
			expect(t, "ReadDir of a missing directory", err, fs.ErrNotExist)
			_, err = s.fs.Create(path("x"))
			expect(t, "Create in a missing directory", err, fs.ErrNotExist)
			must(t, s.fs.MkdirAll(s.dir))
			must(t, s.fs.MkdirAll(s.dir))

			f := create(t, s.fs, path("x"), "hello")
			_, err = f.WriteAt([]byte("!"), 8)
			must(t, err)
			must(t, f.Datasync())
			if size, err := f.Size(); size != 9 || err != nil {
				t.Errorf("size %d, %v", size, err)
			}
			b := make([]byte, 6)
			if n, err := f.ReadAt(b, 3); n != 6 || err != nil && err != io.EOF || !bytes.Equal(b, []byte("lo\x00\x00\x00!")) {
				t.Errorf("read %q, %d, %v", b, n, err)
			}
			n, err := f.ReadAt(b, 7)
			if n != 2 {
				t.Errorf("read %d bytes across the end", n)
			}
			expect(t, "ReadAt across the end", err, io.EOF)
			must(t, f.Close())
			expect(t, "Close again", f.Close(), fs.ErrClosed)
			_, err = f.WriteAt(b, 0)
			expect(t, "WriteAt after Close", err, fs.ErrClosed)
			_, err = s.fs.Create(path("x"))
			expect(t, "Create over a file", err, fs.ErrExist)

			r, err := s.fs.OpenRead(path("x"))
			must(t, err)
			if _, err := r.WriteAt(b, 0); err == nil {
				t.Error("a file opened for reading took a write")
			}
			w, err := s.fs.OpenWrite(path("x"))
			must(t, err)
			_, err = w.WriteAt([]byte("J"), 0)
			must(t, err)
			if got := read(t, s.fs, path("x")); got != "Jello\x00\x00\x00!" {
				t.Errorf("read %q", got)
			}

			create(t, s.fs, path("y"), "why")
			must(t, s.fs.Rename(path("x"), path("y")))
			must(t, s.fs.SyncDir(s.dir))
			_, err = s.fs.OpenRead(path("x"))
			expect(t, "OpenRead of the old name", err, fs.ErrNotExist)
			if got := read(t, s.fs, path("y")); got != "Jello\x00\x00\x00!" {
				t.Errorf("under its new name the file holds %q", got)
			}
			create(t, s.fs, path("a"), "")
			names, err := s.fs.ReadDir(s.dir)
			must(t, err)
			if !slices.Equal(names, []string{"a", "y"}) {
				t.Errorf("names %q", names)
			}
			must(t, s.fs.Remove(path("a")))
			expect(t, "Remove again", s.fs.Remove(path("a")), fs.ErrNotExist)
			expect(t, "Rename of nothing", s.fs.Rename(path("a"), path("b")), fs.ErrNotExist)
		})
	}
}

func TestADirectoryHasOneOwner(t *testing.T) {
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			_, err := s.fs.Lock(s.dir)
			expect(t, "Lock of a missing directory", err, fs.ErrNotExist)
			must(t, s.fs.MkdirAll(s.dir))
			for range 2 {
				lock, err := s.fs.Lock(s.dir)
				must(t, err)
				_, err = s.fs.Lock(s.dir)
				expect(t, "second Lock", err, ErrLocked)
				if !bytes.Contains([]byte(err.Error()), []byte(s.dir)) {
					t.Errorf("the message %q does not name the directory", err)
				}
				must(t, lock.Close())
			}
		})
	}
}
