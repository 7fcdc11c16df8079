package main

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synod.dev/synod/etcdsnapshot"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/kv"
)

// snapshotFile writes a snapshot of an empty store, with its hash.
func snapshotFile(t *testing.T) string {
	t.Helper()
	store, err := kv.Open(kv.Config{Dir: t.TempDir(), Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	path := filepath.Join(t.TempDir(), "bare")
	if err := etcdsnapshot.Write(t.Context(), path, store, etcdsnapshot.Origin{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(b)
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(file, append(b, hash[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func restoreCommand(args ...string) (code int, out, problem string) {
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"synod", "snapshot", "restore"}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestARestoreMakesADirectoryOrNothing(t *testing.T) {
	file, dir := snapshotFile(t), filepath.Join(t.TempDir(), "data")
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "other.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := bytes.Clone(sound)
	damaged[100] ^= 1
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "give one file"},
		{[]string{file}, exitUsage, "--data-dir is missing"},
		{[]string{filepath.Join(dir, "none"), "--data-dir", dir}, exitFailure, "no such file"},
		{[]string{with(damaged), "--data-dir", dir}, exitFailure, "is damaged"},
		{[]string{with(sound[:len(sound)-32]), "--data-dir", dir}, exitFailure, "--skip-hash-check"},
		{[]string{with([]byte("nothing")), "--skip-hash-check", "--data-dir", dir}, exitFailure, "no snapshot of etcd's"},
		{[]string{file, "--data-dir", filepath.Dir(file)}, exitFailure, "is not empty"},
		{[]string{file, "--data-dir", file}, exitFailure, "is no directory"},
	} {
		code, _, problem := restoreCommand(tc.args...)
		if code != tc.code || !strings.Contains(problem, tc.want) || strings.Count(problem, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q; want %d and %q", tc.args, code, problem, tc.code, tc.want)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*"))
		if err != nil || len(left) != 0 {
			t.Errorf("%v left %v, %v", tc.args, left, err)
		}
	}
	if left, err := os.ReadFile(file); err != nil || !bytes.Equal(left, sound) {
		t.Fatal("the snapshot was touched")
	}
	if code, out, problem := restoreCommand(file, "--data-dir", dir); code != 0 || !strings.Contains(out, "begins at revision 1") {
		t.Errorf("exit code %d, %q, %q", code, out, problem)
	}
}

func TestWhatADirectoryBeganWithIsPartOfItsCluster(t *testing.T) {
	config := &serverconfig.Config{DataDir: t.TempDir(), Members: []serverconfig.Member{{Name: "a", ID: 1}}}
	empty, err := clusterID(config)
	if err != nil || empty != serverconfig.ClusterID(config.Members) {
		t.Errorf("a new directory: %x, %v", empty, err)
	}
	config.DataDir = filepath.Join(t.TempDir(), "data")
	if code, _, problem := restoreCommand(snapshotFile(t), "--data-dir", config.DataDir); code != 0 {
		t.Fatal(problem)
	}
	restored, err := clusterID(config)
	if err != nil || restored == empty {
		t.Errorf("a restored directory: %x, %v; a new one %x", restored, err, empty)
	}
	if err := os.WriteFile(filepath.Join(config.DataDir, originFile), []byte("no hash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := clusterID(config); err == nil {
		t.Errorf("a damaged origin is taken for %x", id)
	}
}
