package disk

import (
	"errors"
	"io"
	"testing"
)

// contentOf returns what a file holds, "" if there is none.
func contentOf(t *testing.T, files FS, path string) string {
	t.Helper()
	f, err := files.OpenRead(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// At each call the power fails, or the call does: the old content is there or the new, and what is there when Replace has returned stays.
func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	broken := errors.New("no such luck")
	old, fresh := 0, 0
	for at := 1; ; at++ {
		m := NewMem()
		if err := m.MkdirAll("/d"); err != nil {
			t.Fatal(err)
		}
		if err := Replace(m, "/d/f", []byte("old")); err != nil {
			t.Fatal(err)
		}
		calls := 0
		m.Intercept(func(Call) error {
			if calls++; calls == at {
				return broken
			}
			return nil
		})
		err := Replace(m, "/d/f", []byte("fresh"))
		m.Intercept(nil)
		for name, image := range map[string]*Mem{"nothing": m.Crash(DropAll), "everything": m.Crash(KeepAll)} {
			switch content := contentOf(t, image, "/d/f"); {
			case content == "fresh":
				fresh++
			case content == "old" && err != nil:
				old++
			default:
				t.Fatalf("call %d of %d failed, %v, and a power cut that keeps %s leaves %q", at, calls, err, name, content)
			}
		}
		if err := Replace(m, "/d/f", []byte("again")); err != nil || contentOf(t, m.Crash(DropAll), "/d/f") != "again" {
			t.Fatalf("after a failure of call %d: %v", at, err)
		}
		if calls < at {
			break
		}
	}
	if old == 0 || fresh < 2 {
		t.Errorf("%d power cuts left the old content, %d the new: the test tests little", old, fresh)
	}
}
