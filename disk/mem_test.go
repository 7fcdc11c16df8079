package disk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

// sectors returns a string that fills one sector with each byte of s.
func sectors(s string) string {
	var b strings.Builder
	for _, c := range s {
		b.WriteString(strings.Repeat(string(c), SectorBytes))
	}
	return b.String()
}

// abbreviated returns one byte for each sector that is filled with it, or ? for one that is not filled with one.
func abbreviated(content string) string {
	var b strings.Builder
	for len(content) > 0 {
		n := min(SectorBytes, len(content))
		if content[:n] == strings.Repeat(content[:1], n) {
			b.WriteByte(content[0])
		} else {
			b.WriteByte('?')
		}
		content = content[n:]
	}
	return b.String()
}

func write(t *testing.T, f File, sector int, s string) {
	t.Helper()
	_, err := f.WriteAt([]byte(sectors(s)), int64(sector)*SectorBytes)
	must(t, err)
}

// durableFile returns a file of four sectors whose bytes and name are durable.
func durableFile(t *testing.T) (*Mem, File) {
	t.Helper()
	m := NewMem()
	f := create(t, m, "f", sectors("abcd"))
	must(t, f.Datasync())
	must(t, m.SyncDir("."))
	return m, f
}

func TestWhatIsSyncedSurvivesEveryCrash(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 1, "X")
	must(t, f.Datasync())
	for _, choose := range []func(int) int{KeepAll, DropAll, rand.New(rand.NewPCG(1, 1)).IntN} {
		if got := abbreviated(read(t, m.Crash(choose), "f")); got != "aXcd" {
			t.Errorf("after a crash the file holds %q", got)
		}
	}
}

func TestEachUnsyncedSectorMeetsItsOwnFate(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 1, "XY")
	write(t, f, 2, "Z")
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		seen[abbreviated(read(t, m.Crash(r.IntN), "f"))] = true
	}
	// Sector 1 is old, new or torn; sector 2 is old, in between, new or torn.
	for _, one := range "bX?" {
		for _, two := range "cYZ?" {
			if image := "a" + string(one) + string(two) + "d"; !seen[image] {
				t.Errorf("never saw %q", image)
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("saw %d images: %v", len(seen), seen)
	}
	if got := abbreviated(read(t, m, "f")); got != "aXZd" {
		t.Errorf("the file system that was not cut off holds %q", got)
	}
}

func TestATornSectorIsPartOldAndPartNew(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 0, "X")
	for fate, want := range map[int]string{1: "Xa", 2: "aX"} { // of: old, torn, torn, new
		first := true
		content := read(t, m.Crash(func(n int) int {
			if first {
				first = false
				return fate
			}
			return 99 // the tear is after the hundredth byte
		}), "f")[:SectorBytes]
		if content != strings.Repeat(want[:1], 100)+strings.Repeat(want[1:], SectorBytes-100) {
			t.Errorf("torn to %q", content)
		}
	}
}

func TestAFileGrowsNoFurtherThanWhatIsKept(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 4, "ef")
	if got := abbreviated(read(t, m.Crash(DropAll), "f")); got != "abcd" {
		t.Errorf("with nothing kept the file holds %q", got)
	}
	if got := abbreviated(read(t, m.Crash(KeepAll), "f")); got != "abcdef" {
		t.Errorf("with everything kept the file holds %q", got)
	}
	keepSecond := []int{0, 3}
	got := abbreviated(read(t, m.Crash(func(int) int { n := keepSecond[0]; keepSecond = keepSecond[1:]; return n }), "f"))
	if got != "abcd\x00f" {
		t.Errorf("with the later sector kept the file holds %q", got)
	}
}

func TestNamesAreVolatileUntilTheirDirectoryIsSynced(t *testing.T) {
	m, _ := durableFile(t)
	must(t, m.Rename("f", "g"))
	must(t, create(t, m, "h", sectors("h")).Datasync())
	for _, c := range []struct {
		fates string
		want  string
	}{{"00", "f"}, {"10", "g"}, {"01", "f h"}, {"11", "g h"}} {
		i := 0
		after := m.Crash(func(n int) int {
			i++
			return int(c.fates[i-1] - '0')
		})
		names, err := after.ReadDir(".")
		must(t, err)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("fates %s: %q, want %q", c.fates, got, c.want)
		}
	}
	must(t, m.SyncDir("."))
	must(t, m.Remove("h"))
	if names, _ := m.Crash(DropAll).ReadDir("."); strings.Join(names, " ") != "g h" {
		t.Errorf("after a sync and a removal: %q", names)
	}
	if names, _ := m.Crash(KeepAll).ReadDir("."); strings.Join(names, " ") != "g" {
		t.Errorf("after a sync and a removal that was kept: %q", names)
	}
}

