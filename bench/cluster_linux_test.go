package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"synod.dev/synod/internal/load"
)

// buildNothing returns a folder with the server that does nothing.
func buildNothing(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	if output, err := exec.Command("go", "build", "-o", filepath.Join(bin, nothing), "./nothing").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return bin
}

func TestWhatAClusterDoesIsMetered(t *testing.T) {
	runtime.LockOSThread() // members die with the thread that starts them
	defer runtime.UnlockOSThread()
	b := &bed{bin: buildNothing(t), work: t.TempDir(), scale: scale{seconds: time.Second}}
	if err := b.clear(); err != nil {
		t.Fatal(err)
	}
	c, err := b.cluster(t.Context(), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.cluster(t.Context(), nothing); err != nil || again != c {
		t.Errorf("a stage has one cluster of a contender: %v", err)
	}
	target, err := c.dial(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	f, r, err := b.drive(t.Context(), c, load.Plan{Clients: 6}, target.Put(benchKeys, load.NewValues(valueBytes)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Count() == 0 || f[throughput] <= 0 || f[cpu] <= 0 || f[cpu] > 100 || f[peak] < 1 || f[p50] <= 0 || f[p50] > f[longest] {
		t.Errorf("%d requests: %v", r.Count(), f)
	}
	members := slices.Clone(c.members)
	if err := b.enter(storeStage); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		select {
		case <-m.exited:
		default:
			t.Errorf("%s outlives its stage", m.name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(b.work, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMemberThatCannotStartIsReportedWithWhatItSays(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := newCluster(nothing, buildNothing(t), filepath.Join(t.TempDir(), "cluster"), 1)
	if err != nil {
		t.Fatal(err)
	}
	c.members[0].command = append(c.members[0].command, "-nonsense")
	if _, err := c.start(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing1 has stopped") || !strings.Contains(err.Error(), "not defined: -nonsense") {
		t.Error(err)
	}
}

func TestWaitForAMemberEndsWithTheContext(t *testing.T) {
	m, err := newMember("silent", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m.exited = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.awaitReady(ctx); err == nil {
		t.Error("a member that does not run serves")
	}
}

func TestSyncsTakeTime(t *testing.T) {
	all, err := syncLatencies(t.TempDir())
	if err != nil || len(all) == 0 || all[0] <= 0 || !slices.IsSorted(all) {
		t.Errorf("%v, %v", all, err)
	}
}

func TestTwoBenchesDoNotMeasureEachOther(t *testing.T) {
	dir := t.TempDir()
	first, err := newBed(t.TempDir(), dir, quickScale)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newBed(t.TempDir(), dir, quickScale); err == nil || !strings.Contains(err.Error(), "another bench runs") {
		t.Error(err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "run", "cluster1")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	second, err := newBed(t.TempDir(), dir, quickScale)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what was left is still there: %v", err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}
