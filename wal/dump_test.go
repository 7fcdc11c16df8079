package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

var update = flag.Bool("update", false, "rewrite the golden files of the format")

func dumpLines(t *testing.T, fsys disk.FS) (Vital, string, error) {
	t.Helper()
	var b strings.Builder
	v, err := Dump(fsys, testDir, func(e Entry) error {
		fmt.Fprintf(&b, "%s batch %4d at %4d LSN %d durable %d %v", e.Segment, e.Batch, e.Offset, e.LSN, e.Durable, e.State)
		if r := e.Record; r == nil {
			b.WriteString(" nothing known\n")
		} else {
			fmt.Fprintf(&b, " %v slot %d ballot %v %d bytes\n", r.Kind, r.Slot, r.Ballot, len(r.Value))
		}
		return nil
	})
	return v, b.String(), err
}

// specimen is a small log with each kind of record, two segments, a trimmed slot, founders and an epoch.
func specimen(t *testing.T) *disk.Mem {
	t.Helper()
	m := disk.NewMem()
	l := mustOpen(t, m)
	if err := l.SetFounders([]byte("founders")); err != nil {
		t.Fatal(err)
	}
	if err := l.SetEpoch(3); err != nil {
		t.Fatal(err)
	}
	commit(t, l, promise(2))
	commit(t, l, accept(1, 2, "the first value"), accept(2, 2, ""), chosen(3, "chosen elsewhere"))
	commit(t, l, accept(4, 2, valueOf(4, 3300)))
	if err := l.Trim(1); err != nil {
		t.Fatal(err)
	}
	commit(t, l, accept(5, 3, "in the second segment"))
	mustClose(t, l)
	return m
}

func TestTheFormatIsByteForByteThatOfTheGoldenFiles(t *testing.T) {
	m := specimen(t)
	files := []string{vitalName, segmentID(1).fileName(), segmentID(2).fileName()}
	for _, name := range files {
		got, err := readSegment(m, join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "format1.1", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s: if the format is meant to change it needs a new version", name, golden)
		}
	}
}

// Each minor version there has been is read. The first knew no epoch.
func TestTheGoldenFilesAreReadBack(t *testing.T) {
	for version, epoch := range map[string]uint32{"format1": 0, "format1.1": 3} {
		t.Run(version, func(t *testing.T) { readBack(t, version, epoch) })
	}
}

func readBack(t *testing.T, version string, epoch uint32) {
	m := disk.NewMem()
	if err := m.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{vitalName, segmentID(1).fileName(), segmentID(2).fileName()} {
		content, err := os.ReadFile(filepath.Join("testdata", version, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.Create(join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
	}
	v, got, err := dumpLines(t, m)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
00000001.log batch    0 at   56 LSN 1 durable 0 sound promise slot 0 ballot 2.a.1 0 bytes
00000001.log batch  512 at  600 LSN 2 durable 1 sound accept slot 1 ballot 2.a.1 15 bytes
00000001.log batch  512 at  672 LSN 3 durable 1 sound accept slot 2 ballot 2.a.1 0 bytes
00000001.log batch  512 at  728 LSN 4 durable 1 sound chosen slot 3 ballot - 16 bytes
00000002.log batch    0 at   56 LSN 5 durable 4 sound accept slot 4 ballot 2.a.1 3300 bytes
00000002.log batch 3584 at 3640 LSN 6 durable 5 sound accept slot 5 ballot 3.a.1 21 bytes
`, "\n")
	if got != want {
		t.Errorf("dump\n%s, want\n%s", got, want)
	}
	if v.Boot != 1 || v.Promised != ballot(3) || v.Trimmed != 1 || string(v.Founders) != "founders" || v.Epoch != epoch {
		t.Errorf("vital state %+v", v)
	}
	expectValue(t, mustOpen(t, m), 5, "in the second segment")
}

func TestDumpShowsEachStateAndChangesNothing(t *testing.T) {
	m, _ := written(t)
	for _, c := range []struct {
		name   string
		offset int64
		want   string
	}{
		{"payload below the watermark", 664 + paxos.RecordHeaderSize,
			"00000001.log batch  512 at  664 LSN 4 durable 2 corrupt accept slot 3 ballot 2.a.1 0 bytes\n"},
		{"record header below the watermark", 664 + 30,
			"00000001.log batch  512 at  664 LSN 4 durable 2 corrupt kind-0 slot 3 ballot - 0 bytes\n"},
		{"batch header below the watermark", 512 + 20,
			"00000001.log batch  512 at  512 LSN 3 durable 0 corrupt nothing known\n00000001.log batch 1536 at 1592"},
		{"payload of the tail", 2120 + paxos.RecordHeaderSize,
			"LSN 7 durable 6 torn accept slot 6 ballot 3.a.1 0 bytes\n00000001.log batch 2048 at 2184 LSN 8 durable 6 torn accept slot 7"},
		{"batch header of the tail", 2048 + 20,
			"00000001.log batch 2048 at 2048 LSN 7 durable 0 torn nothing known\n"},
	} {
		image := copyOf(m)
		if err := image.Flip(segmentPath(1), c.offset, 1); err != nil {
			t.Fatal(err)
		}
		image.Intercept(func(call disk.Call) error {
			if call.Op != disk.OpOpen && call.Op != disk.OpRead && call.Op != disk.OpReadDir {
				t.Errorf("Dump made a call of %v", call.Op)
			}
			return nil
		})
		_, got, err := dumpLines(t, image)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: dump\n%s, want in it\n%s", c.name, got, c.want)
		}
	}
}

func TestDumpGoesOnWithoutVitalState(t *testing.T) {
	m := specimen(t)
	_, want, err := dumpLines(t, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(join(testDir, vitalName)); err != nil {
		t.Fatal(err)
	}
	_, got, err := dumpLines(t, m)
	expectError(t, "Dump without vital state", err, ErrMayNotVote)
	if got != want {
		t.Errorf("dump\n%s, want\n%s", got, want)
	}
}

func TestDumpRunsBesideTheOwnerAndRefusesWhatIsNoLog(t *testing.T) {
	m := disk.NewMem()
	_, _, err := dumpLines(t, m)
	expectError(t, "Dump of a missing directory", err, fs.ErrNotExist)
	l := mustOpen(t, m)
	commit(t, l, accept(1, 1, "one"))
	if _, got, err := dumpLines(t, m); err != nil || !strings.Contains(got, "slot 1 ballot 1.a.1 3 bytes") {
		t.Errorf("dump beside the owner: %q, %v", got, err)
	}
	stop := errors.New("enough")
	_, err = Dump(m, testDir, func(Entry) error { return stop })
	expectError(t, "Dump that is stopped", err, stop)
}