func TestAFailedSyncLeavesTheBytesReadableAndLosesThem(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 1, "XY")
	m.Intercept(FailNth(OpSync, 1, syscall.EIO))
	expect(t, "Datasync", f.Datasync(), syscall.EIO)
	must(t, f.Datasync()) // has nothing to do, and says so
	write(t, f, 2, "Z")
	must(t, f.Datasync()) // what is written again is synced again
	if got := abbreviated(read(t, m, "f")); got != "aXZd" {
		t.Errorf("read back %q", got)
	}
	if got := abbreviated(read(t, m.Crash(KeepAll), "f")); got != "abZd" {
		t.Errorf("after a crash %q", got)
	}
}

func TestAKilledProcessLeavesEverythingButItsHandles(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 0, "X")
	lock, err := m.Lock(".")
	must(t, err)
	m.Kill()
	_, err = f.WriteAt([]byte("y"), 0)
	expect(t, "WriteAt of the dead", err, fs.ErrClosed)
	expect(t, "Datasync of the dead", f.Datasync(), fs.ErrClosed)
	if got := abbreviated(read(t, m, "f")); got != "Xbcd" {
		t.Errorf("the file holds %q", got)
	}
	_, err = m.Lock(".")
	must(t, err)
	must(t, lock.Close()) // which must not free the lock of the living
	_, err = m.Lock(".")
	expect(t, "third Lock", err, ErrLocked)
}

func TestAFullDiskTakesWhatFits(t *testing.T) {
	m, f := durableFile(t)
	m.SetCapacity(5 * SectorBytes)
	n, err := f.WriteAt([]byte(sectors("def")), 3*SectorBytes)
	expect(t, "WriteAt", err, syscall.ENOSPC)
	if n != 2*SectorBytes {
		t.Errorf("%d bytes were written", n)
	}
	if got := abbreviated(read(t, m, "f")); got != "abcde" {
		t.Errorf("the file holds %q", got)
	}
	write(t, f, 0, "XXXXX") // writing over what is there needs no room
	g, err := m.Create("g")
	must(t, err)
	if n, err := g.WriteAt([]byte("g"), 0); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk took %d bytes of another file: %v", n, err)
	}
}

func TestAFlippedBitIsOnTheMediumToo(t *testing.T) {
	m, f := durableFile(t)
	write(t, f, 1, "X")
	must(t, m.Flip("f", 0, 1))
	must(t, m.Flip("f", SectorBytes, 1))
	for _, image := range []*Mem{m, m.Crash(DropAll), m.Crash(KeepAll)} {
		b := read(t, image, "f")
		if b[0] != 'a'^1 || b[SectorBytes] != 'X'^1 && b[SectorBytes] != 'b'^1 {
			t.Errorf("the flipped bytes are %q and %q", b[0], b[SectorBytes])
		}
	}
	expect(t, "Flip of nothing", m.Flip("g", 0, 1), fs.ErrNotExist)
	if err := m.Flip("f", 4*SectorBytes, 1); err == nil {
		t.Error("a byte beyond the end was flipped")
	}
}

func TestOnlyTheNthCallOfItsKindFails(t *testing.T) {
	m, f := durableFile(t)
	m.Intercept(FailNth(OpWrite, 2, syscall.EIO))
	for n, want := range []error{nil, syscall.EIO, nil} {
		_, err := f.WriteAt([]byte("x"), int64(n))
		expect(t, "WriteAt", err, want)
		must(t, f.Datasync())
	}
	if got := read(t, m, "f")[:3]; got != "xax" {
		t.Errorf("the file begins %q", got)
	}
}

func TestEqualChoicesGiveEqualImages(t *testing.T) {
	image := func() string {
		m := NewMem()
		for _, name := range []string{"c", "a", "b", "d"} {
			f := create(t, m, name, sectors("1234"))
			write(t, f, 1, "5")
		}
		after := m.Crash(rand.New(rand.NewPCG(7, 7)).IntN)
		names, err := after.ReadDir(".")
		must(t, err)
		var b strings.Builder
		for _, name := range names {
			b.WriteString(name + read(t, after, name))
		}
		return b.String()
	}
	first := image()
	for range 20 {
		if image() != first {
			t.Fatal("the same seed gave another image")
		}
	}
}
