package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// startBound is how long a server may take to answer for the first time, on a machine that is busy.
const startBound = time.Minute

// buildEtcd builds the etcd that this module requires and returns the path of the binary.
func buildEtcd(t testing.TB) string {
	t.Helper()
	return buildTool(t, "etcd", "go.etcd.io/etcd/server/v3")
}

// buildTool builds a program of a module that this one requires, or finds it built, and returns the path of the binary. It stays
// in a directory for temporary files, since go build leaves a binary alone that is up to date.
func buildTool(t testing.TB, name, pkg string) string {
	t.Helper()
	binary := filepath.Join(os.TempDir(), "synod-e2e-"+runtime.Version(), name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", name, err, out)
	}
	return binary
}

// startEtcd starts a real etcd of one member with nothing in it and returns its client endpoint. It does not sync its log
// to disk: what it answers is the same, sooner. flags come before its own.
func startEtcd(t testing.TB, flags ...string) string {
	t.Helper()
	binary, dir := buildEtcd(t), t.TempDir()
	client, peer := listenAddress(t), listenAddress(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	etcd := exec.Command(binary, append(flags,
		"--name=etcd", "--log-level=error", "--data-dir="+filepath.Join(dir, "data"), "--unsafe-no-fsync",
		"--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer, "--initial-cluster=etcd=http://"+peer)...)
	etcd.Stdout, etcd.Stderr = log, log
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("cannot stop etcd: %v", err)
		}
		late := time.AfterFunc(patience, func() { etcd.Process.Kill() }) // the only error is that it has ended
		defer late.Stop()
		etcd.Wait() // its exit code after a signal says nothing
		log.Close()
	})
	return client
}

// connect returns a connection to a server once it answers.
func connect(t testing.TB, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), startBound)
	defer cancel()
	if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(fmt.Errorf("%s does not answer: %w", endpoint, err))
	}
	return conn
}
